"""Tasks on one real engine, whose hub is played by the test."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steer import shm
from steer.core.taskoutput import SHOWN
from steer.engines.output import LIMIT
from steer.errors import UnmetDependency
from steer.reference import Reference
from steer.wire import payload
from steer.wire.calls import Slot
from steer.wire.messages import (
    Functions,
    HeldTasks,
    InterruptTask,
    Outcome,
    Outcomes,
    Output,
    Quit,
    RankTask,
    Register,
    Settled,
    Task,
    TaskOptions,
    Tasks,
    TaskStatus,
    Unsend,
    Unsent,
)

from .fakehub import FakeHub, arguments, error, name_of, start_engine, value

pytestmark = [pytest.mark.mpi, pytest.mark.either_mpi]


@contextlib.contextmanager
def engine() -> Iterator[FakeHub]:
    """A hub with one engine."""
    folder = Path(tempfile.mkdtemp(prefix="steer-"))
    hub = FakeHub(folder)
    process = start_engine(hub)
    hub.pid = process.pid
    try:
        hub.enrol()
        yield hub
        if process.poll() is None:
            hub.say(Quit("the test is over"), role="work")
        process.wait(10)
    finally:
        process.kill()
        process.wait()
        hub.close()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeHub]:
    """A hub with one engine, for the tests that leave it as it was."""
    with engine() as hub:
        yield hub


def one(hub: FakeHub, *call: Any, **more: Any) -> Outcome:
    """How one task ends."""
    number = hub.number()
    hub.give({number: call}, **more)
    return hub.outcomes(1)[number]


def printed(hub: FakeHub, number: int, until: str) -> str:
    """What a task has printed, to this word."""
    text = ""
    while until not in text:
        _, frames = hub.wait(Output, lambda m: m.id == f"ann/t{number}")
        text += bytes(frames[0]).decode()
    return text


# -- values and errors


def test_a_task_gives_its_value(hub: FakeHub) -> None:
    """And says how long it took."""
    before = time.time()
    outcome = one(hub, pow, 2, 3)
    assert value(outcome) == 8
    assert before - 1 <= outcome.started <= time.time()
    assert 0 <= outcome.took < 1


def test_what_a_task_raises_is_its_outcome(hub: FakeHub) -> None:
    """With the exception itself."""
    outcome = one(hub, divmod, 1, 0)
    assert outcome.status == TaskStatus.RAISED
    info = error(outcome)
    assert info.ename == "ZeroDivisionError"
    assert isinstance(pickle.loads(info.pickled), ZeroDivisionError)


def recurse() -> None:
    """Call itself for ever."""
    recurse()


def ask_for_much() -> bytes:
    """Want more memory than there is."""
    return bytes(1 << 60)


def leave() -> None:
    """End the process, or so it thinks."""
    sys.exit(3)


class Sealed(Exception):
    """Can be pickled, and not unpickled."""

    def __init__(self, text: str, more: str) -> None:
        super().__init__(text)


class Horror(Exception):
    """Whatever is done with it raises."""

    def __str__(self) -> str:
        raise SystemExit("no text")

    def __reduce__(self) -> Any:
        raise SystemExit("no pickle")


def throw(kind: type[BaseException], *args: Any) -> None:
    """Raise one of these."""
    raise kind(*args)


def lock() -> Any:
    """What cannot be pickled."""
    return threading.Lock()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ((recurse,), "RecursionError"),
        ((ask_for_much,), "MemoryError"),
        ((leave,), "SystemExit"),
        ((throw, Sealed, "a", "b"), "Sealed"),
        ((throw, Horror), "Horror"),
        ((throw, KeyboardInterrupt), "KeyboardInterrupt"),
        ((throw, GeneratorExit), "GeneratorExit"),
        ((lock,), "Unpicklable"),
    ],
)
def test_whatever_a_task_does_is_its_own_outcome(
    hub: FakeHub, call: tuple[Any, ...], name: str
) -> None:
    """And the next one runs as if nothing had been."""
    outcome = one(hub, *call)
    assert outcome.status == TaskStatus.RAISED
    assert error(outcome).ename == name
    assert value(one(hub, pow, 2, 3)) == 8


def test_an_unpicklable_result_is_named(hub: FakeHub) -> None:
    """Whose it is, and what about it."""
    text = error(one(hub, lock)).evalue
    assert text.startswith("The result of lock cannot be sent: TypeError:")


def test_what_cannot_be_loaded_says_so(hub: FakeHub) -> None:
    """A module that the engine does not have."""
    body = b"cno_such_module\nf\n."
    digest = name_of(body)
    hub.say(Functions((digest,)), (body,), role="work")
    task = Task(hub.number(), digest, arguments())
    hub.say(Tasks("ann", (task,), turn=hub.turn), role="work")
    info = error(hub.outcomes(1)[task.id])
    assert info.ename == "ModuleNotFoundError"
    assert "The task's function could not be loaded" in "\n".join(info.traceback)


def fork() -> str:
    """Make a child that returns from the task, as its parent does."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return "done"


