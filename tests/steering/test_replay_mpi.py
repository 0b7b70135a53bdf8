"""What was done to a run is in its journal, and a replay comes to the same state."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import textwrap

import pytest

from steer.client.journalfile import find, read
from steer.client.run import connect
from steer.config import list_clusters
from steer.testing.waiting import wait_until

pytestmark = pytest.mark.mpi

SIMULATION = """
    import hashlib, sys, time
    import numpy as np
    from mpi4py import MPI
    import steer

    comm = MPI.COMM_WORLD
    right, left = (comm.rank + 1) % comm.size, (comm.rank - 1) % comm.size
    slow_enough = lambda p: p.dt * p.speed <= 1 or "dt * speed is above 1"
    p = steer.params(
        dt=steer.Float(0.1, 1e-6, 1.0, depends=slow_enough),
        speed=steer.Float(1.0), scheme=steer.Choice("a", "b"),
    )

    def simulate(steps):
        u = np.random.default_rng(comm.rank).random(64)
        halo = np.empty(1)
        trace = 0.0
        for step in steer.loop(range(steps)):
            comm.Sendrecv(u[-1:], right, recvbuf=halo, source=left)
            u[1:] += p.dt * (u[:-1] - u[1:])
            u[0] += p.dt * (halo[0] - u[0])
            if p.scheme == "b":
                u *= 1.0 + 1e-3 * np.sin(step)
            total = comm.allreduce(u.sum()) * p.speed
            trace = np.sin(trace + total)
            time.sleep(float(sys.argv[2]))
        return u.tobytes() + np.float64(trace).tobytes()

    state = comm.gather(simulate(int(sys.argv[1])))
    if comm.rank == 0:
        print("state", hashlib.sha256(b"".join(state)).hexdigest(), flush=True)
