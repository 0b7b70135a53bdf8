"""Requests until every target has answered; nothing counts twice."""

from __future__ import annotations

from steer.core.client import ClientCore
from steer.wire.messages import EngineInfo, Left, Outputs, Part, Piece, Replies, Stream


def submit(core, targets):
    return core.submit("apply", targets, [b"x"], None, submitted=1.0)


def replies(request_id, *ranks):
    parts = tuple(
        Part(r, "ok", 1, tuple(map(float, t)), tuple(map(float, t))) for r, t in ranks
    )
    return Replies(request_id, parts)


def test_a_request_is_there_until_all_have_answered():
    core = ClientCore("c")
    pending = submit(core, [0, 1, 2])
    assert pending.submit.id == "c-1"
    assert pending.submit.targets == "0-2"
    got, news = core.replies(replies("c-1", ("0,2", [5, 6])), [b"r"])
    assert got is pending
    assert [(part.ranks, frames) for part, frames in news] == [("0,2", [b"r"])]
    assert list(core.pending) == ["c-1"]
    core.replies(replies("c-1", ("1", [7])), [b"s"])
    assert core.pending == {}
    assert core.replies(replies("c-1", ("1", [7])), [b"s"]) == (None, [])


def test_second_answers_are_cut_out_with_their_times():
    core = ClientCore("c")
    submit(core, [0, 1, 2])
    core.replies(replies("c-1", ("1", [9])), [b"r"])
    _, news = core.replies(
        replies("c-1", ("1", [9]), ("0-2", [5, 6, 7])), [b"r", b"all"]
    )
    ((part, frames),) = news
    assert (part.ranks, part.started, frames) == ("0,2", (5.0, 7.0), [b"all"])


def test_a_request_is_sent_again_to_those_who_owe_an_answer():
    core = ClientCore("c")
    submit(core, [0, 1, 2])
    core.replies(replies("c-1", ("1", [9])), [b"r"])
    ((again, frames),) = core.again()
    assert (again.id, again.targets, again.resent) == ("c-1", "0,2", True)
    assert frames == [b"x"]


def test_a_cell_that_some_have_answered_has_begun():
    core = ClientCore("c")
    for _ in range(2):
        core.submit("execute", [0, 1], [b"x"], None, submitted=1.0, joint=True)
    core.replies(replies("c-1", ("1", [9])), [b"r"])
    assert [(s.id, s.targets, s.begun) for s, _ in core.again()] == [
        ("c-1", "0", True), ("c-2", "0-1", False),
    ]  # fmt: skip


def test_ids_go_on():
    core = ClientCore("c")
    assert [core.new_id(), submit(core, [0]).submit.id, core.new_id()] == [
        "c-1", "c-2", "c-3",
    ]  # fmt: skip
    assert core.sent == 3


def test_a_refused_request_is_gone():
    core = ClientCore("c")
    pending = submit(core, [0])
    assert core.refused("c-1") is pending
    assert core.refused("c-1") is None


def test_output_finds_its_request():
    core = ClientCore("c")
    pending = submit(core, [0])
    one = Piece("c-1", "0", Stream.STDOUT)
    stray = Piece("c-9", "0", Stream.STDOUT)
    assert core.outputs(Outputs((one, stray)), [b"a", b"b"]) == [(pending, one, b"a")]


def test_engines_are_kept_by_id():
    core = ClientCore("c")
    infos = [EngineInfo(i, f"e{i}", 1, "h", 0, 1, "w") for i in (2, 0)]
    core.joined(infos)
    assert list(core.engines) == [0, 2]
    core.left(Left((0, 5), ("a", "b")))
    assert list(core.engines) == [2]
