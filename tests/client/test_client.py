"""The client: indexing, jobs, aborting, what it remembers."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from steer.client.client import Client
from steer.client.history import Memory
from steer.client.views import DirectView
from steer.errors import HubUnreachable, NoEnginesRegistered, UsageError

from .acting import ActingLink, acting

Acting = tuple[Client, ActingLink]


@pytest.fixture
def four() -> Iterator[Acting]:
    with acting(4) as pair:
        yield pair


@pytest.mark.parametrize(
    ("key", "targets"),
    [
        (0, 0),
        (-1, 3),
        (slice(1, 3), [1, 2]),
        (slice(None, None, -1), [3, 2, 1, 0]),
        ([2, -1], [2, 3]),
        ((1,), [1]),
        (range(2), [0, 1]),
    ],
)
def test_indexing_gives_views(four: Acting, key: object, targets: object) -> None:
    rc, _ = four
    view = rc[key]
    assert type(view) is DirectView
    assert view.targets == targets


@pytest.mark.parametrize("key", [None, "a", 1.5, True, {0: 1}])
def test_other_keys_are_type_errors(four: Acting, key: object) -> None:
    rc, _ = four
    with pytest.raises(TypeError) as caught:
        _ = rc[key]
    assert str(caught.value) == (
        f"key by int/slice/iterable of ints only, not {type(key)}"
    )


@pytest.mark.parametrize("key", [4, -5, [0, 9]])
def test_unknown_engines_are_index_errors(four: Acting, key: object) -> None:
    rc, _ = four
    with pytest.raises(IndexError, match="No such engine: "):
        _ = rc[key]


def test_ids_length_and_iteration(four: Acting) -> None:
    rc, link = four
    link.leave(1, "gone")
    assert rc.ids == [0, 2, 3]
    rc.ids.clear()
    assert len(rc) == 3
    assert [view.targets for view in rc] == [0, 2, 3]
    assert rc[-2].targets == 2
    assert repr(rc) == "<Client of 'acting': 0,2-3>"


def test_targets_by_name(four: Acting) -> None:
    rc, _ = four
    assert rc.direct_view("1-2").targets == [1, 2]
    assert rc.direct_view("all").targets == "all"
    with pytest.raises(TypeError, match="'foo' not valid str target, must be 'all'"):
        rc.direct_view("foo")
    with pytest.raises(NoEnginesRegistered):
        rc[[]].apply_sync(abs, 1)


def test_foreign_options_are_refused() -> None:
    with pytest.raises(UsageError, match="Client has no option 'sshserver'"):
        Client(sshserver="there")
    with pytest.raises(ValueError, match="not an address like tcp://1"):
        Client("tcp://1")
    with pytest.raises(UsageError, match=r"There is no connection file /nope\.json"):
        Client(Path("/nope.json"))


def test_signals_by_number_and_name(four: Acting) -> None:
    rc, link = four
    rc.send_signal("SIGUSR1", block=True)
    rc.send_signal(signal.SIGINT, targets=[1, 2])
    assert link.signals == [(signal.SIGUSR1, "0-3"), (signal.SIGINT, "1-2")]
    assert isinstance(rc.send_signal(2, block=False), Future)
    for wrong in ("SIGNOPE", 999):
        with pytest.raises(UsageError, match="is no signal"):
            rc.send_signal(wrong)


def test_shutdown(four: Acting) -> None:
    rc, link = four
    rc.shutdown([1])
    rc.shutdown(hub=True)
    rc[2].shutdown()
    assert link.signals == [(-2, "1"), (-1, ""), (-2, "2")]
    with pytest.raises(UsageError, match="restart_engines"):
        rc.shutdown(restart=True)


def test_jobs_to_wait_for(four: Acting) -> None:
    rc, link = four
    assert rc.wait(timeout=0)
    link.hold = True
    result = rc[:2].apply_async(abs, 1)
    other: Future[int] = Future()
    for job in (None, result, [result], result.msg_ids[0], -1, other):
        assert not rc.wait(job, timeout=0)
    link.settled()
    link.release()
    other.set_result(1)
    for job in (None, result, [result], result.msg_ids, -1, [other, result]):
        assert rc.wait(job, timeout=5)


def test_waiting_interactively(
    four: Acting, capsys: pytest.CaptureFixture[str]
) -> None:
    rc, link = four
    rc.wait_interactive()
    assert capsys.readouterr().err == ""
    link.hold = True
    rc[:].apply_async(abs, 1)
    rc.wait_interactive(timeout=0)
    link.settled()
    link.release()
    rc.wait_interactive(timeout=5)
    assert capsys.readouterr().err.endswith("1/1 requests finished\n")


def test_abort_names_requests_and_engines(four: Acting) -> None:
    rc, link = four
    rc.abort()
    assert link.aborted == []
    link.hold = True
    first = rc[:].apply_async(abs, 1)
    second = rc[1:].apply_async(abs, 1)
    rc.abort()
    rc.abort(first, targets=[2])
    rc.abort([second.msg_ids[0], first])
    assert sorted(link.aborted[:2]) == [
        (("00c0ffee-1",), "0-3"),
        (("00c0ffee-2",), "1-3"),
    ]
    assert link.aborted[2] == (("00c0ffee-1",), "2")
    assert sorted(link.aborted[3:]) == [
        (("00c0ffee-1",), "0-3"),
        (("00c0ffee-2",), "1"),
    ]


def test_get_result_of_what_is_known_here(four: Acting) -> None:
    rc, _ = four
    result = rc[:].apply_async(abs, -1)
    result.get(5)
    assert rc.get_result(result.msg_ids[2]).get(5) == 1
    assert rc.get_result(result.msg_ids).get(5) == [1] * 4
    assert rc.get_result(result).get(5) == [1] * 4
    assert rc.get_result(-1).msg_ids == result.msg_ids[-1:]
    with pytest.raises(
        TypeError, match=r"Expected msg_id, int, or AsyncResult, got 1\.5"
    ):
        rc.get_result(1.5)
    with pytest.raises(KeyError, match="No such message: nope"):
        rc.get_result("nope")


def test_results_nobody_asked_for_are_kept_within_bounds(four: Acting) -> None:
    rc, link = four
    rc._memory = Memory(limit=12, size=1000)
    for _ in range(5):
        rc[:].apply_async(abs, -1)
    link.settled()
    assert set(rc.results) == set(rc.history[-12:])
    rc[0].apply_async(bytes, 2000)
    link.settled()
    assert rc.results == {}
    assert rc.history[0] == "00c0ffee-1_0"


def test_what_was_got_is_not_kept_but_known_while_it_is_held(four: Acting) -> None:
    rc, link = four
    result = rc[0].apply_async(abs, -1)
    result.get(5)
    link.settled()
    (msg_id,) = result.msg_ids
    assert rc.results == {msg_id: 1}
    assert rc.metadata[msg_id]["status"] == "ok"
    del result
    assert rc.results == {}


def test_many_requests_leave_little(four: Acting) -> None:
    rc, link = four
    view = rc[:]
    for _ in range(3000):
        view.execute("1")
    link.settled()
    assert len(rc.history) == len(view.history) == 10_000
    assert not rc.outstanding
    assert not rc._memory._open


def test_closing_ends_all_waiting(four: Acting) -> None:
    rc, link = four
    link.hold = True
    result = rc[:].apply_async(abs, 1)
    caught: list[BaseException | None] = []
    waiting = threading.Thread(target=lambda: caught.append(result.exception(20)))
    waiting.start()
    link.settled()
    rc.close()
    waiting.join(10)
    assert isinstance(caught[0], HubUnreachable)
    assert "another client gets it" in str(caught[0])
