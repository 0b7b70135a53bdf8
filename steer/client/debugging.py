"""Walking the frames of ranks that failed: `view.debug()` and `%pxdebug`.

Ranks that show the same are told together, so that a thousand ranks that failed alike
are walked as one.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from steer.client.sight import Seen, folded
from steer.core.rankstates import Doing
from steer.errors import NoEnginesRegistered, UsageError
from steer.ranks import RankSet, describe

if TYPE_CHECKING:
    from steer.client.views import DirectView

PATIENCE = 30.0
"""Seconds in which a rank that is free answers."""

HELP = """\
where, w      the frames, with a mark at the one that you are in
up, u [N]     to the frame that called it
down, d [N]   back
locals, l     its variables
p EXPRESSION  the value of an expression in it; the p may be left out
quit, q       leave
"""
_SHORT = {
    "w": "where", "bt": "where", "u": "up", "d": "down", "l": "locals", "q": "quit",
    "h": "help", "?": "help", "exit": "quit",
}  # fmt: skip


class Shown(Seen):
    """What ranks show."""

    def __init__(self, said: dict[int, str]) -> None:
        self.said = said
        groups: dict[str, list[int]] = {}
        for rank, text in said.items():
            groups.setdefault(text, []).append(rank)
        self.text = folded([(RankSet(ranks), text) for text, ranks in groups.items()])


class Debugger:
    """The frames of the error that ended the last request of some ranks, or of the
    program that is held there."""

    def __init__(
        self, view: DirectView, ranks: Sequence[int], held: bool = False
    ) -> None:
        self.ranks = RankSet(ranks)
        self._held = held
        self._view = view
        self._up = 0
        self._deepest = 0

    def _ask(self, word: str, argument: str = "") -> Shown:
        # By its name: what runs on engines is not imported here.
        code = (
            "__import__('steer.engines.debugging', fromlist=('command',))"
            f".command({word!r}, {self._up}, {argument!r}, {self._held})"
        )
        asked = self._view.pull(code, targets=list(self.ranks), block=False)
        answers = asked.get_dict(PATIENCE)
        self._deepest = max(depth for depth, _ in answers.values())
        return Shown({rank: text for rank, (_, text) in answers.items()})

    def where(self) -> Shown:
        """The frames, the innermost last."""
        return self._ask("where")

    def up(self, n: int = 1) -> Shown:
        """To the frame that called this one."""
        self._up += n
        shown = self._ask("here")
        self._up = min(self._up, max(self._deepest - 1, 0))
        return shown

    def down(self, n: int = 1) -> Shown:
        """Back towards the innermost frame."""
        self._up = max(self._up - n, 0)
        return self._ask("here")

    def locals(self) -> Shown:
        """The variables of this frame."""
        return self._ask("locals")

    def p(self, expression: str) -> Shown:
        """The value of an expression in this frame."""
        return self._ask("p", expression)

    def do(self, line: str) -> str | None:
        """What a line of a person's shows; None if it is to leave."""
        word, _, rest = line.strip().partition(" ")
        word = _SHORT.get(word, word)
        match word:
            case "":
                return ""
            case "quit":
                return None
            case "help":
                return HELP
            case "where" | "locals" if not rest:
                return str(self.where() if word == "where" else self.locals())
            case "up" | "down" if not rest or rest.isdigit():
                move = self.up if word == "up" else self.down
                return str(move(int(rest or 1)))
            case "p":
                return str(self.p(rest))
            case _:
                return str(self.p(line.strip()))

    def talk(self) -> Iterator[str]:
        """Ask a person for lines until there are no more."""
        yield str(self.where())
        while True:
            try:
                line = builtins.input(f"[{self.ranks}] debug> ")
            except (EOFError, KeyboardInterrupt):
                return
            shown = self.do(line)
            if shown is None:
                return
            yield shown

    def __repr__(self) -> str:
        return f"<Debugger of {describe(self.ranks)}: where, up, down, locals, p>"


def debugger(view: DirectView, ranks: Sequence[int], chosen: bool) -> Debugger:
    """A debugger for those of the ranks that failed; if none did, for those held."""
    states = view.status(list(ranks)).states
    for doing in (Doing.POST_MORTEM, Doing.HELD):
        there = [r for r in ranks if states[r].doing is doing]
        if there:
            return Debugger(view, there, doing is Doing.HELD)
    if not ranks:
        raise NoEnginesRegistered
    who = describe(RankSet(ranks)) if chosen else "No rank"
    verb = "did not fail" if chosen else "failed"
    raise UsageError(
        f"{who} {verb} in the last cell, and no program is held there: there is "
        "nothing to look into."
    )
