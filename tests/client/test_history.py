"""What a client remembers."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from steer.client.history import History, Memory, is_task, parsed
from steer.client.replies import Output
from steer.client.requests import About, Answer, Printed, Request
from steer.ranks import RankSet
from steer.wire.messages import Part


class Result:
    """As much of a result as a request needs that is not under way."""


def request(name: str, engines: list[int], *, size: int = 0, done: bool = True) -> Any:
    client: Any = None
    result: Any = Result()
    about: Any = About(client, "apply", "", None, None)  # type: ignore[arg-type]
    made = Request(result, about, engines, 0.0)
    made.id = name
    if done:
        zeros = (0.0,) * len(engines)
        part = Part(str(RankSet(engines)), "ok", 1, zeros, zeros)
        answer = Answer(part, [b"x" * size], engines, 0.0)
        made.answers = dict.fromkeys(engines, answer)
    return made


def test_a_history_goes_back_so_many_messages() -> None:
    history = History(5)
    for i in range(4):
        history.add(request(f"c-{i}", [0, 1]))
    assert history.msg_ids() == ["c-2_0", "c-2_1", "c-3_0", "c-3_1"]
    history.add(request("c-9", list(range(9))))
    assert history.requests() == ["c-9"]


def test_a_history_forgets_messages() -> None:
    history = History()
    history.add(request("c-1", [0, 1]))
    history.add(request("c-2", [0]))
    history.forget({"c-1_0", "c-2_0"})
    assert history.msg_ids() == ["c-1_1"]
    history.forget()
    assert history.msg_ids() == []


def test_answers_nobody_took_are_kept_up_to_a_number_and_a_size() -> None:
    memory = Memory(limit=4, size=100)
    for i in range(3):
        memory.finished(request(f"c-{i}", [0, 1], size=10))
    assert list(memory._kept) == ["c-1", "c-2"]
    memory.finished(request("c-3", [0], size=95))
    assert list(memory._kept) == ["c-3"]
    memory.finished(request("c-4", [0], size=200))
    assert list(memory._kept) == []
    assert (memory._count, memory._bytes) == (0, 0)


def test_the_same_twice_counts_once() -> None:
    memory = Memory()
    one = request("c-1", [0, 1], size=10)
    memory.finished(one)
    memory.finished(one)
    memory.consumed(one)
    assert (memory._count, memory._bytes) == (0, 0)


def test_what_is_held_elsewhere_is_found_and_what_is_not_is_forgotten() -> None:
    memory = Memory()
    one = request("c-1", [0, 2])
    memory.sent(one)
    assert memory.find("c-1_2") == (one, 2)
    for unknown in ("c-1_1", "c-1", "c-2_0", "nope", "c-1_x"):
        assert memory.find(unknown) is None
    assert list(memory.answered()) == [(one, 0), (one, 2)]
    del one
    gc.collect()
    assert memory.find("c-1_2") is None


def test_answers_that_were_faster_than_the_note_leave_nothing_open() -> None:
    memory = Memory()
    fast, slow = request("c-1", [0]), request("c-2", [0, 1], done=False)
    memory.finished(fast)
    memory.sent(fast)
    memory.sent(slow)
    assert memory.open() == [slow]
    assert memory.outstanding() == {"c-2_0", "c-2_1"}
    assert memory.outstanding({"c-1"}) == set()
    assert memory.unfinished() == [slow.result]


def test_text_and_displays_count_too() -> None:
    printing = request("c-1", [0, 1], size=10)
    printed = printing.printed[1] = Printed()
    printed.streams["stdout"] = ["abc", "de"]
    printed.displays.append(Output.received({"image/png": "x" * 100}, {}, {}, False))
    assert printing.size() == 115


@pytest.mark.parametrize(
    ("msg_id", "found"),
    [
        ("ab-12_3", ("ab-12", "ab-12_", 3)),
        ("ab-t17", ("ab-t17", "ab-t", 17)),
        ("a-t1_0", ("a-t1", "a-t1_", 0)),
    ],
)
def test_names_of_messages(msg_id: str, found: tuple[str, str, int]) -> None:
    assert parsed(msg_id) == found
    assert is_task(msg_id) is (msg_id == "ab-t17")


@pytest.mark.parametrize("nonsense", ["", "x", "ab-12", "ab-12_", "ab-t", "_3", "ab_x"])
def test_what_is_no_name_of_a_message(nonsense: str) -> None:
    with pytest.raises(KeyError, match="No such message"):
        parsed(nonsense)
    assert not is_task(nonsense)