"""
STEPS = 1100


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sim.py").write_text(textwrap.dedent(SIMULATION))
    return tmp_path


@contextlib.contextmanager
def steer(*words, steps=STEPS, nap="0.001"):
    """Start a command that runs the simulation."""
    command = [sys.executable, "-m", "steer", *words, "sim.py", str(steps), nap]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    before = {found.connection for found in list_clusters()}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **pipes)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()  # its hub sees that, and ends with it
            process.communicate()
            wait_until(
                lambda: {f.connection for f in list_clusters()} <= before, 20, "its end"
            )


def state_of(process, status=0):
    """What it says that it has come to."""
    try:
        out, err = process.communicate(timeout=40)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    assert process.returncode == status, (out, err)
    return (out.split()[1] if out else ""), err


def attached(process, name="sim"):
    """Take its wheel, as soon as it is there."""
    from steer.errors import SteerError

    found = []

    def there():
        assert process.poll() is None, process.communicate()
        try:
            found.append(connect(name))
        except SteerError:
            return False
        return True

    wait_until(there, 20, "the run")
    return found[0]


def do_all_kinds_of_things(run):
    """As a user may."""
    first = run.stop(timeout=20).point
    run.set(dt=0.05)
    run.execute("u[0] += 1.0")
    run.execute("before = u.sum(); u *= 1.5")
    with pytest.raises(Exception, match="exceptions raised"):
        run.execute("u[1] = 2.0; 1 / comm.rank")
    run.set(dt=0.02)
    run.step(7, timeout=20)
    run.view.push({"gain": 1.25})
    run.execute("u[-1] *= gain + before")
    run.client[1].execute("u[3] = 42.0", block=True)
    run.at("+20", "u[2] -= 0.5")
    run.at(first + 900, "u[4] *= 2 * gain")  # long after all the others
    every = run.every(10, "u[5] += 0.125")
    run.go()
    run.set(scheme="b", dt=0.001).wait(20)
    run.set(speed=500.0)  # which it could not be before
    run.at("+3", lambda by: globals().update(gain=gain + by), 0.25)  # noqa: F821
    run.until(f"step={first + 300}", timeout=20)
    every.end()
    run.execute("u[:] = np.roll(u, 1)")
    run.go()
    for number in range(12):  # more than a page has room for at once
        run.at(f"+{40 - number}", f"u[{number}] += {number}")
    run.until("step > 400 and comm.rank == 1", timeout=20)
    run.execute("u[7] = step")
    run.go()


@pytest.mark.either_mpi
def test_a_replay_comes_to_the_same_state_bit_for_bit(here):
    with steer("run", "-n", "3", nap="0") as process:
        untouched, _ = state_of(process)
    with steer("run", "-n", "3", "--stop-at", "0") as process:
        with attached(process) as run:
            do_all_kinds_of_things(run)
            journal = run.journal()
        steered, _ = state_of(process)
    assert steered != untouched
    path = find("sim")
    assert repr(read(path)).startswith(repr(journal))
    assert path.stat().st_mode & 0o077 == 0
    # Faster than it was then: the points count, not the time.
    with steer("replay", str(path), nap="0") as process:
        again, said = state_of(process)
    assert again == steered, said
    assert "deeds were repeated" in said
    assert "otherwise" not in said
    assert f"deeds of {path}." in said
    assert find("sim") == path  # and not the journal of the replay
    shown = subprocess.run(
        [sys.executable, "-m", "steer", "journal", path.stem],
        capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    for text in (
        "dt=0.05",
        "u[0] += 1.0",
        "every 10 u[5] += 0.125",
        "failed on rank 0",
    ):
        assert text in shown.stdout


@pytest.mark.slow
@pytest.mark.either_mpi
def test_a_replay_may_hold_at_the_last_deed_or_find_that_it_cannot_go_on(here):
    with steer("run", "-n", "2", "--stop-at", "0", "--name", "old") as process:
        with attached(process, "old") as run:
            run.at(30, "u *= 2")
            run.until("step=20", timeout=20)
            run.execute("u[0] = 3.0")
            run.execute("run_is_over = True")
            run.go()
        state_of(process)
    with steer("replay", "-q", "--hold", "old") as process:
        with attached(process) as run:
            wait_until(lambda: held(run) == [30], 20, "it to hold at point 30")
            run.go()
        _, said = state_of(process)
        assert said == ""
    with steer("replay", "old", steps=25) as process:
        _, said = state_of(process)
        assert "u *= 2: not done, " in said
        assert "2 deeds were repeated; the program ended before point 30." in said
    with steer("replay", "old", steps=15) as process:
        _, said = state_of(process, status=1)
        assert "the replay failed: " in said


def held(run):
    """Where it is held."""
    families = run.status()["families"]  # none before its first point
    return [f["point"] for f in families if f["phase"] == "stopped"]


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_done_is_done_again(here, seed):
    with steer("run", "-n", "3", "--stop-at", "0") as process:
        with attached(process) as run:
            do_things_of_chance(run, random.Random(seed))
        steered, _ = state_of(process)
    with steer("replay", "sim", nap="0") as process:
        again, said = state_of(process)
    assert again == steered, said


def do_things_of_chance(run, chance):
    """Some that wait for their answers, and some that do not."""
    run.stop(timeout=20)
    recurring = []
    for _ in range(25):
        (family,) = run.status()["families"]
        held, room = family["phase"] == "stopped", len(family["plans"]) < 5
        place, number = chance.randrange(60), chance.randrange(1, 9)
        match chance.randrange(11):
            case 0:
                run.stop(timeout=20)
            case 1:
                run.go()
            case 2 if held:
                run.step(number, timeout=20)
            case 3 | 4 if held:
                run.execute(f"u[{place}] += {chance.random()!r}")
            case 5 if room:
                run.set(dt=number / 100, at=chance.choice([None, "+3", "+20"]))
            case 6 if room:
                run.at(f"+{place + 1}", f"u[{place}] *= 1.01")
            case 7 if room and len(recurring) < 3:
                recurring.append(run.every(number, f"u[{place}] += 0.01"))
            case 8 if recurring:
                recurring.pop().end()
            case 9 if room:
                on = chance.choice(["align", "collective"])
                condition = f"step % 10 == {number} and comm.rank == {number % 3}"
                run.until(condition, on=on, timeout=20)
            case 10 if held and room:
                for _ in range(3):
                    run.view.execute(f"u[{place}] = 2 * u[{place}] + 1", block=False)
                run.ask("step", n=2)
                run.set(dt=0.03)
    run.go()
