"""What a client makes of what the hub tells about ranks: texts and pictures."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from steer.client.rungs import Unstuck
from steer.client.sight import Peek, Status, Stuck, Where, verdict_text, waiters_text
from steer.core.rankstates import Call, Comm, Doing, Message, RankState, Spot
from steer.core.sightings import Freed, Snapshot, World
from steer.ranks import RankSet

WORLD = Comm("0-2", "WORLD", sure=True)
HALO = Spot("/home/ann/halo.py", 61, "exchange")


def waits(source: int) -> RankState:
    call = Call("Recv", WORLD, receive=Message(source, 7))
    return RankState(Doing.MPI, HALO, call, "", 88.0, 100.0, 88.0)


FAILED = RankState(
    Doing.POST_MORTEM, Spot("/home/ann/solver.py", 88, "rhs"), None, "ValueError",
    90.0, 100.0, 90.0,
)  # fmt: skip
CYCLE = {rank: waits((rank - 1) % 3) for rank in range(3)}


def snapshot(states: dict[int, RankState], first: int = 0) -> Snapshot:
    main = ("/home/ann/sim.py", 3, "<module>")
    deep = (main, ("/home/ann/halo.py", 61, "exchange"))
    stacks = ((f"{first}-{first + 1}", ((1, deep),)), (f"{first + 2}", ((1, (main,)),)))
    return Snapshot(100.0, (World(first, 3, states),), stacks)


def test_a_diagnosis_has_a_verdict_and_a_picture():
    seen = Stuck(snapshot(CYCLE))
    assert seen.verdict == "DEADLOCK"
    assert seen.proved
    assert seen.causes == RankSet.parse("0-2")
    assert "cycle 0 → 2 → 1 → 0" in seen.text
    root = ElementTree.fromstring(seen.svg)
    texts = "".join(root.itertext())
    assert "[0]" in texts
    assert "Recv(source=2" in texts
    assert seen.svg.count("<line") == 3
    assert "<svg" in seen._repr_html_()


def test_engines_of_a_second_world_are_named():
    seen = Stuck(snapshot(CYCLE, first=4))
    assert seen.text.startswith("Ranks 0-2 of their world, told as engines 4-6:")
    assert seen.blocked == RankSet.parse("4-6")


def test_all_that_is_said_of_a_second_world_has_the_numbers_of_engines():
    """What is suggested goes to the ranks that are meant."""
    seen = Stuck(snapshot(CYCLE, first=4))
    assert seen.causes == RankSet.parse("4-6")
    assert "cycle 4 → 6 → 5 → 4" in seen.text
    assert "[4]  Recv(source=6, tag=7, comm WORLD)" in seen.text
    assert "%pxwhere --ranks 4-6" in seen.text
    assert "Recv(source=6" in "".join(ElementTree.fromstring(seen.svg).itertext())
    failed = {0: waits(2), 1: waits(2), 2: FAILED}
    shown = snapshot(failed, first=4)
    assert "%pxdebug --ranks 6" in Stuck(shown).text
    assert "%pxdebug --ranks 6" in verdict_text(shown)
    assert "told as engines 4-6" in verdict_text(shown)
    said = waiters_text(shown, RankSet([6])).splitlines()[0]
    assert said.startswith("waiting for rank 6: 4-5 in Recv(source=6, tag=7")
    assert "Recv(source=6" in Status(shown, [4, 5]).text
    both = Snapshot(100.0, (*snapshot(CYCLE).worlds, *shown.worlds))
    assert set(Stuck(both).states) == {0, 1, 2, 4, 5, 6}
    assert Stuck(both).verdict == "DEADLOCK"


def test_status_tells_each_rank():
    states = {0: waits(2), 1: waits(2), 2: FAILED}
    seen = Status(snapshot(states), [0, 1, 2])
    assert seen.text.startswith("3 ranks: 2 blocked, 1 post-mortem\n")
    assert "ValueError" in seen.text
    assert "verdict" not in seen.text
    assert seen.doing(2) == "post-mortem"
    assert set(Status(snapshot(states), [1]).states) == {1}


def test_where_is_a_tree_with_calls():
    seen = Where(snapshot({0: waits(2), 1: waits(2), 2: FAILED}), [0, 1, 2], 0.0)
    lines = seen.text.splitlines()
    assert lines[0].startswith("[0-2] (3)  <module>")
    assert "exchange" in lines[1]
    assert "Recv(source=2, tag=7, comm WORLD)" in lines[1]
    root = ElementTree.fromstring(seen.svg)
    assert len(root.findall("{http://www.w3.org/2000/svg}g")) == 2
    ElementTree.fromstring(seen._repr_html_().replace(" open ", " "))


def test_ranks_without_a_stack_are_named():
    seen = Where(snapshot({0: waits(2), 1: waits(2), 2: FAILED}), [0, 1, 2, 5], 0.0)
    assert "[5]  nothing runs there" in seen.text
    none = Snapshot(100.0, (World(0, 3, {}),), (("0-2", ((1, ()),)),))
    assert Where(none, [0, 1, 2], 0.0).text == "[0-2]  nothing runs there\n"


def test_who_waits_for_a_failure():
    text = waiters_text(snapshot({0: waits(2), 1: waits(2), 2: FAILED}), RankSet([2]))
    first, second = text.splitlines()
    assert first == (
        "waiting for rank 2: 0-1 in Recv(source=2, tag=7, comm WORLD)  halo.py:61"
    )
    assert "%pxunstick" in second
    assert waiters_text(snapshot({0: FAILED, 1: FAILED, 2: FAILED}), RankSet([2])) == ""


def test_peeks_are_told_with_their_ranks():
    told = {
        "said": [["0-1", ["a\nb", "", False]], ["3", ["", "Refused: no.", False]]],
        "missing": "2",
    }
    seen = Peek("x", told)
    assert seen.values == {0: "a\nb", 1: "a\nb"}
    assert seen.refusals == {3: "Refused: no."}
    assert seen.text.splitlines() == [
        "[0-1] (2)  a",
        "           b",
        "[3]        Refused: no.",
        "[2]        no answer in time; %pxstatus tells more",
        "racy: read while the ranks went on",
    ]


PARTLY = Freed((("1-2", "Barrier()  s.py:1"),), ("Rank 1 cannot help: no",), "0")

OVER = Freed((("0-1", "Recv()  s.py:1"),), gone="0-1")
GONE = Freed(ended=(("0-1", "Recv()  s.py:1"),))
RING = Freed(tuple((f"{r}", f"Recv(source={(r - 1) % 3})") for r in (2, 0, 1)))
NOTED = Freed((("0", "Recv()"),), notes=("Rank 0 went on: messages are left",))
UNKNOWN = Freed((), ("Rank 1 computes",), notes=("Rank 2 did not answer",))


@pytest.mark.parametrize(
    ("freed", "words"),
    [
        (Freed(), "No rank waits in MPI."),
        (Freed((("0-1", "Recv()  s.py:1"),), (), "", 2), "2 messages that nobody"),
        (Freed((), ("Rank 1 computes",)), "Refused, nothing was lost"),
        (OVER, "Ranks 0-1: raised KeyboardInterrupt at\n  [0-1]  Recv()"),
        (OVER, "Ranks 0-1 have ended since. A program under steer run ends by it if"),
        (GONE, "Ranks 0-1: given KeyboardInterrupt, and not there any more. A prog"),
        (GONE, "with --post-mortem its ranks stay. They were at\n  [0-1]  Recv()"),
        (NOTED, "Rank 0 went on: messages are left.\n"),
        (UNKNOWN, "Refused:\n  Rank 1 computes.\nRank 2 did not answer.\n→"),
        (PARTLY, "Ranks 1-2: back, with KeyboardInterrupt at\n  [1-2]  Barrier()"),
        (RING, "  [0]  Recv(source=2)\n  [1]  Recv(source=0)\n  [2]  Recv(source=1)\n"),
        (PARTLY, "Rank 0 waits still:\n  Rank 1 cannot help: no.\n→ %pxunstick again"),
    ],
)
def test_unstick_says_what_was_done(freed, words):
    assert words in Unstuck(freed).text
