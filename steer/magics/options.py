"""The options of the magics: what they mean, how they are read, and their help.

`%%px`, `%pxconfig` and `%pxresult` share one table. `%pxconfig` changes what the
others find when an option is not given.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import shlex
import signal
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from steer.errors import UsageError

GROUPINGS = ("engine", "order", "type")
SILENCED_BY = ("STEER_NONINTERACTIVE", "IPP_NONINTERACTIVE")
"""Variables of the environment that turn live output off, for runs nobody watches."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How a cell is run and shown."""

    block: bool | None = None
    """Wait for the cell; None: as the view says."""
    stream: bool | None = None
    """Show output while it comes; None: unless a grouping is asked for."""
    progress_after: float = 2.0
    """Seconds until a bar says how far it is; below 0 never."""
    signal: int = signal.SIGINT
    """What Ctrl-C sends to the ranks; 0 is nothing."""
    group: str | None = None
    """ipyparallel's display by type, engine or order; None: folded."""
    fold: bool = True
    """Show what ranks say alike once."""
    timeout: float | None = None
    """Seconds after which ranks that still run are interrupted."""
    on_error: str = "stop"
    """Whether cells that wait are aborted if this one fails."""
    when: str = ""
    """Run only on ranks where this expression is true."""
    verbose: bool = False
    """Say where it runs."""

    @property
    def streams(self) -> bool:
        """Whether output is shown while it comes."""
        if self.stream is None:
            quiet = any(os.environ.get(name) for name in SILENCED_BY)
            return self.group is None and not quiet
        return self.stream


@dataclasses.dataclass(frozen=True)
class Asked:
    """What one option line asks for: changed options, and what is no setting."""

    changes: Mapping[str, Any]
    targets: str = ""
    out: str = ""
    local: bool = False
    groups: tuple[str, ...] = ()
    help: bool = False


class _Parser(argparse.ArgumentParser):
    """Says what is wrong as an error of the user's, and does not end the program."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(
            f"{self.prog}: {message[0].lower()}{message[1:]}; "
            f"`{self.prog} --help` lists the options."
        )


@functools.lru_cache(maxsize=64)
def parse(parser: argparse.ArgumentParser, line: str) -> Asked:
    """Read an option line; most are like one before, and argparse is slow."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"{parser.prog}: {str(error).lower()} in {line!r}.") from None
    found = vars(parser.parse_args(_joined(words)))
    apart = {field.name for field in dataclasses.fields(Asked)} - {"changes"}
    rest = {name: found.pop(name) for name in list(found) if name in apart}
    if "groups" in rest:
        rest["groups"] = tuple(rest["groups"])
    return Asked(found, **rest)


def _joined(words: Sequence[str]) -> list[str]:
    """The words, where `-t -1:` is one: argparse takes `-1:` for an option."""
    joined: list[str] = []
    for word in words:
        before = joined[-1] if joined else ""
        if before in ("-t", "--targets") and word[:1] == "-" and word[1:2].isdigit():
            joined[-1] = f"--targets={word}"
        else:
            joined.append(word)
    return joined


# -- the table


def cell_parser(name: str) -> argparse.ArgumentParser:
    """What `%%px` takes."""
    parser = _make(name, "Run the cell on the ranks of the active view.")
    _add_settings(parser)
    _add_grouping(parser)
    add = parser.add_argument
    add("--timeout", type=_seconds, metavar="SECONDS",
        help="interrupt the ranks that still run after this time, and raise "
        "TimeoutError")  # fmt: skip
    add("--on-error", choices=("stop", "continue"), dest="on_error",
        help="stop (the default): if a rank fails, cells that wait are aborted on "
        "all ranks; continue: they run")  # fmt: skip
    add("--when", metavar="EXPR",
        help="run only on the ranks where EXPR, evaluated there, is true")  # fmt: skip
    add("--local", action="store_true",
        help="run the cell here too, after it was sent to the ranks")  # fmt: skip
    _add_out(parser)
    return parser


