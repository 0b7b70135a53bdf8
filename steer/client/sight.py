"""What ranks do, as a user sees it: `status`, `where`, `stuck`, `peek`.

The hub tells what ranks do (`core.sightings.Snapshot`); here a diagnosis and a tree of
stacks are made of it, with the same functions as in the hub, so that they can be drawn
as texts, tables and pictures. These objects stay as they are: to look again, ask again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from steer.client import sightpictures
from steer.core.rankstates import Doing, RankState, Spot
from steer.core.sightings import LONGEST, NATIVE_WITHIN, Samples, Snapshot, World
from steer.core.stacks import Branch, Frames, Tree, merge, merge_ranks, render
from steer.core.verdict import Diagnosis, Finding, Kind, diagnose, waiters
from steer.core.verdicttext import (
    call_text,
    comm_names,
    heading,
    headline,
    table,
    text,
)
from steer.core.waits import Graph
from steer.errors import UsageError
from steer.ranks import RankSet, describe

if TYPE_CHECKING:
    from steer.client.link import Link

PATIENCE = 10.0


class Seen:
    """Something to be read; its text is what is printed."""

    text: str

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text.rstrip("\n")


class Status(Seen):
    """What each rank does."""

    def __init__(self, shown: Snapshot, targets: Sequence[int]) -> None:
        self.states: dict[int, RankState] = {}
        """By engine."""
        for world in shown.worlds:
            for engine, state in world.by_engine.items():
                if engine in targets or state.doing is Doing.DEAD:
                    self.states[engine] = state
        nobody = Finding(Kind.RUNNING, RankSet(), RankSet(), False)
        found = Diagnosis(self.states, (nobody,), Graph(), shown.now)
        said = f"{heading(found)}\n{table(found)}"
        self.text = said.replace("finished", "idle")

    def doing(self, rank: int) -> str:
        """What one rank does, in a word or two."""
        word = self.states[rank].doing.value
        return "idle" if word == "finished" else word


class Stuck(Seen):
    """Why ranks wait: a diagnosis of each world, with its proof."""

    def __init__(self, shown: Snapshot) -> None:
        self.worlds = shown.worlds
        self.diagnoses = [diagnose(w.by_engine, shown.now) for w in shown.worlds]
        several = len(self.worlds) > 1
        parts = zip(self.worlds, self.diagnoses, strict=True)
        self.text = "\n".join(
            f"{_titled(world) if several or world.first else ''}{_said(found)}"
            for world, found in parts
        )

    @property
    def verdict(self) -> str:
        """The gravest verdict: "DEADLOCK"."""
        order = list(Kind)
        heads = [found.head.kind for found in self.diagnoses]
        return min(heads, key=order.index, default=Kind.RUNNING).value

    @property
    def states(self) -> dict[int, RankState]:
        """What each engine does."""
        return {
            engine: state
            for found in self.diagnoses
            for engine, state in found.states.items()
        }

    @property
    def blocked(self) -> RankSet:
        """The engines that wait in MPI."""
        states = self.states.items()
        return RankSet(i for i, state in states if state.doing is Doing.MPI)

    @property
    def causes(self) -> RankSet:
        """The engines because of which others wait, by the gravest verdicts."""
        return RankSet(
            engine for found in self.diagnoses for engine in found.head.causes
        )

    @property
    def proved(self) -> bool:
        """Whether a verdict is proved."""
        return any(found.proved for found in self.diagnoses)

    def _repr_html_(self) -> str:
        return sightpictures.stuck_html(self.text, self.diagnoses)

    @property
    def svg(self) -> str:
        """The wait-for graph, as a picture."""
        return "".join(sightpictures.graph_svg(found) for found in self.diagnoses)


class Where(Seen):
    """The stacks of ranks as one tree."""

    def __init__(self, shown: Snapshot, targets: Sequence[int], over: float) -> None:
        self.tree = _tree(shown.stacks, set(targets), over > 0)
        self._over = over
        self._calls = _calls(shown)
        missing = RankSet(targets) - RankSet.from_mask(self.tree.mask)
        self.text = render(self.tree, self._note, over_time=over > 0)
        if missing:
            self.text += _without_stack(missing, shown)
        self.text += "".join(f"{note}\n" for note in shown.notes)

    def _note(self, branch: Branch) -> str:
        """The call in which all those are whose innermost line it is."""
        said = {self._calls.get(r, "") for r in RankSet.from_mask(branch.leaves)}
        said.discard("")
        return ", ".join(sorted(said)[:2]) + (", …" if len(said) > 2 else "")

    def _repr_html_(self) -> str:
        return sightpictures.tree_html(self.tree, self._note)

    @property
    def svg(self) -> str:
        """A picture: a box for each line, as wide as its part of the ranks."""
        return sightpictures.boxes_svg(self.tree)


class Peek(Seen):
    """What an expression is on ranks that go on meanwhile."""

    def __init__(self, expression: str, told: dict[str, Any]) -> None:
        self.values: dict[int, str] = {}
        """Its text, by engine."""
        self.refusals: dict[int, str] = {}
        groups: list[tuple[RankSet, str]] = []
        for ranks, body in told["said"]:
            shown, refused, _ = body
            into, said = (self.refusals, refused) if refused else (self.values, shown)
            into.update(dict.fromkeys(RankSet.parse(ranks), said))
            groups.append((RankSet.parse(ranks), said))
        self.missing = RankSet.parse(told["missing"])
        if self.missing:
            groups.append((self.missing, "no answer in time; %pxstatus tells more"))
        self.text = folded(groups, len(self.values) > 0)


def folded(groups: list[tuple[RankSet, str]], racy: bool = False) -> str:
    """Ranks before what they say, and that once for all of them."""
    from steer.core.folding import columns, head

    heads = [head(ranks) for ranks, _ in groups]
    wide = max(map(columns, heads), default=0)
    lines = []
    for (_, said), title in zip(groups, heads, strict=True):
        first, *rest = said.split("\n")
        lines.append(f"{title}{' ' * (wide - columns(title))}  {first}")
        lines += [f"{' ' * wide}  {line}" for line in rest]
    if racy:
        lines.append("racy: read while the ranks went on")
    return "".join(f"{line}\n" for line in lines)


# -- asking


def ask(
    link: Link,
    what: str,
    targets: Sequence[int],
    patience: float = PATIENCE,
    **arguments: Any,
) -> Any:
    """Ask the hub what ranks do."""
    ranks = str(RankSet(targets))
    future = link.ask("sight", view=what, targets=ranks, **arguments)
    return link.wait(future, patience)


def status(link: Link, targets: Sequence[int]) -> Status:
    """What each of these ranks does."""
    return Status(snapshot(ask(link, "states", targets)), targets)


def stuck(link: Link, targets: Sequence[int]) -> Stuck:
    """Why ranks of these worlds wait."""
    return Stuck(snapshot(ask(link, "states", targets, deep=True, world=True)))


def where(
    link: Link, targets: Sequence[int], seconds: float = 0.0, native: bool = False
) -> Where:
    """The lines at which these ranks are."""
    if not 0 <= seconds <= LONGEST:
        raise UsageError(f"Stacks are sampled for at most {LONGEST:.0f} seconds.")
    if native and seconds:
        raise UsageError("Native frames are shown of one moment; leave out the time.")
    patience = PATIENCE + seconds + (NATIVE_WITHIN if native else 0.0)
    asked = {"seconds": seconds, "native": native}
    shown = snapshot(ask(link, "stacks", targets, patience, **asked))
    return Where(shown, targets, seconds)


def peek(link: Link, targets: Sequence[int], expression: str) -> Peek:
    """What an expression is on these ranks, without stopping them."""
    told = ask(link, "peek", targets, expression=expression)
    return Peek(expression, told)


def snapshot(told: Any) -> Snapshot:
    """What the hub has told."""
    return msgspec.convert(told, type=Snapshot, strict=False)


# -- what comes unasked


def verdict_text(shown: Snapshot) -> str:
    """What is said of a request that is silent."""
    return "\n".join(
        f"{_titled(world) if world.first else ''}"
        f"{text(diagnose(world.by_engine, shown.now))}"
        for world in shown.worlds
        if world.size > 1
    )


def waiters_text(shown: Snapshot, failed: RankSet) -> str:
    """Who waits for ranks that failed, and what helps; empty if nobody does."""
    lines: list[str] = []
    for world in shown.worlds:
        waiting = RankSet()
        states = world.by_engine
        for engine in failed:
            if engine in states:
                waiting = waiting | waiters(states, engine)
        for where_, engines in _places(states, waiting).items():
            lines.append(f"waiting for {describe(failed)}: {RankSet(engines)} {where_}")
    if lines:
        lines.append("→ %pxunstick    %pxstuck")
    return "".join(f"{line}\n" for line in lines)


def _places(states: Mapping[int, RankState], waiting: RankSet) -> dict[str, list[int]]:
    names = comm_names(states)
    found: dict[str, list[int]] = {}
    for rank in waiting:
        state = states[rank]
        call = call_text(state.call, names) if state.call else "a call of MPI"
        found.setdefault(f"in {call}  {state.spot}", []).append(rank)
    return found


# -- helpers


def _titled(world: World) -> str:
    ids = RankSet(range(world.first, world.first + world.size))
    if world.size == 1:
        return f"Engine {ids}:\n"
    return f"Ranks 0-{world.size - 1} of their world, told as engines {ids}:\n"


def _said(found: Diagnosis) -> str:
    if found.head.kind is Kind.RUNNING:
        return f"{headline(found)}\n{table(found)}".replace("finished", "idle")
    return text(found)


def _tree(
    stacks: Sequence[tuple[str, Samples]], targets: set[int], over_time: bool
) -> Tree:
    frames = Frames()
    if over_time:
        samples = list(_samples(stacks, targets, frames))
        return merge(samples)
    ranks: list[int] = []
    found = []
    for whose, samples_ in stacks:
        for _, raw in samples_[:1]:
            stack = frames.stack(raw)
            if not stack:  # of a cell that could not be compiled
                continue
            mine = [rank for rank in RankSet.parse(whose) if rank in targets]
            ranks += mine
            found += [stack] * len(mine)
    return merge_ranks(ranks, found)


def _samples(
    stacks: Sequence[tuple[str, Samples]], targets: set[int], frames: Frames
) -> Iterator[tuple[int, tuple[Spot, ...]]]:
    for whose, samples in stacks:
        masks = [1 << rank for rank in RankSet.parse(whose) if rank in targets]
        for count, raw in samples:
            stack = frames.stack(raw)
            for mask in masks:
                yield from [(mask, stack)] * count


def _calls(shown: Snapshot) -> dict[int, str]:
    """The calls of MPI in which engines are."""
    found = {}
    for world in shown.worlds:
        states = world.by_engine
        names = comm_names(states)
        for engine, state in states.items():
            if state.call is not None:
                maybe = "may be in " if state.call.guessed else ""
                found[engine] = maybe + call_text(state.call, names)
            elif state.doing is Doing.POST_MORTEM:
                found[engine] = state.detail
            elif state.doing is Doing.HELD:
                found[engine] = f"held at {state.detail}"
    return found


def _without_stack(missing: RankSet, shown: Snapshot) -> str:
    silent = RankSet.parse(shown.silent) & missing
    idle = missing - silent
    lines = ""
    if idle:
        lines += f"[{idle}]  nothing runs there\n"
    if silent:
        lines += f"[{silent}]  no answer, and no stack could be had\n"
    return lines
