"""What every view has: flags, targets, its own history, Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from steer.client.client import Client
from steer.errors import NoEnginesRegistered
from steer.testing.waiting import wait_until

from .acting import ActingLink, acting

Acting = tuple[Client, ActingLink]


@pytest.fixture
def four() -> Iterator[Acting]:
    with acting(4) as pair:
        yield pair


def test_flags(four: Acting) -> None:
    rc, _ = four
    view = rc[:]
    assert view.set_flags(block=True, label="mine") is view
    with view.temp_flags(block=False):
        assert not view.block
    assert view.block
    with pytest.raises(KeyError, match="Invalid name: 'follow'"):
        view.set_flags(follow=1)
    assert view.apply(abs, -1) == [1] * 4
    assert rc.direct_view([0, 1], label="y").label == "y"


def test_a_label_travels(four: Acting) -> None:
    rc, link = four
    rc.direct_view(label="mine").push({"a": 1}, block=True)
    rc[:].execute("1", label="other", block=True)
    assert [submit.label for submit in link.submits] == ["mine", "other"]


def test_all_is_looked_up_at_each_call_and_a_list_is_not(four: Acting) -> None:
    rc, link = four
    everyone, some = rc.direct_view(), rc[:]
    link.join([4])
    assert len(everyone.apply_sync(abs, 1)) == 5
    assert len(some.apply_sync(abs, 1)) == 4
    for engine in range(5):
        link.leave(engine, "gone")
    with pytest.raises(NoEnginesRegistered):
        everyone.apply_sync(abs, 1)
    with pytest.raises(IndexError, match="No such engine: 0"):
        some.apply_sync(abs, 1)


def test_f_is_a_keyword_like_any_other(four: Acting) -> None:
    rc, _ = four
    assert rc[0].apply_sync(lambda f: f, f=3) == 3


def test_history_and_what_is_outstanding(four: Acting) -> None:
    rc, link = four
    link.hold = True
    mine, other = rc[:2], rc[2]
    mine.apply_async(abs, 1)
    other.apply_async(abs, 1)
    assert mine.history == ["00c0ffee-1_0", "00c0ffee-1_1"]
    assert mine.outstanding == {"00c0ffee-1_0", "00c0ffee-1_1"}
    assert rc.outstanding == mine.outstanding | {"00c0ffee-2_2"}
    assert not mine.wait(timeout=0)
    link.settled()
    mine.abort()
    other.abort()
    assert link.aborted == [(("00c0ffee-1",), "0-1"), (("00c0ffee-2",), "2")]
    link.release()
    assert mine.wait(timeout=5)
    assert mine.results == {"00c0ffee-1_0": 1, "00c0ffee-1_1": 1}
    assert not mine.outstanding


def test_interrupted_waiting_hands_the_result_out(four: Acting) -> None:
    rc, link = four
    link.hold = True
    main = threading.get_ident()

    def waits() -> bool:
        return any(r._condition._waiters for r in rc._memory.unfinished())

    def interrupt() -> None:
        wait_until(waits, 5, "the main thread to wait")
        signal.pthread_kill(main, signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    result = rc[:].apply_sync(abs, -1)
    interrupting.join(5)
    assert not result.done()
    link.settled()
    link.release()
    assert result.get(5) == [1] * 4