def config_parser(name: str) -> argparse.ArgumentParser:
    """What `%pxconfig` takes."""
    parser = _make(
        name, "Say what later cells do if they do not say otherwise; alone, show it."
    )
    _add_settings(parser)
    parser.add_argument(
        "--group", action="append", dest="groups", metavar="NAME=TARGETS",
        help="name some ranks, to be used as targets; NAME= forgets the name",
    )  # fmt: skip
    return parser


def result_parser(name: str) -> argparse.ArgumentParser:
    """What `%pxresult` takes."""
    parser = _make(name, "Wait for the last cell and show its output.")
    _add_grouping(parser)
    _add_fold(parser)
    _add_out(parser)
    return parser


def _make(name: str, description: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=name, description=description, add_help=False, allow_abbrev=False,
        argument_default=argparse.SUPPRESS, formatter_class=_wide,
    )  # fmt: skip
    parser.add_argument("-h", "--help", action="store_true", help="show this text")
    return parser


def _wide(prog: str) -> argparse.HelpFormatter:
    """The same lines whatever the terminal: they are documentation too."""
    return argparse.HelpFormatter(prog, max_help_position=30, width=88)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-t", "--targets", metavar="RANKS",
        help="0-3,7 or -1, a slice of the ids (::2), [0,2], all, or a "
        "group's name")  # fmt: skip
    add("-b", "--block", action="store_true", dest="block",
        help="wait for the cell")  # fmt: skip
    add("-a", "--noblock", action="store_false", dest="block",
        help="return an AsyncResult at once")  # fmt: skip
    _switch(parser, "stream", "show output while it comes")
    add("--progress-after", type=float, metavar="SECONDS", dest="progress_after",
        help="show a progress bar after this time; 0 at once, -1 never "
        "(2)")  # fmt: skip
    add("--signal-on-interrupt", type=_signal, metavar="SIGNAL", dest="signal",
        help="what Ctrl-C sends to the ranks: a name or a number, 0 for nothing "
        "(SIGINT)")  # fmt: skip
    _add_fold(parser)
    _switch(parser, "verbose", "say where the cell runs")


def _add_grouping(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-r", action="store_const", const="order", dest="group",
        help="the same as --group-outputs=order")  # fmt: skip
    add("-e", action="store_const", const="engine", dest="group",
        help="the same as --group-outputs=engine")  # fmt: skip
    add("--group-outputs", choices=GROUPINGS, dest="group",
        help="show the whole output of each rank under headings when the cell has "
        "ended, instead of folding it")  # fmt: skip


def _add_fold(parser: argparse.ArgumentParser) -> None:
    _switch(parser, "fold", "show once what ranks say alike")


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--out", metavar="NAME", type=_name,
        help="store the AsyncResult under this name",
    )  # fmt: skip


def _switch(parser: argparse.ArgumentParser, name: str, text: str) -> None:
    add = parser.add_argument
    add(f"--{name}", action="store_true", dest=name, help=text)
    add(f"--no-{name}", action="store_false", dest=name, help="do not")


# -- values


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return value


def _signal(text: str) -> int:
    """The number of a signal by its name or number; 0 is none."""
    if text == "0":
        return 0
    try:
        if text.isdecimal():
            return signal.Signals(int(text)).value
        return signal.Signals[text].value
    except (KeyError, ValueError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no signal; SIGINT, 2 or 0 are"
        ) from None


def _name(text: str) -> str:
    if not text.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a variable")
    return text


def signal_name(number: int) -> str:
    """What a sentence calls a signal."""
    return signal.Signals(number).name if number else "no signal"


def described(options: Options, names: Iterable[str]) -> list[str]:
    """The settings as one would write them."""
    lines = []
    for name in names:
        value = getattr(options, name)
        if value is None:
            continue
        if name == "signal":
            shown = signal_name(value) if value else 0
            lines.append(f"--signal-on-interrupt {shown}")
        elif isinstance(value, bool):
            lines.append(f"--{name}" if value else f"--no-{name}")
        else:
            lines.append(f"--{name.replace('_', '-')} {value:g}")
    return lines
