"""What ranks ask, and who answers: rules by themselves, then real ranks."""

from __future__ import annotations

import builtins
import getpass
import os
import pty
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest

import steer
from steer.client.client import Client
from steer.client.prompts import Prompts
from steer.config import Connection
from steer.ranks import RankSet
from steer.testing.waiting import wait_until
from steer.wire.messages import Typed

from .acting import acting, raises_composite


class Person:
    """Somebody who answers what is asked in this process."""

    def __init__(self, *answers: str | BaseException) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)

    def __call__(self, text: str = "") -> str:
        self.asked.append(text)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def sits(monkeypatch):
    """Let somebody sit at the keyboard."""

    def sit(*answers: str | BaseException) -> Person:
        person = Person(*answers)
        monkeypatch.setattr(builtins, "input", person)
        monkeypatch.setattr(getpass, "getpass", person)
        return person

    return sit


# -- rules


class Desk:
    """Prompts, and what they send."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, int, str, str]] = []
        self.prompts = Prompts(self._send)

    def _send(self, message: Typed, text: bytes) -> None:
        what = (message.id, message.targets, message.number, text.decode())
        self.sent.append((*what, message.closed))

    def hears(self, engines, text="n? ", request="a-1", number=1, left=2):
        self.prompts.heard(request, engines, number, text, False, left=left)


@pytest.fixture
def desk():
    return Desk()


def test_equal_questions_are_asked_once_and_name_their_ranks(desk, sits):
    person = sits("7")
    desk.hears([0])
    desk.hears([1])
    desk.prompts.ask()
    assert person.asked == ["[ranks 0-1] n? "]
    assert desk.sent == [("a-1", "0-1", 1, "7", "")]
    assert not desk.prompts


def test_different_questions_are_asked_apart_lowest_rank_first(desk, sits):
    person = sits("x")
    desk.hears([1], "one ")
    desk.hears([0], "nought ")
    while desk.prompts:
        desk.prompts.ask()
    assert person.asked == ["[rank 0] nought ", "[rank 1] one "]
    assert [targets for _, targets, *_ in desk.sent] == ["0", "1"]


def test_a_question_waits_a_moment_for_other_ranks(desk, sits):
    person = sits("7")
    desk.hears([0])
    later = threading.Timer(0.02, desk.hears, [[1]])
    later.start()
    desk.prompts.ask()
    later.join()
    assert person.asked == ["[ranks 0-1] n? "]


def test_a_late_rank_gets_the_answer_that_was_given(desk, sits):
    person = sits("7")
    desk.hears([0], left=1)
    desk.prompts.ask()
    desk.hears([1], left=1)
    assert desk.sent[1] == ("a-1", "1", 1, "7", "")
    desk.hears([1], number=2, left=1)
    desk.prompts.ask()
    assert len(person.asked) == 2


def test_requests_that_ask_the_same_are_answered_at_once(desk, sits):
    person = sits("7")
    desk.hears([0], request="a-1", number=1, left=1)
    desk.hears([1], request="a-2", number=4, left=1)
    desk.prompts.ask()
    assert person.asked == ["[ranks 0-1] n? "]
    assert desk.sent == [("a-1", "0", 1, "7", ""), ("a-2", "1", 4, "7", "")]


def test_what_is_asked_no_more_is_not_asked(desk):
    desk.hears([0, 1])
    desk.prompts.heard("a-1", [0], 1, None, False, left=2)
    assert [str(p) for p in desk.prompts.of(["a-1"])] == ["[rank 1] n? "]
    desk.prompts.drop("a-1", [1])  # its rank has ended
    assert not desk.prompts
    assert desk.prompts.ask() == 0.0


def test_an_old_word_does_not_end_a_new_question(desk):
    desk.hears([0], number=2)
    desk.prompts.heard("a-1", [0], 1, None, False, left=2)
    assert desk.prompts


@pytest.mark.parametrize("error", [EOFError(), OSError("no"), RuntimeError("lost")])
def test_where_nobody_can_type_the_ranks_are_told(desk, sits, error):
    sits(error)
    desk.hears([0, 1])
    desk.prompts.ask()
    ((*_, closed),) = desk.sent
    assert "needs a person at the client" in closed
    assert str(error) in closed


def test_ctrl_c_leaves_the_question_open(desk, sits):
    sits(KeyboardInterrupt(), "7")
    desk.hears([0, 1])
    with pytest.raises(KeyboardInterrupt):
        desk.prompts.ask()
    assert desk.sent == []
    desk.prompts.ask()
    assert desk.sent == [("a-1", "0-1", 1, "7", "")]


def test_a_handler_of_ctrl_c_is_called_and_not_asked_again(desk, sits):
    person = sits(KeyboardInterrupt(), "7")
    presses = []
    before = signal.signal(signal.SIGINT, lambda *_: presses.append(1))
    try:
        desk.hears([0, 1])
        desk.prompts.ask()
        assert presses == [1]
        assert not desk.prompts
    finally:
        signal.signal(signal.SIGINT, before)
    with desk.prompts.attended(lambda: None):  # a later wait, with other handlers
        desk.prompts.ask()
    assert len(person.asked) == 2
    assert desk.sent


def test_only_the_main_thread_asks(desk):
    seen = []

    def attend() -> None:
        with desk.prompts.attended(lambda: None) as asks:
            seen.append(asks)

    other = threading.Thread(target=attend)
    other.start()
    other.join()
    with desk.prompts.attended(lambda: None) as asks:
        seen.append(asks)
    assert seen == [False, True]


def test_the_time_a_person_takes_is_not_counted():
    with acting(1) as (rc, link):
        link.hold = True
        result = rc[0].apply_async(abs, -3)

        def slow(text: str, password: bool) -> str:
            time.sleep(0.5)  # a person
            link.release()
            return "x"

        link.prompts.ask_person = slow
        link.prompts.heard(result._requests[0].id, [0], 1, "n? ", False, left=1)
        assert result.get(timeout=0.4) == 3


# -- real ranks

N = 3


@pytest.fixture(scope="module")
def rc() -> Iterator[Client]:
    cluster = steer.Cluster(n=N, shutdown_atexit=False)
    with cluster.start_and_connect_sync() as client:
        view = client[:]
        view.execute("from mpi4py import MPI; rank = MPI.COMM_WORLD.rank").get()
        yield client
    cluster.stop_cluster_sync()


def waits(result: steer.AsyncResult, ranks: str) -> None:
    """Wait until these ranks ask something."""

    def ask() -> bool:
        asking = (prompt.ranks for prompt in result.prompts)
        return sum(map(len, asking)) == len(RankSet.parse(ranks))

    wait_until(ask, 10, f"{ranks} to ask")


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_all_ranks_ask_and_one_answer_serves_all(rc, sits):
    person = sits("42")
    rc[:].execute("n = int(input('n? '))", block=True).get()
    assert person.asked == [f"[ranks 0-{N - 1}] n? "]
    assert rc[:]["n"] == [42] * N


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_one_rank_asks_in_a_function_while_others_wait_for_it(rc, sits):
    person = sits("red")

    def choose():
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
        chosen = input("colour? ") if comm.rank == 1 else None
        return comm.bcast(chosen, 1)

    assert rc[:].apply_sync(choose) == ["red"] * N
    assert person.asked == ["[rank 1] colour? "]


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_questions_of_a_loop_come_one_by_one(rc, sits):
    person = sits("a", "b", "c")
    rc[:].execute("said = [input(f'{i} ') for i in range(3)]", block=True).get()
    assert person.asked == [f"[ranks 0-2] {i} " for i in range(3)]
    assert rc[:]["said"] == [["a", "b", "c"]] * N


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_a_password_is_asked_as_one(rc, monkeypatch):
    monkeypatch.setattr(getpass, "getpass", lambda text: f"secret of {text}")
    monkeypatch.setattr(builtins, "input", lambda text="": "shown")
    rc[0].execute("import getpass; p = getpass.getpass('key: ')", block=True).get()
    assert rc[0]["p"] == "secret of [rank 0] key: "


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_what_was_printed_comes_before_the_question(rc, monkeypatch, capsys):
    shown = []

    def person(text: str = "") -> str:
        shown.append(capsys.readouterr().out)
        return "x"

    monkeypatch.setattr(builtins, "input", person)
    result = rc[:].execute("print('look'); input('well? '); print('so')")
    with result.stream_output():
        result.get()
    assert "look" in shown[0]
    assert "so" not in shown[0]


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_without_stdin_the_code_gets_eof(rc, sits):
    sits(EOFError())
    result = rc[:].execute("input('n? ')")
    with raises_composite("EOFError: input() on a rank needs a person"):
        result.get()
    caught = rc[:].execute(
        "try:\n    m = input()\nexcept EOFError:\n    m = 'default'", block=True
    )
    caught.get()
    assert rc[:]["m"] == ["default"] * N


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_a_question_waits_when_nobody_waits_for_it(rc, sits):
    sits("later")
    result = rc[:].execute("s = input('who? ')")
    waits(result, "0-2")
    assert [str(prompt) for prompt in result.prompts] == ["[ranks 0-2] who? "]
    result.get()
    assert result.prompts == []
    assert rc[:]["s"] == ["later"] * N


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_waiting_for_another_result_asks_too(rc, sits):
    person = sits("1")
    rc[0].execute("input('first ')")
    assert rc[0]["1 + 1"] == 2  # behind the cell that asks
    assert person.asked == ["[rank 0] first "]


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_an_interrupt_ends_a_question(rc, sits):
    person = sits("never")
    result = rc[:].execute("input('n? ')")
    waits(result, "0-2")
    rc.send_signal("SIGINT", block=True)
    wait_until(result.done, 10, "the interrupted cell")
    assert result.prompts == []
    with raises_composite("KeyboardInterrupt"):
        result.get()
    caught = rc[0].execute(
        "try:\n    input('one ')\nexcept KeyboardInterrupt:\n    t = input('two ')"
    )
    waits(caught, "0")
    rc.send_signal("SIGINT", [0], block=True)
    wait_until(lambda: "two" in str(caught.prompts), 10, "the next question")
    caught.get()
    assert person.asked == ["[rank 0] two "]


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_ctrl_c_at_a_question_leaves_it(rc, sits):
    sits(KeyboardInterrupt(), "7")
    result = rc[0].execute("u = input('u? ')")
    with pytest.raises(KeyboardInterrupt):
        result.get()
    waits(result, "0")
    result.get()
    assert rc[0]["u"] == "7"


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_threads_and_children_do_not_wait_for_ever(rc, sits):
    sits("x")
    code = (
        "import os, threading\n"
        "def ask():\n"
        "    try:\n        input('thread ')\n"
        "    except EOFError as error:\n        ended.append(str(error))\n"
        "ended = []\n"
        "thread = threading.Thread(target=ask); thread.start()"
    )
    rc[0].execute(code, block=True).get()
    rc[0].execute("thread.join(10)", block=True).get()
    assert "over" in rc[0]["ended"][0] or "none runs" in rc[0]["ended"][0]
    child = (
        "pid = os.fork()\n"
        "if not pid:\n"
        "    try:\n        input('child ')\n"
        "    except EOFError:\n        os._exit(3)\n"
        "    os._exit(0)\n"
        "status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])"
    )
    rc[0].execute(child, block=True).get()
    assert rc[0]["status"] == 3


@pytest.mark.mpi
@pytest.mark.either_mpi
@pytest.mark.parametrize("silent", [True, False])
def test_a_question_outlives_its_hub(make_cluster, sits, silent):
    person = sits("still")
    cluster = make_cluster(engines="local", n=1)
    with cluster.start_and_connect_sync() as rc:
        result = rc[0].execute("v = input('v? ')", silent=silent)
        waits(result, "0")
        os.kill(Connection.read(cluster.cluster_file).hub_pid, signal.SIGKILL)
        wait_until(lambda: not cluster.controller.running, 5, "the hub's end")
        rc.link.prompts.forget(result._requests[0].id)  # as a client that missed it
        cluster.start_controller_sync(restore=True)
        wait_until(lambda: rc.link.trouble is None, 10, "the hub")
        result.get(timeout=20)
        assert rc[0]["v"] == "still"
        assert person.asked == ["[rank 0] v? "]


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_an_answer_lost_with_its_hub_is_given_again(make_cluster, sits):
    """The person answers while there is no hub; the new one brings it."""
    cluster = make_cluster(engines="local", n=1)
    with cluster.start_and_connect_sync() as rc:

        def person(text: str, password: bool) -> str:
            os.kill(Connection.read(cluster.cluster_file).hub_pid, signal.SIGKILL)
            wait_until(lambda: not cluster.controller.running, 5, "the hub's end")
            asked.append(text)
            return "sent to nobody"

        asked: list[str] = []
        rc.link.prompts.ask_person = person
        result = rc[0].execute("v = input('v? ')")
        with pytest.raises(steer.HubUnreachable):
            result.get(timeout=10)
        cluster.start_controller_sync(restore=True)
        wait_until(lambda: rc.link.trouble is None, 10, "the hub")
        result.get(timeout=20)
        assert rc[0]["v"] == "sent to nobody"
        assert asked == ["[rank 0] v? "]


SESSION = """
import signal, steer
with steer.Cluster(n=1, engines="local") as rc:
    print("ready", flush=True)
    rc[0].execute("name = input('name? ')", block=True).get()
    print("name is", rc[0]["name"], flush=True)
    try:
        rc[0].execute("input('again? ')").get()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("left", flush=True)
"""


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_a_person_at_a_terminal(home):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", SESSION])
    try:
        rest = _expect(terminal, "[rank 0] name? ")
        os.write(terminal, b"Ada\n")
        rest = _expect(terminal, "name is Ada", rest)
        rest = _expect(terminal, "[rank 0] again? ", rest)
        # Again and again: Python does not see one just before it begins to read.
        _expect(terminal, "left", rest, press=b"\x03")
        _, status = os.waitpid(pid, 0)
    except BaseException:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0


def _expect(terminal: int, text: str, seen: str = "", press: bytes = b"") -> str:
    """Read until a text has come, pressing something as long as nothing comes; the
    rest."""
    os.write(terminal, press)
    deadline = time.monotonic() + 30
    while text not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 3)[0]:
            seen += os.read(terminal, 4096).decode()
        else:
            os.write(terminal, press)
    return seen.partition(text)[2]
