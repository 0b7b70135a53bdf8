"""Look at every state that a model can come to.

Breadth first, so that the counter-example is one of the shortest. A model is a first
state and a function from a state to the steps that are possible in it; two more say
what is wrong with a state, and whether nothing has to happen in it any more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable
from typing import Any

State = Any
Steps = Iterable[tuple[str, State]]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What was found."""

    states: int
    wrong: str = ""
    """"unsafe: ...", "deadlock", or nothing."""
    story: tuple[str, ...] = ()
    """The steps that lead there."""
    last: Hashable = None

    def __str__(self) -> str:
        if not self.wrong:
            return f"holds in all {self.states} states"
        steps = "\n".join(f"  {n:2}. {step}" for n, step in enumerate(self.story, 1))
        return f"{self.wrong}, after {self.states} states:\n{steps}\n  {self.last}"


class TooMany(Exception):
    """The model has more states than the test wants to look at."""


def explore(
    first: State,
    steps: Callable[[State], Steps],
    wrong: Callable[[State], str],
    over: Callable[[State], bool],
    most: int = 2_000_000,
) -> Verdict:
    """Every state is safe, and none is stuck: or the shortest way to one that is."""
    came: dict[State, tuple[State, str] | None] = {first: None}
    level = [first]
    while level:
        further = []
        for state in level:
            if bad := wrong(state):
                return Verdict(len(came), f"unsafe: {bad}", _way(came, state), state)
            stuck = True
            for label, after in steps(state):
                stuck = False
                if after not in came:
                    came[after] = state, label
                    further.append(after)
            if stuck and not over(state):
                return Verdict(len(came), "deadlock", _way(came, state), state)
        if len(came) > most:
            raise TooMany(f"more than {most} states")
        level = further
    return Verdict(len(came))


def _way(came: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    way = []
    while (step := came[state]) is not None:
        state, label = step
        way.append(label)
    return tuple(reversed(way))
