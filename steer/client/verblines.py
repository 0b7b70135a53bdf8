"""Read a line of text as the arguments of a verb, and make a verb's help.

    read(VERBS["step"], "10")               {"n": 10}
    read(VERBS["at"], "+50 checkpoint()")   {"point": "+50", "code": "checkpoint()"}

Options stand before the rest. Code is taken as it is; other values are read and never
evaluated, since a line may come from a notebook that somebody else wrote: what Python
knows as a number, a text or True is that, anything else is text.
"""

from __future__ import annotations

import ast
import re
import shlex
import textwrap
from typing import Any

from steer.client import sightverbs
from steer.client.verbs import REQUIRED, VERBS, Argument, Form, Verb
from steer.errors import UsageError

ALL = dict(VERBS) | {n: v for n, v in sightverbs.VERBS.items() if n not in VERBS}
"""What may be said to a run: the verbs of steering, and those of sight."""
HELP = ("-h", "--help")
WIDTH = 80
_WORD = re.compile(r"""\s*((?:[^\s"']|"(?:[^"\\]|\\.)*"|'[^']*')+)(?=\s|$)""")
_SPOKEN = re.compile(r"(\w+)(?:\s+(.*))?", re.S)
_PYTHON = re.compile(
    # An operator that stands alone, or a word that joins two expressions.
    r"(?:[-+*/%@&|^<>=!]{1,3}=?(?=\s|$)|==?|[-+*/%@&|^]=|[.,:;)\]]"
    r"|(?:in|is|and|or|if|not\s+in)\b)"
)
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


def asks_for_help(line: str) -> bool:
    """Whether it is `--help` alone."""
    return line.strip() in HELP


def read(verb: Verb, line: str, body: str | None = None) -> dict[str, Any]:
    """What the line says; `body` is the cell below it. Only what was said is in it."""
    return _Reader(verb, line, body).read()


class _Reader:
    """One line."""

    def __init__(self, verb: Verb, line: str, body: str | None) -> None:
        self._verb = verb
        self._left = line.strip()
        self._body = body
        self._found: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        self._options()
        for argument in self._verb.arguments:
            match argument.form:
                case Form.WORD:
                    self._word_of(argument)
                case Form.REST:
                    self._rest_of(argument)
                case Form.PAIRS:
                    self._pairs_of(argument)
                case Form.WORDS:
                    self._words_of(argument)
                case Form.OPTION | Form.FLAG:
                    pass
            self._options()
        if self._left:
            raise self._wrong(f"{self._left!r} is too much")
        if self._body is not None and self._verb.code is None:
            raise self._wrong("it takes no cell")
        for argument in self._verb.arguments:
            if argument.default is REQUIRED and argument.name not in self._found:
                raise self._wrong(f"{argument.shown} is missing: {argument.help}")
        return self._found

    # -- words

    def _next(self) -> str:
        """The next word as it is written; it stays."""
        found = _WORD.match(self._left)
        if found is None:
            raise self._wrong(f"a quotation has no end in {self._left!r}")
        return found[1]

    def _take(self) -> str:
        """The next word, without its quotation marks."""
        word = self._next()
        self._left = self._left[len(word) :].lstrip()
        try:
            return " ".join(shlex.split(word))
        except ValueError as error:
            raise self._wrong(f"{str(error).lower()} in {word!r}") from None

    def _options(self) -> None:
        """Take the options that come next."""
        options = {
            a.option: a
            for a in self._verb.arguments
            if a.form in (Form.OPTION, Form.FLAG)
        }
        while self._left.startswith("--"):
            name, equals, value = self._next().partition("=")
            argument = options.get(name)
            if argument is None:
                raise self._wrong(f"there is no option {name}")
            self._take()
            if argument.form is Form.FLAG:
                if equals:
                    raise self._wrong(f"{name} takes no value")
                self._found[argument.name] = True
                continue
            if not equals and not self._left:
                raise self._wrong(f"{name} needs a value")
            self._put(argument, value if equals else self._take())

    def _word_of(self, argument: Argument) -> None:
        if self._left:
            self._put(argument, self._take())

    def _rest_of(self, argument: Argument) -> None:
        text, self._left = self._left, ""
        if self._body is not None:
            if text:
                raise self._wrong(
                    f"the code is the cell below, so {text!r} is too much"
                )
            text = self._body
        if text.strip():
            self._put(argument, text)

    def _words_of(self, argument: Argument) -> None:
        words = []
        while self._left and not self._left.startswith("--"):
            words.append(argument.kind(self._take().rstrip(",")))
        if words:
            self._found[argument.name] = tuple(words)

    def _pairs_of(self, argument: Argument) -> None:
        pairs: dict[str, Any] = {}
        options = {a.name: a for a in self._verb.arguments if a.form is Form.OPTION}
        while self._left and not self._left.startswith("--"):
            written = self._next()
            name, equals, _ = written.partition("=")
            if not equals or not _NAME.fullmatch(name) or written.endswith("="):
                raise self._wrong(f"{written!r} is not {argument.shown}, as in dt=0.01")
            if name in pairs:
                raise self._wrong(f"{name} is set twice")
            # The quotation marks stay for the value: "5" is a text.
            self._left = self._left[len(written) :].lstrip()
            text = written[len(name) + 1 :]
            if name in options:  # at=+100
                self._put(options[name], text)
            else:
                pairs[name] = value_of(text)
        if pairs:
            self._found[argument.name] = pairs

    def _put(self, argument: Argument, text: str) -> None:
        if argument.name in self._found:
            raise self._wrong(f"{argument.shown or argument.option} is given twice")
        try:
            self._found[argument.name] = argument.kind(text)
        except ValueError as error:
            what = argument.option if argument.form is Form.OPTION else argument.shown
            raise self._wrong(f"{what} is {error}, not {text!r}") from None

    def _wrong(self, what: str) -> UsageError:
        name = self._verb.name
        return UsageError(f"{name}: {what}. Usage: {usage(self._verb)}")


