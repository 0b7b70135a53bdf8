"""What a console does with a line: a verb steers the run, anything else is Python.

Verbs are those of `steer.client.verbs`; Python runs on all ranks, at a stop in the
frame of the loop, and what ranks say is folded. A `Session` is for lines that nobody
sits in front of (`steer attach sim -c stop`, a file, a pipe): the first that fails ends
it. Whoever sits there has IPython, see `attach`.
"""

from __future__ import annotations

import codeop
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from steer.client import sightverbs
from steer.client.verblines import (
    all_verbs,
    asks_for_help,
    help_of,
    read,
    spoken,
    verb,
)
from steer.client.verbs import VERBS, Verb, perform, said
from steer.errors import AlreadyDisplayedError, RemoteError, SteerError
from steer.magics import running, targets
from steer.magics.mistakes import as_sentences
from steer.magics.options import Options

if TYPE_CHECKING:
    from steer.client.debugging import Debugger

WHOLE = Options(stream=False)
"""Nobody looks on: what ranks say is shown when they have ended, folded as a whole."""
LEAVE = ("detach", "exit", "quit")
HELP = "help"
_GOES_ON = ("else", "elif", "except", "finally", "case", ")", "]", "}")
"""A line at the margin that begins so belongs to the block above."""


def is_leaving(line: str) -> bool:
    """Whether the user wants to go."""
    return line.strip().removesuffix("()") in LEAVE


def asked_for_help(line: str) -> str | None:
    """What to say if the line is `help`, or `help VERB`."""
    words = line.split()
    if not words or words[0] != HELP or len(words) > 2:
        return None
    return help_of(verb(words[1])) if len(words) == 2 else overview()


def overview() -> str:
    """All verbs, and what else may be typed."""
    return (
        f"{all_verbs()}Anything else is Python, and runs on all ranks; at a stop in "
        f"the frame of the loop.\n{', '.join(LEAVE)}: leave; the run goes on.\n"
    )


class Session:
    """Lines for a run, one after the other."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self._debugger: Debugger | None = None

    def all(self, lines: Iterable[str]) -> int:
        """Do them; the exit status."""
        try:
            for line in blocks(lines):
                if is_leaving(line):
                    break
                self.do(line)
        except AlreadyDisplayedError:
            return 1
        except RemoteError as error:
            sys.stderr.write("\n".join(error._render_traceback_()) + "\n")
            return 1
        except SteerError as error:
            sys.stderr.write(f"steer: {error}\n")
            return 1
        return 0

    def do(self, line: str) -> None:
        """One line, or a block of Python."""
        told = asked_for_help(line)
        if told is not None:
            sys.stdout.write(told)
            return
        found = spoken(line)
        with as_sentences():
            if found is None:
                running.run(self._run.view, line, WHOLE)
                return
            meant, rest = found
            if asks_for_help(rest):
                sys.stdout.write(help_of(meant))
                return
            self._show(self._perform(meant, read(meant, rest)))

    def _perform(self, meant: Verb, arguments: dict[str, Any]) -> Any:
        if meant.name in VERBS:
            return perform(self._run, meant.name, arguments)
        view = self._run.view
        client = view.client

        def ranks(text: str) -> targets.Targets:
            return targets.parse(text, client.ids, client.groups, client.link.gone)

        if meant.name != "debug":
            return sightverbs.perform(view, meant.name, arguments, ranks)
        named = arguments.get("ranks")
        if self._debugger is None or named is not None:
            self._debugger = view.debug(None if named is None else ranks(named))
        return self._debugger.do(arguments.get("command") or "where")

    def _show(self, value: Any) -> None:
        text = said(value) or repr(value)
        if value is not None:
            sys.stdout.write(text.removesuffix("\n") + "\n")
            sys.stdout.flush()


def blocks(lines: Iterable[str]) -> Iterable[str]:
    """Lines, those that make a statement of Python together; without empty ones."""
    block: list[str] = []
    for line in lines:
        line = line.rstrip()
        at_margin = bool(line) and not line[0].isspace()
        if block and at_margin and not line.startswith(_GOES_ON) and _is_whole(block):
            yield "\n".join(block)
            block = []
        if not block and (not line or line.lstrip().startswith("#")):
            continue
        if not block and (spoken(line) or is_leaving(line) or asked_for_help(line)):
            yield line
            continue
        block.append(line)
        if len(block) == 1 and not _opens(line):
            yield line
            block = []
    if block:
        yield "\n".join(block)


def _opens(line: str) -> bool:
    """Whether Python waits for more after this line."""
    try:
        return codeop.compile_command(line) is None
    except (SyntaxError, ValueError, OverflowError):
        return False


def _is_whole(block: list[str]) -> bool:
    """Whether these lines are Python as they are."""
    try:
        compile("\n".join(block) + "\n", "<lines>", "exec")
    except (SyntaxError, ValueError, OverflowError):
        return False
    return True