def test_a_child_of_a_task_is_not_another_engine(hub: FakeHub) -> None:
    """One outcome comes, not two."""
    assert value(one(hub, fork)) == "done"
    assert value(one(hub, pow, 2, 3)) == 8
    assert not [m for _, m, _ in hub.heard if isinstance(m, Outcomes)]


def test_exceptions_that_may_be_tried_again(hub: FakeHub) -> None:
    """The options name them; others are final."""
    retry = payload.dumps((OSError, KeyError))[0]
    options = {1: TaskOptions(retries=1, retry_on=retry)}
    for kind, status in (
        (KeyError, TaskStatus.RETRYABLE),
        (FileNotFoundError, TaskStatus.RETRYABLE),
        (ValueError, TaskStatus.RAISED),
        (UnmetDependency, TaskStatus.UNMET),
    ):
        outcome = one(hub, throw, kind, options=options, number=1)
        assert outcome.status == status


# -- arguments and values


def second(first: Any, *, named: Any) -> Any:
    """Give back what came."""
    return first, named


def test_results_take_the_places_of_arguments(hub: FakeHub) -> None:
    """Wherever they stand."""
    values = {
        5: Outcome(5, TaskStatus.DONE, pickle.dumps("five")),
        6: Outcome(6, TaskStatus.DONE, pickle.dumps(["six"])),
    }
    number = hub.number()
    body = arguments([Slot(5), 1], named={"a": (Slot(6),)})
    task = Task(number, hub.teach(second), body)
    hub.say(Tasks("ann", (task,), values=values, turn=hub.turn), role="work")
    assert value(hub.outcomes(1)[number]) == (["five", 1], {"a": (["six"],)})


def test_references_are_evaluated(hub: FakeHub) -> None:
    """As in apply."""
    assert value(one(hub, list, (Reference("1 + 1"),))) == [2]


def test_large_arguments_and_values(hub: FakeHub) -> None:
    """Their frames come and go beside the task."""
    np = pytest.importorskip("numpy")
    x = np.arange(200_000.0)
    frames = payload.dumps(((x,), {}))
    task = Task(hub.number(), hub.teach(np.negative), b"")
    hub.say(RankTask("ann", task, turn=hub.turn), frames, role="work")
    outcome = hub.outcomes(1)[task.id]
    assert outcome.body == b""
    got = payload.loads(shm.take(outcome.store, hub.frames))
    assert (got == -x).all()
    hub.say(Settled("ann", (task.id,)))


def test_large_values_as_arguments(hub: FakeHub) -> None:
    """Behind the task's own frames."""
    big = bytearray(300_000)
    own = payload.dumps(((Slot(7), big), {}))
    its = payload.dumps(bytearray(b"x" * 100_000))
    task = Task(hub.number(), hub.teach(count), b"")
    values = {7: Outcome(7, TaskStatus.DONE)}
    parts = (len(own), len(its))
    message = RankTask("ann", task, values=values, parts=parts, turn=hub.turn)
    hub.say(message, [*own, *its], role="work")
    assert value(hub.outcomes(1)[task.id]) == (100_000, 300_000)


def count(*things: Any) -> tuple[int, ...]:
    """How long each is."""
    return tuple(map(len, things))


class Watched:
    """Something whose end is seen."""

    alive = 0

    def __init__(self) -> None:
        Watched.alive += 1

    def __del__(self) -> None:
        Watched.alive -= 1

    def __reduce__(self) -> Any:
        return Watched, ()


def alive(thing: Any = None) -> Any:
    """How many there are; gives back what it got."""
    return Watched.alive, thing


def test_nothing_of_a_task_is_kept(hub: FakeHub) -> None:
    """Neither its arguments nor its value."""
    hub.give({hub.number(): (alive, Watched())})
    hub.outcomes(1)
    assert value(one(hub, alive)) == (0, None)


# -- output


def c_puts(text: str) -> None:
    """Print as C code does."""
    ctypes.CDLL(None).puts(text.encode())