def spoken(line: str) -> tuple[Verb, str] | None:
    """The verb that a line of a console begins with, and the rest; None: it is code.

    `step 10` and `watch -x` are verbs; `step = 10`, `step.real` and `at(3)` are Python.
    """
    found = _SPOKEN.fullmatch(line.strip())
    if found is None or found[1] not in ALL:
        return None
    verb, rest = ALL[found[1]], found[2] or ""
    return None if _PYTHON.match(rest) else (verb, rest)


def value_of(text: str) -> Any:
    """A value as it is written: `0.01`, `True`, `'a text'`, `euler`."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


# -- help


def usage(verb: Verb, prefix: str = "") -> str:
    """How it is written: `step [--timeout SECONDS] [N]`."""
    options, rest = [], []
    for argument in verb.arguments:
        optional = argument.default is not REQUIRED
        match argument.form:
            case Form.FLAG:
                options.append(f"[{argument.option}]")
            case Form.OPTION:
                options.append(f"[{argument.option} {argument.shown}]")
            case Form.PAIRS | Form.WORDS:
                more = f"{argument.shown} ..."
                rest.append(f"[{more}]" if optional else more)
            case Form.WORD | Form.REST:
                rest.append(f"[{argument.shown}]" if optional else argument.shown)
    return " ".join([prefix + verb.name, *options, *rest])


def all_verbs() -> str:
    """A line for each verb."""
    width = max(map(len, ALL)) + 2
    lines = [f"  {v.name:<{width}}{v.help.rstrip('.')}" for v in ALL.values()]
    return "\n".join(["verbs (`help VERB` says more):", *lines, ""])


def verb(name: str) -> Verb:
    """The verb of that name; UsageError if there is none."""
    found = ALL.get(name)
    if found is None:
        raise UsageError(f"There is no verb {name!r}; there are {', '.join(ALL)}.")
    return found


def help_of(verb: Verb, prefix: str = "") -> str:
    """All that there is to say about a verb."""
    lines = [f"usage: {usage(verb, prefix)}", "", *_wrapped(verb.help, "")]
    if verb.arguments:
        lines.append("")
    for argument in verb.arguments:
        named = argument.form in (Form.OPTION, Form.FLAG)
        name = f"{argument.option} {argument.shown}" if named else argument.shown
        text = argument.help
        if argument.default is not REQUIRED and argument.default:
            text += f"; default: {argument.default}"
        lines += _entry(name.strip(), text)
    if verb.more:
        lines += ["", *_wrapped(verb.more, "")]
    if verb.examples:
        lines += ["", "examples:"]
        lines += [f"  {prefix}{verb.name} {e}".rstrip() for e in verb.examples]
    return "\n".join(lines) + "\n"


def _entry(name: str, text: str) -> list[str]:
    lines = _wrapped(text, " " * 24)
    if len(name) > 20:
        return [f"  {name}", *lines]
    return [f"  {name:<22}{lines[0].lstrip()}", *lines[1:]]


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent,
        break_on_hyphens=False,
    )  # fmt: skip
