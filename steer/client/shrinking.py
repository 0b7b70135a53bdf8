"""`view.shrink()`: a world whose MPI can live without a rank goes on after a death."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from steer.client.sight import Seen, ask
from steer.errors import UsageError
from steer.ranks import RankSet, describe

if TYPE_CHECKING:
    from steer.client.views import DirectView

PATIENCE = 60.0
"""Seconds in which processes are started, and joined in."""
_CALL = "__import__('steer.engines.shrinking', fromlist=('shrink',)).{}"


class Shrunk(Seen):
    """Which ranks go on."""

    def __init__(self, ranks: RankSet, lost: RankSet, replaced: bool) -> None:
        self.ranks = ranks
        self.lost = lost
        self.replaced = replaced
        again = " What else they had made of the old world is of no use any more."
        if replaced:
            self.text = (
                f"{describe(lost)} started anew, without variables; {describe(ranks)} "
                f"kept theirs. MPI.COMM_WORLD has all of them.{again}\n"
            )
        else:
            self.text = (
                f"{describe(ranks)} go on as a world of {len(ranks)}, with what they "
                f"had. MPI.COMM_WORLD is that now.{again}\n"
            )
        self.text = self.text[:1].upper() + self.text[1:]


def shrink(view: DirectView, targets: Sequence[int], replace: bool) -> Shrunk:
    """Have the survivors of the world of these ranks go on."""
    client = view.client
    link = client.link
    engines = link.core.engines
    worlds = {engines[i].world for i in targets}
    if len(worlds) != 1:
        raise UsageError("Name ranks of one world.")
    (world,) = worlds
    survivors = [i for i, info in engines.items() if info.world == world]
    any_ = engines[survivors[0]]
    first, size = any_.id - any_.rank, any_.size
    places = RankSet(range(first, first + size)) - RankSet(survivors)
    lost = _members(link, survivors, first, size) - RankSet(survivors)
    if not lost and not (replace and places):
        raise UsageError("No rank of this world has died.")
    if lost:
        _free(link, survivors)
    if replace:
        _refuse_in_a_program(view, survivors)
    if lost:
        _call(view, survivors, "shrink()")
        _members(link, survivors, first, size)  # the hub hears of it
    if not replace:
        return Shrunk(RankSet(survivors), lost, False)
    whole = len(client.ids) + len(places)
    missing = [i - first for i in places]
    _call(view, survivors, f"replace({missing!r}, {size})")
    client.wait_for_engines(n=whole, timeout=PATIENCE)
    return Shrunk(RankSet(survivors), places, True)


def _members(link: Any, survivors: list[int], first: int, size: int) -> RankSet:
    """Who is in their world, as they say: it may have been shrunk before."""
    said: dict[Any, str] = ask(link, "members", survivors)
    silent = RankSet(survivors) - RankSet(map(int, said))
    if silent:
        raise UsageError(f"{describe(silent).capitalize()} did not answer; try again.")
    known = set(said.values())
    if len(known) > 1:
        raise UsageError(
            "Ranks do not agree about who is in their world: it was not shrunk by all "
            "of them. Kill them, and start new ones."
        )
    ranks = RankSet.parse(known.pop())
    members = [first + rank for rank in ranks or range(size)]
    return RankSet(members)


def _free(link: Any, survivors: list[int]) -> None:
    """Have calls end in which they wait for each other, or for the dead."""
    said: dict[Any, str] = ask(link, "revoke", survivors)
    silent = RankSet(survivors) - RankSet(map(int, said))
    reasons = {why for why in said.values() if why}
    if silent:
        reasons.add(f"{describe(silent).capitalize()} did not answer; try again")
    if reasons:
        raise UsageError(f"{'; '.join(reasons)}.")


def _refuse_in_a_program(view: DirectView, survivors: list[int]) -> None:
    said = _call(view, survivors, "holds()")
    held = RankSet(rank for rank, holds in said.items() if holds)
    if held:
        raise UsageError(
            f"{describe(held)} hold in the middle of a program, which a new process "
            "has not run so far. Leave out the replacing to go on without the dead."
        )


def _call(view: DirectView, ranks: list[int], what: str) -> dict[int, Any]:
    """Do it on all of them, behind what they run."""
    done = view.pull(_CALL.format(what), targets=ranks, block=False)
    if not done.wait(PATIENCE):
        states = zip(done._engines, done._states(), strict=True)
        late = RankSet(rank for rank, answered in states if not answered)
        raise UsageError(
            f"{describe(late)} did not come to it within {PATIENCE:.0f} seconds, and "
            "will when free: hold the program with run.stop(), or interrupt what runs; "
            "view.stuck() shows what they do."
        )
    answers: dict[int, Any] = done.get_dict()
    return answers
