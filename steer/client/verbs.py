"""The verbs of steering: one table, from which everything that has them is made.

A row names a verb, says what it does, and what it takes. The methods of a `Run` (and of
views on its ranks) have the same names and parameters; `%pxstop` and its kind, with
their `--help`, and the words of `steer attach` are made of the rows: a line is read by
`verblines`, and `perform` calls the method. So a verb that is added here and to `Run`
is there everywhere.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from steer.wire.messages import News

REQUIRED: Any = object()
"""The default of what must be given."""


class Form(enum.Enum):
    """How an argument is written on a line."""

    WORD = "a word at its place"
    OPTION = "--name VALUE"
    FLAG = "--name"
    REST = "the rest of the line as it is, or the cell: code"
    PAIRS = "name=value, as many as one likes"
    WORDS = "all words that are left"


@dataclass(frozen=True)
class Argument:
    """One thing that a verb takes."""

    name: str
    """The parameter of the method."""
    help: str
    form: Form = Form.OPTION
    kind: Callable[[str], Any] = str
    """Makes a value of the text; its ValueError says what was expected."""
    default: Any = REQUIRED
    shown: str = ""
    """How the help calls its value."""

    @property
    def option(self) -> str:
        """How it is written as an option."""
        return f"--{self.name.replace('_', '-')}"


@dataclass(frozen=True)
class Verb:
    """One thing that is done to a run."""

    name: str
    help: str
    """What it does, in one sentence."""
    arguments: tuple[Argument, ...] = ()
    examples: tuple[str, ...] = ()
    """Lines without the verb."""
    more: str = ""
    """What else one has to know."""

    @property
    def code(self) -> Argument | None:
        """The argument that may be a whole cell."""
        return next((a for a in self.arguments if a.form is Form.REST), None)


def whole(text: str) -> int:
    """A whole number, from 0."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise ValueError("a whole number")
    return number


def positive(text: str) -> int:
    """A whole number, from 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise ValueError("a number of at least 1")
    return number


def place(text: str) -> int | str:
    """A point: `500`, or so many points from now, `+50`."""
    if text[:1] == "+":
        return f"+{positive(text[1:])}" if text[1:].isdigit() else _no_place()
    return positive(text) if text.isdigit() else _no_place()


def _no_place() -> int:
    raise ValueError("a point like 500, or +50 for so many from now")


def duration(text: str) -> float:
    """Seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds > 0:
        raise ValueError("a number of seconds")
    return seconds