@pytest.mark.parametrize("how", [print, c_puts])
def test_output_comes_before_the_outcome(hub: FakeHub, how: Any) -> None:
    """And under the task's name."""
    number = hub.number()
    hub.give({number: (how, "hello")})
    hub.outcomes(1)
    before = [m for _, m, _ in hub.passed if isinstance(m, Output)]
    heard = [m for _, m, _ in hub.heard if isinstance(m, Output)]
    assert (before + heard)[-1].id == f"ann/t{number}"
    assert printed(hub, number, "hello") == "hello\n"


def test_output_of_each_task_has_its_name(hub: FakeHub) -> None:
    """Also in a bundle."""
    numbers = [hub.number() for _ in range(20)]
    hub.give({n: (print, f"I am {n}.") for n in numbers})
    hub.outcomes(20)
    for n in numbers:
        assert printed(hub, n, ".") == f"I am {n}.\n"


def print_much() -> None:
    """Print 200 MB."""
    for _ in range(200):
        print("x" * (1 << 20))


def test_a_task_may_print_as_much_as_it_likes(hub: FakeHub) -> None:
    """What does not arrive is counted, up to what is shown at most: a fast engine
    stops there, and of a slow one most is dropped."""
    one(hub, print_much)
    said = [bytes(f[0]).decode() for _, m, f in hub.heard if isinstance(m, Output)]
    hub.heard.clear()
    sentence = re.compile(r"\n\[steer dropped ([\d,]+) characters here: [^]]+\]\n")
    text = "".join(said)
    dropped = sum(int(n.replace(",", "")) for n in sentence.findall(text))
    printed = dropped + len(sentence.sub("", text))
    assert len(text) < SHOWN + 2 * LIMIT  # what ran over, and what was left at the end
    assert printed == 200 * ((1 << 20) + 1) or len(text) > SHOWN


# -- the queue


def wait_for(path: str) -> str:
    """Run until there is a file."""
    deadline = time.monotonic() + 20
    while not os.path.exists(path):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return "waited"


def test_what_has_ended_does_not_wait_for_what_runs(
    hub: FakeHub, tmp_path: Path
) -> None:
    """The outcome of a short task comes while a long one behind it runs."""
    short, long = hub.number(), hub.number()
    end = tmp_path / "end"
    hub.give({short: (pow, 2, 3), long: (wait_for, str(end))})
    message, _ = hub.wait(Outcomes)
    assert [o.id for o in message.outcomes] == [short]
    assert message.running == long
    end.touch()
    assert value(hub.outcomes(1)[long]) == "waited"


def test_what_is_fetched_ahead_is_given_back(hub: FakeHub, tmp_path: Path) -> None:
    """While main is in a task; what runs is kept."""
    running, queued, unknown = (hub.number() for _ in range(3))
    end = tmp_path / "end"
    hub.give({running: (wait_for, str(end))})
    hub.give({queued: (pow, 2, 3)}, role="control")
    hub.say(Unsend("ann", (running, queued, unknown)))
    message, _ = hub.wait(Unsent)
    assert message == Unsent("ann", (queued,), (running, unknown))
    end.touch()
    assert list(hub.outcomes(1)) == [running]
    hub.give({queued: (pow, 2, 3)}, role="control")
    assert list(hub.outcomes(1)) == [queued]


def test_work_on_control_wakes_an_idle_engine(hub: FakeHub) -> None:
    """The hub may not know yet that it idles."""
    for _ in range(20):
        assert value(one(hub, pow, 2, 3, role="control")) == 8


def test_a_task_waits_for_its_function(hub: FakeHub) -> None:
    """Which comes on the other socket, later."""
    body = payload.dumps(sorted)[0]
    task = Task(hub.number(), name_of(body), arguments([2, 1]))
    hub.say(Tasks("ann", (task,), turn=hub.turn), role="work")
    assert value(one(hub, pow, 2, 3)) == 8
    hub.say(Functions((task.function,)), (body,))
    assert value(hub.outcomes(1)[task.id]) == [1, 2]


def test_ten_thousand_tasks(hub: FakeHub) -> None:
    """Each has one outcome."""
    first = hub.number()
    for start in range(0, 10_000, 500):
        role = "work" if start % 1000 else "control"
        hub.give({first + i: (pow, 2, 1) for i in range(start, start + 500)}, role)
    assert set(hub.outcomes(10_000)) == set(range(first, first + 10_000))
    hub.numbers += 10_000


# -- interrupts


