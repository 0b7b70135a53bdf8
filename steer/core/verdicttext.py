"""A diagnosis as lines that need no manual.

    4 ranks: 3 blocked, 1 post-mortem        verdict: WAITING ON FAILED (rank 3)
     [0-2]  Allreduce(comm WORLD, #812)  solver.py:120        12 s
     [3]    ZeroDivisionError            solver.py:88 in rhs
     Ranks 0-2 wait for rank 3, whose program failed: they cannot go on.
     → %pxunstick    %pxdebug --ranks 3

Ranks that do the same stand in one line, the largest group first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from steer.core.folding import brief, columns
from steer.core.mpiops import OPS, Need
from steer.core.rankstates import ANY, UNKNOWN, Call, Comm, Doing, Message, RankState
from steer.core.verdict import Diagnosis, Finding, Kind
from steer.ranks import RankSet, describe

_LONGEST_CYCLE = 12


@dataclass(frozen=True)
class Row:
    """Ranks that do the same at the same place."""

    ranks: RankSet
    what: str
    place: str
    seconds: float | None
    """For how long at least; None if that is not known."""


def text(found: Diagnosis) -> str:
    """The whole of it, a line end after each line."""
    lines = [headline(found)]
    for finding in found.findings:
        lines += [f" {line}" for line in explain(finding, found.states)]
    advice = "    ".join(suggestions(found))
    if advice:
        lines.append(f" → {advice}")
    lines[1:1] = table(found).splitlines()
    return "".join(f"{line}\n" for line in lines)


def table(found: Diagnosis) -> str:
    """A line for each group of ranks that do the same."""
    lines = []
    rows = rows_of(found)
    heads = [f"[{brief(row.ranks)}]" for row in rows]
    times = [duration(row.seconds) for row in rows]
    widths = [
        max(map(columns, column), default=0)
        for column in (heads, [row.what for row in rows], [row.place for row in rows])
    ]
    for head, row, time in zip(heads, rows, times, strict=True):
        cells = zip((head, row.what, row.place), widths, strict=True)
        line = "  ".join(cell + " " * (width - columns(cell)) for cell, width in cells)
        lines.append(f" {line}  {time}".rstrip())
    return "".join(f"{line}\n" for line in lines)


# -- the first line


def headline(found: Diagnosis) -> str:
    """How many do what, and the gravest verdict."""
    return f"{heading(found)}        verdict: {_title(found.head)}"


def heading(found: Diagnosis) -> str:
    """How many do what."""
    counts: dict[str, int] = {}
    for state in found.states.values():
        counts[state.doing.value] = counts.get(state.doing.value, 0) + 1
    total = len(found.states)
    said = ", ".join(f"{count} {word}" for word, count in _by_number(counts))
    return f"{total} {'rank' if total == 1 else 'ranks'}: {said}"


def _by_number(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: -item[1])


def _title(head: Finding) -> str:
    match head.kind:
        case Kind.DEADLOCK | Kind.MISMATCH:
            proof = f"proved: none of its ranks has moved for {duration(head.still)}"
            return f"{head.kind} ({proof})"
        case Kind.QUIET | Kind.RUNNING:
            return {Kind.QUIET: "QUIET (not proved)"}.get(head.kind, head.kind.value)
        case _:
            return f"{head.kind} ({describe(head.causes)})"


# -- the table


def rows_of(found: Diagnosis) -> list[Row]:
    """A row for each group of ranks that do the same at the same place."""
    names = comm_names(found.states)
    groups: dict[tuple[str, str], list[int]] = {}
    for rank, state in found.states.items():
        key = _what(state, names), _place(state)
        groups.setdefault(key, []).append(rank)
    rows = []
    for (what, place), ranks in groups.items():
        since = [found.states[rank].since for rank in ranks]
        known = [moment for moment in since if moment is not None]
        seconds = found.now - max(known) if len(known) == len(since) else None
        rows.append(Row(RankSet(ranks), what, place, seconds))
    rows.sort(key=lambda row: (-len(row.ranks), row.ranks.min()))
    return rows


def _what(state: RankState, names: Mapping[tuple[str, str], str]) -> str:
    if state.call is not None and state.call.guessed:
        holding = ", holding the GIL" if state.doing is Doing.HOLDING else ""
        return f"may be in {call_text(state.call, names)}{holding}"
    if state.call is not None:
        return call_text(state.call, names)
    match state.doing:
        case Doing.POST_MORTEM:
            return state.detail
        case Doing.PYTHON:
            return "computing"
        case Doing.NATIVE:
            return f"in {state.detail}" if state.detail else "in native code"
        case Doing.HOLDING:
            return "in native code, holding the GIL"
        case _:
            detail = f" ({state.detail})" if state.detail else ""
            return f"{state.doing}{detail}"


def _place(state: RankState) -> str:
    spot = state.spot
    named = spot.function and spot.function != "<module>" and state.call is None
    return f"{spot} in {spot.function}" if named else str(spot)


def call_text(call: Call, names: Mapping[tuple[str, str], str]) -> str:
    """`Recv(source=62, tag=7, comm WORLD)`."""
    said: list[str] = []
    for word, message in (("dest", call.send), ("source", call.receive)):
        if message is not None:
            said += _message(word, message, word == "dest")
    if call.root >= 0:
        said.append(f"root={call.root}")
    op = OPS.get(call.op)
    if call.comm is not None:
        said.append(f"comm {names.get(call.comm.key) or call.comm.name or '?'}")
    elif op is None or op.need is not Need.REQUEST:
        said.append("comm ?")
    if call.number:
        said.append(f"#{call.number}")
    return f"{call.op}({', '.join(said)})"


def _message(word: str, message: Message, sends: bool) -> Iterator[str]:
    peers = {ANY: "any", UNKNOWN: "?"}
    yield f"{word}={peers.get(message.peer, message.peer)}"
    if message.tag == UNKNOWN:
        yield "tag=?"
    elif message.tag != ANY or sends:
        yield f"tag={message.tag}"


def comm_names(states: Mapping[int, RankState]) -> dict[tuple[str, str], str]:
    """A name for each communicator, the same on all its ranks.

    What the program calls it may differ from rank to rank: the lowest rank's word
    counts. Where that names several, the ranks tell them apart.
    """
    first: dict[tuple[str, str], Comm] = {}
    for rank in sorted(states):
        call = states[rank].call
        if call is not None and call.comm is not None:
            first.setdefault(call.comm.key, call.comm)
    words = {key: _word(comm) for key, comm in first.items()}
    said = list(words.values())
    return {
        key: word if said.count(word) == 1 else f"{word} of {brief(_set(key))}"
        for key, word in words.items()
    }


def _word(comm: Comm) -> str:
    if comm.name and not comm.name.startswith("#"):
        return comm.name
    return f"{comm.text or 'of ' + brief(RankSet.parse(comm.ranks))}{comm.name}"


def _set(key: tuple[str, str]) -> RankSet:
    return RankSet.parse(key[0])


def duration(seconds: float | None) -> str:
    """`12 s`, `3 min`, `1 h 20 min`; nothing below half a second."""
    if seconds is None or seconds < 0.5:
        return ""
    if seconds < 120:
        return f"{max(seconds, 1):.0f} s"
    minutes = int(seconds // 60)
    return (
        f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
    )


# -- the reasons, in sentences


def explain(finding: Finding, states: Mapping[int, RankState]) -> list[str]:
    """What is the matter, and what follows from it."""
    who, whom = describe(finding.waiting), describe(finding.causes)
    waits = "waits" if len(finding.waiting) == 1 else "wait"
    start = f"{_upper(who)} {waits} for {whom}"
    match finding.kind:
        case Kind.DEADLOCK:
            return _deadlock(finding, states)
        case Kind.MISMATCH:
            return _mismatch(finding)
        case Kind.FAILED:
            return [f"{start}, {_failure(finding, states)}: {_never(finding)}."]
        case Kind.FINISHED:
            return [f"{start}, where nothing runs any more: {_never(finding)}."]
        case Kind.HELD:
            if _inside(finding, states):
                return [f"{start}, {_at_its_hold(finding)}."]
            return [f"{start}, held at a point. {_later(finding)}."]
        case Kind.IMBALANCE:
            return [f"{start}, {_work(finding, states)}. {_later(finding)}."]
        case Kind.QUIET:
            return _quiet(finding)
        case Kind.RUNNING:
            return []


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _later(finding: Finding) -> str:
    one = len(finding.causes) == 1
    goes = "It goes on" if len(finding.waiting) == 1 else "They go on"
    if finding.kind is Kind.HELD:
        return f"{goes} when {'that one is' if one else 'those are'} let go"
    return f"{goes} when {'that one gets' if one else 'those get'} there"


def _inside(finding: Finding, states: Mapping[int, RankState]) -> bool:
    """Whether what waits are cells, of ranks that are held too."""
    return all(states[rank].inside for rank in finding.waiting)


def _at_its_hold(finding: Finding) -> str:
    theirs = "its cell" if len(finding.waiting) == 1 else "their cells"
    there = "which is" if len(finding.causes) == 1 else "which are"
    return (
        f"{there} held too and run{'s' * (len(finding.causes) == 1)} nothing there: "
        f"{theirs} cannot end unless the same is run there too"
    )


def _never(finding: Finding) -> str:
    return "it cannot go on" if len(finding.waiting) == 1 else "they cannot go on"


def _deadlock(finding: Finding, states: Mapping[int, RankState]) -> list[str]:
    if finding.cycle[1:]:
        each = "each waits for the next, so none can ever go on"
        lines = [f"cycle {_arrows(finding.cycle)}: {each}."]
    else:
        lines = [f"Rank {finding.cycle[0]} waits for itself: it can never go on."]
    rest = finding.causes - RankSet(finding.cycle)
    if rest:
        lines.append(f"{_upper(describe(rest))} can only be freed by these.")
    if finding.victims:
        are = "is a victim" if len(finding.victims) == 1 else "are victims"
        lines.append(f"{_upper(describe(finding.victims))} {are}: waiting for these.")
    return lines + [f"hint: {hint}" for hint in _hints(finding, states)]


def _arrows(cycle: tuple[int, ...]) -> str:
    shown = [str(rank) for rank in cycle]
    if len(shown) > _LONGEST_CYCLE:
        shown = [*shown[:5], f"… {len(shown) - 7} more …", *shown[-2:]]
    return " → ".join([*shown, str(cycle[0])])


def _hints(finding: Finding, states: Mapping[int, RankState]) -> Iterator[str]:
    calls = {rank: states[rank].call for rank in finding.cycle}
    for rank, call in calls.items():
        if call is None or call.receive is None or call.receive.tag == ANY:
            continue
        theirs = calls.get(call.receive.peer)
        if theirs is None or theirs.send is None or theirs.send.peer != rank:
            continue
        if theirs.send.tag != call.receive.tag:
            yield (
                f"rank {call.receive.peer} sends with tag {theirs.send.tag}, "
                f"rank {rank} receives with tag {call.receive.tag}."
            )
            return
    if all(c and c.receive and not c.send for c in calls.values()):
        yield "all of them receive before they send."
    elif all(c and c.send and not c.receive for c in calls.values()):
        yield "all of them send before they receive."


def _mismatch(finding: Finding) -> list[str]:
    sides = [f"{describe(ranks)} in {op}" for op, ranks in finding.sides]
    listed = ", ".join(sides[:-1]) + f" and {sides[-1]}"
    lines = [
        f"On the same communicator, {listed}: a collective call ends only when all "
        "ranks make the same one."
    ]
    if finding.victims:
        lines.append(f"{_upper(describe(finding.victims))} wait for these.")
    return lines


def _failure(finding: Finding, states: Mapping[int, RankState]) -> str:
    dead = {r for r in finding.causes if states[r].doing is Doing.DEAD}
    if dead and len(dead) == len(finding.causes):
        first = states[finding.causes.min()]
        return f"which died ({first.detail})" if first.detail else "which died"
    return "whose program failed"


def _work(finding: Finding, states: Mapping[int, RankState]) -> str:
    """What the rank does that all wait for."""
    if not finding.causes:
        return "which compute"
    state = states[finding.causes.min()]
    verb = "which is" if len(finding.causes) == 1 else "which are"
    place = f" at {_place(state)}" if str(state.spot) else ""
    what = _what(state, {})
    return f"{verb} {what}{place}"


def _quiet(finding: Finding) -> list[str]:
    why = "; ".join(finding.doubts[:3])
    start = "Nothing is proved"
    if finding.suspect and finding.cycle[1:]:
        start = f"It looks as if these waited in a circle: {_arrows(finding.cycle)}"
        return [f"{start}. Not proved, because {why}."]
    return [f"{start}: {why}."] if why else [f"{start}."]


# -- what to do


def suggestions(found: Diagnosis) -> list[str]:
    """The commands that help here."""
    causes = brief(found.head.causes)
    match found.head.kind:
        case Kind.DEADLOCK | Kind.MISMATCH:
            return ["%pxunstick", f"%pxwhere --ranks {causes}"]
        case Kind.FAILED:
            died = [
                found.states[rank].doing is Doing.DEAD for rank in found.head.causes
            ]
            debug = [] if all(died) else [f"%pxdebug --ranks {causes}"]
            return ["%pxunstick", *debug]
        case Kind.FINISHED:
            return ["%pxunstick"]
        case Kind.HELD:
            inside = _inside(found.head, found.states)
            return ["%pxunstick"] if inside else ["%pxgo"]
        case Kind.IMBALANCE if causes:
            return [f"%pxwhere --ranks {causes} --time 2s"]
        case _:
            return []