def one_of(*words: str) -> Callable[[str], str]:
    """A reader that takes one of these."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return text

    return read


def code_of(text: str) -> str:
    """Code, which is not read here."""
    return text


_TIMEOUT = Argument(
    "timeout", "wait no longer than this; it is still wanted then",
    kind=duration, default=None, shown="SECONDS",
)  # fmt: skip
_LABEL = Argument(
    "label", "the loop whose points are meant, if there are several", default="",
    shown="LABEL",
)  # fmt: skip
_RANKS = Argument(
    "ranks", "only on these ranks, such as 0-3,7", default=None, shown="RANKS"
)

_TABLE = (
    Verb(
        "stop",
        "Hold all ranks at one point: the next to which all can come.",
        (
            Argument("point", "hold at this one instead", Form.WORD, positive, 0,
                     "POINT"),
            Argument("advance", "if the ranks cannot come to a point together, try up "
                     "to N points further", kind=whole, default=0, shown="N"),
            _LABEL,
            _TIMEOUT,
        ),
        ("", "500", "--advance 3"),
        "Ctrl-C leaves the wait; the stop is still wanted. Then `here` holds the ranks "
        "where they are, `advance` tries a point further, `go` takes it back.",
    ),
    Verb(
        "go",
        "Let all ranks go on; takes back a stop that is under way.",
        (_LABEL,),
    ),
    Verb(
        "step",
        "Go on to the N-th point from here, and hold there.",
        (
            Argument("n", "how many points", Form.WORD, positive, 1, "N"),
            _LABEL,
            _TIMEOUT,
        ),
        ("", "10"),
    ),
    Verb(
        "until",
        "Run until a point, or until a condition holds, and hold there.",
        (
            Argument("condition", "step=5000, or an expression such as residual<1e-6",
                     Form.REST, code_of, shown="CONDITION"),
            Argument("every", "look at the condition in every K-th point only",
                     kind=positive, default=1, shown="K"),
            Argument("on", "align holds all a point or so after one rank has met it, "
                     "collective at that very point, for which the ranks have to talk "
                     "to each other at each", kind=one_of("align", "collective"),
                     default="align", shown="{align,collective}"),
            _LABEL,
            _TIMEOUT,
        ),
        ("step=5000", "residual<1e-6", "--every 10 abs(u).max() > 3"),
        "A condition is evaluated on all ranks, in the frame of the loop.",
    ),
    Verb(
        "advance",
        "A stop cannot come about at this point: try one N points further.",
        (Argument("n", "how many points", Form.WORD, positive, 1, "N"), _LABEL),
        ("", "3"),
    ),
    Verb(
        "here",
        "A stop cannot come about: be content with where the ranks are.",
        (_LABEL,),
        more="Then only code that needs no other rank works.",
    ),
    Verb(
        "set",
        "Change parameters, on all ranks at the same point, while the run goes on.",
        (
            Argument("values", "the parameters and what they shall be", Form.PAIRS,
                     shown="NAME=VALUE"),
            Argument("at", "at this point, or so many points from now",
                     kind=place, default=None, shown="POINT"),
            _RANKS,
            _LABEL,
            _TIMEOUT,
        ),
        ("dt=0.01", "dt=0.01 scheme=euler --at +100"),
        "Parameters are what the program declares with `steer.params`; `params` shows "
        "them. Values are checked before anything is sent.",
    ),
    Verb(
        "at",
        "Run code at a point, on all ranks, without stopping them.",
        (
            Argument("point", "the point, or so many points from now", Form.WORD,
                     place, shown="POINT"),
            Argument("code", "what to run, in the frame of the loop", Form.REST,
                     code_of, shown="CODE"),
            _LABEL,
            _TIMEOUT,
        ),
        ("+50 checkpoint()", "1000 dt = dt / 2"),
    ),
    Verb(
        "every",
        "Run code at every N-th point from now on, on all ranks.",
        (
            Argument("n", "how many points lie between", Form.WORD, positive,
                     shown="N"),
            Argument("code", "what to run, in the frame of the loop", Form.REST,
                     code_of, shown="CODE"),
            _LABEL,
            _TIMEOUT,
        ),
        ("100 render()",),
        "`unplan` ends it; `plans` shows what is planned.",
    ),
    Verb(
        "plans",
        "Show what is to be done at points to come.",
    ),
    Verb(
        "unplan",
        "Do a planned action no more.",
        (
            Argument("plan", "its number, as `plans` shows it; without one, all",
                     Form.WORD, positive, None, "PLAN"),
            _TIMEOUT,
        ),
        ("3", ""),
    ),
    Verb(
        "params",
        "Show the parameters of the program: what they are, and may be.",
    ),
    Verb(
        "watch",
        "Have an expression evaluated at points, and show its curve over the ranks.",
        (
            Argument("expression", "a number on every rank, in the frame of the loop; "
                     "without it, what is watched", Form.REST, code_of, "",
                     "EXPRESSION"),
            Argument("every", "in every K-th point only", kind=positive, default=1,
                     shown="K"),
            Argument("on", "hold when it is true: freeze holds that rank at once, "
                     "align stops all ranks a point or so later, collective stops all "
                     "at the same point", kind=one_of("freeze", "align", "collective"),
                     default=None, shown="{freeze,align,collective}"),
            _LABEL,
        ),
        ("residual", "--every 10 abs(u).max()", "--on align residual > 1e3"),
    ),
    Verb(
        "unwatch",
        "Watch an expression no more; without one, none.",
        (Argument("expression", "what was watched, or its number", Form.REST, code_of,
                  "", "EXPRESSION"),),
        ("residual", ""),
    ),
    Verb(
        "snapshot",
        "Keep copies of variables of the loop's frame, on every rank.",
        (Argument("names", "which; all arrays and numbers if none is named",
                  Form.WORDS, default=(), shown="NAME"),),
        ("u v", ""),
        "At a stop. Refused while requests of MPI are pending.",
    ),
    Verb(
        "rewind",
        "Put back what the last snapshot has kept.",
        more="At a stop. Refused while requests of MPI are pending.",
    ),
    Verb(
        "journal",
        "Show what was done to the run: at which point, by whom, and when.",
        (Argument("n", "only the last N actions", Form.WORD, positive, 0, "N"),),
        ("", "100"),
    ),
    Verb(
        "status",
        "Show what the run and its ranks do.",
    ),
)  # fmt: skip

VERBS: Mapping[str, Verb] = {verb.name: verb for verb in _TABLE}


def perform(run: Any, name: str, arguments: Mapping[str, Any]) -> Any:
    """Do it to a run: call its method with what a line has said."""
    named = dict(arguments)
    positional: list[Any] = []
    for argument in VERBS[name].arguments:
        if argument.form is Form.PAIRS:
            named |= named.pop(argument.name, {})
        elif argument.form is Form.WORDS:
            positional += named.pop(argument.name, ())
    if isinstance(getattr(type(run), name, None), property):
        return getattr(run, name)
    return getattr(run, name)(*positional, **named)


def said(value: Any) -> str | None:
    """What a verb says in a terminal; None if it is a value to be shown as such."""
    if value is None or isinstance(value, str):
        return value
    return value.text if isinstance(value, News) else None