def test_an_interrupt_ends_the_task_that_runs(hub: FakeHub, tmp_path: Path) -> None:
    """And only that; one that comes late hits nobody."""
    running, behind = hub.number(), hub.number()
    hub.give({running: (wait_for, str(tmp_path / "never")), behind: (pow, 2, 3)})
    hub.say(InterruptTask("bob", running))
    hub.say(InterruptTask("ann", running))
    outcomes = hub.outcomes(2)
    assert error(outcomes[running]).ename == "KeyboardInterrupt"
    assert value(outcomes[behind]) == 8
    hub.say(InterruptTask("ann", running))
    assert value(one(hub, pow, 2, 3)) == 8


def test_an_interrupt_may_overtake_its_task(hub: FakeHub) -> None:
    """They come on two sockets; the task ends as soon as it begins."""
    victim, other = hub.number(), hub.number()
    hub.say(InterruptTask("ann", victim))
    hub.say(Unsend("ann", ()))
    hub.wait(Unsent)
    hub.give({other: (pow, 2, 3), victim: (pow, 2, 3)})
    outcomes = hub.outcomes(2)
    assert error(outcomes[victim]).ename == "KeyboardInterrupt"
    assert value(outcomes[other]) == 8


def test_interrupts_never_hit_the_wrong_task(hub: FakeHub) -> None:
    """However they meet with ends and beginnings."""
    for _ in range(200):
        victim, other = hub.number(), hub.number()
        hub.give({victim: (pow, 2, 3), other: (pow, 2, 4)})
        hub.say(InterruptTask("ann", victim))
        outcomes = hub.outcomes(2)
        assert value(outcomes[other]) == 16
        if outcomes[victim].status:
            assert error(outcomes[victim]).ename == "KeyboardInterrupt"


def stubborn(path: str) -> str:
    """Go on after the first interrupt."""
    with contextlib.suppress(KeyboardInterrupt):
        Path(path).touch()
        wait_for(path + ".never")
    Path(path + ".again").touch()
    return wait_for(path + ".never")


def test_a_task_can_be_interrupted_again(hub: FakeHub, tmp_path: Path) -> None:
    """The first was caught."""
    path = str(tmp_path / "file")
    number = hub.number()
    hub.give({number: (stubborn, path)})
    wait_for(path)
    hub.say(InterruptTask("ann", number))
    wait_for(path + ".again")
    hub.say(InterruptTask("ann", number))
    assert error(hub.outcomes(1)[number]).ename == "KeyboardInterrupt"


# -- hubs come and go


def test_a_new_hub_hears_what_is_here(tmp_path: Path) -> None:
    """What waits, what runs, and outcomes that nobody has settled; once more."""
    with engine() as hub:
        end = tmp_path / "end"
        hub.give({1: (pow, 2, 3), 2: (wait_for, str(end)), 3: (pow, 2, 4)})
        hub.outcomes(1)
        hub.give({4: (pow, 2, 5)})  # main is busy: it lies in the socket
        hub.say(Unsend("ann", ()))
        hub.wait(Unsent)
        hub.restart()
        register = hub.enrol()
        assert register.holding
        assert register.turn == 2
        held, _ = hub.wait(HeldTasks)
        assert held == HeldTasks("ann", (3, 2, 1))
        again, _ = hub.wait(Outcomes)
        assert [o.id for o in again.outcomes] == [1]
        hub.give({9: (pow, 2, 9)}, role="control")
        end.touch()
        assert set(hub.outcomes(3)) == {2, 3, 9}


def test_what_is_settled_is_not_said_again() -> None:
    """The engine has forgotten it."""
    with engine() as hub:
        hub.give({1: (pow, 2, 3)})
        hub.outcomes(1)
        hub.say(Settled("ann", (1,)))
        hub.say(Unsend("ann", ()))
        hub.wait(Unsent)
        hub.restart()
        register, _ = hub.wait(Register)
        assert not register.holding


def test_a_task_can_end_its_process() -> None:
    """Nothing of ours keeps it from that; the hub sees it."""
    with engine() as hub:
        hub.give({1: (os._exit, 7)})
        os.waitid(os.P_PID, hub.pid, os.WEXITED | os.WNOWAIT)


def test_a_task_cannot_keep_interrupts_for_itself(hub: FakeHub, tmp_path: Path) -> None:
    """A handler that it leaves behind is gone with it."""
    one(hub, ignore_interrupts)
    number = hub.number()
    hub.give({number: (wait_for, str(tmp_path / "never"))})
    hub.say(InterruptTask("ann", number))
    assert error(hub.outcomes(1)[number]).ename == "KeyboardInterrupt"


def ignore_interrupts() -> None:
    """As some libraries do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
