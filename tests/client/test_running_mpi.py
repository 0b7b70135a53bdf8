"""`steer run`, as its user types it: a program that is as ever, and can be steered."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import steer
from steer.client.running import run_program
from steer.config import ClusterFiles, Connection, list_clusters
from steer.errors import UsageError
from steer.launch.script import Script
from steer.testing.waiting import wait_until

pytestmark = pytest.mark.mpi

SECONDS = 40

STEPS = """
    import sys, time
    import steer
    from mpi4py import MPI
    comm = MPI.COMM_WORLD
    rank, u, steps = comm.rank, 0.0, 0
    for step in steer.loop(range(int(sys.argv[1]))):
        steps += 1
        u = comm.allreduce(u + 1.0) / comm.size
        time.sleep(0.002)
    print("end", u)
"""


def command(*words):
    return [sys.executable, "-P", "-m", "steer", "run", *map(str, words)]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text, name="sim.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return name

    return write


@pytest.fixture(autouse=True)
def all_end():
    """What is killed ends by and by; others may have left something before."""

    def files():
        return {found.connection for found in list_clusters()}

    before = files()
    yield
    wait_until(lambda: files() <= before, 20, "all clusters to end")


def run(*words, given=b""):
    return subprocess.run(
        command(*words), input=given, capture_output=True, timeout=SECONDS
    )


@contextlib.contextmanager
def running(*words):
    """`steer run` in the background; ended by force if a test does not."""
    child = subprocess.Popen(
        command(*words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()  # its hub sees that, and ends with it
        child.communicate(timeout=SECONDS)


def connect(name="sim"):
    files = ClusterFiles("", name)
    wait_until(lambda: listens(files), 20, f"the hub of {name}")
    return steer.connect(name)


def listens(files):
    with contextlib.suppress(UsageError, OSError):
        return Connection.read(files.connection).hub_pid > 0
    return False


def gone(name="sim"):
    return not ClusterFiles("", name).connection.exists()


# -- as under mpiexec


def test_arguments_input_output_and_status_pass_through(here):
    here(
        """
        import os, sys
        from mpi4py import MPI
        import beside
        rank = MPI.COMM_WORLD.rank
        assert __name__ == "__main__" and sys.modules["__main__"].sys is sys
        assert sys.path[0] == os.path.dirname(__file__) and os.getcwd() not in sys.path
        if rank == 0:
            print("arguments", sys.argv[1:], input(), sys.stdin.readline())
            os.write(1, b"\\xff bytes\\n")
            print("to stderr", file=sys.stderr)
        if rank == 1:
            sys.exit(7)
        """,
        "code/sim.py",
    )
    here("x = 1", "code/beside.py")
    here("raise SystemExit('not this one')", "random.py")
    words = ("-n", 2, "code/sim.py", "-n", "--Hub.port=x", "a b")
    done = run(*words, given=b"one\ntwo\nthree\n")
    assert done.returncode == 7, done.stderr
    assert b"arguments ['-n', '--Hub.port=x', 'a b'] one two" in done.stdout
    assert b"\xff bytes\n" in done.stdout
    assert b"to stderr\n" in done.stderr
    assert b"steer" not in done.stdout
    assert gone()


@pytest.mark.parametrize(
    ("last", "status"), [("raise SystemExit(7)", 7), ("fails()", 1)]
)
def test_its_status_is_known_though_it_ended_before_we_listened(here, last, status):
    here(f"from mpi4py import MPI\nif MPI.COMM_WORLD.rank == 1: {last}")

    def ended(cluster):
        link = cluster._connected()
        wait_until(
            lambda: not any(
                job["running"] for job in link.wait(link.ask("jobs"))["jobs"]
            ),
            SECONDS,
            "its end",
        )

    script = Script(run="sim", argv=("sim.py",))
    assert run_program(script, True, {"n": 2}, quiet=True, begun=ended) == status
    assert gone()


def test_an_error_on_one_rank_ends_all_and_is_shown_as_python_shows_it(here):
    here("""
        from mpi4py import MPI
        import atexit
        atexit.register(print, "registered")
        def fails():
            raise ValueError("on one")
        if MPI.COMM_WORLD.rank == 1:
            fails()
        MPI.COMM_WORLD.Barrier()
    """)
    done = run("-n", 3, "sim.py")
    assert done.returncode == 1
    text = done.stderr.decode()
    assert "ValueError: on one" in text
    assert f'File "{os.getcwd()}/sim.py", line 6, in fails' in text
    assert "steer/" not in text.partition("ValueError: on one")[0]
    assert b"registered" in done.stdout


@pytest.mark.either_mpi
def test_a_syntax_error_is_shown_as_by_python(here):
    done = run("-n", 1, here("def f(:\n"))
    assert done.returncode == 1
    text = done.stderr.decode()
    assert "SyntaxError" in text
    assert "Traceback" not in text


@pytest.mark.either_mpi
def test_a_module_and_its_threads_and_last_words(here):
    here("", "pack/__init__.py")
    here(
        """
        import atexit, sys, threading, time
        from mpi4py import MPI
        from pack import other
        assert __spec__.name == "pack.__main__", __spec__
        late = lambda: (time.sleep(0.2), print("thread", flush=True))
        if MPI.COMM_WORLD.rank == 0:
            threading.Thread(target=late).start()
            atexit.register(print, "last", sys.argv[1:], other.here)
        """,
        "pack/__main__.py",
    )
    here("here = True", "pack/other.py")
    done = run("-n", 2, "-m", "pack", "argument")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"thread\nlast ['argument'] True\n"


@pytest.mark.either_mpi
@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("-n", "2", "nothere.py"), 1, "can't open file 'nothere.py'"),
        (("-n", "2"), 1, "needs a program"),
        (("--point", "sim.py:99", "sim.py"), 1, "the last statement of that file"),
        (("--point", "sim.py", "sim.py"), 1, "is no place in a program"),
        (("--stop-at", "x", "sim.py"), 2, "must be a point"),
        (("--engines", "nosuch", "sim.py"), 1, "nosuch"),
    ],
)
def test_mistakes_are_one_sentence(here, words, status, says):
    here(STEPS)
    done = run(*words)
    assert done.returncode == status
    assert says in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_signals_reach_the_ranks(here):
    here("""
        import signal, steer, time
        from mpi4py import MPI
        rank = MPI.COMM_WORLD.rank
        wanted = []
        signal.signal(signal.SIGUSR2, lambda *_: wanted.append(1))
        signal.signal(signal.SIGTERM, lambda *_: wanted.append(2))
        for step in steer.loop(range(10**9)):
            time.sleep(0.002)
            if MPI.COMM_WORLD.allreduce(len(wanted)) == 4:
                break
        print("saw", wanted)
    """)
    with running("-n", 2, "sim.py") as child:
        with connect() as wheel:
            wheel.stop()
            wheel.go()
        child.send_signal(signal.SIGUSR2)
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=SECONDS)
    assert (child.returncode, out) == (0, b"saw [1, 2]\n" * 2), err


def test_ctrl_c_interrupts_the_program(here):
    here(STEPS)
    with running("-n", 2, "sim.py", 10**9) as child:
        with connect() as wheel:
            wheel.stop()
            wheel.go()
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=SECONDS)
    assert child.returncode == 130
    assert b"KeyboardInterrupt" in err
    assert gone()


def test_a_deadly_signal_ends_all(here):
    here(STEPS)
    with running("-n", 2, "sim.py", 10**9) as child:
        connect().close()
        child.terminate()
        child.communicate(timeout=SECONDS)
    assert child.returncode not in (0, None)
    assert gone()


def test_nothing_is_left_when_it_is_killed(here):
    here(STEPS)
    with running("-n", 2, "sim.py", 10**9) as child:
        connect().close()
        child.kill()
        child.communicate(timeout=SECONDS)
        wait_until(gone, 20, "the hub to end all")


@pytest.mark.either_mpi
def test_it_can_be_ended_from_elsewhere(here):
    here(STEPS)
    with running("-n", 2, "sim.py", 10**9) as child:
        with connect() as wheel:
            wheel.stop()
        steer = [sys.executable, "-P", "-m", "steer", "stop", "sim"]
        subprocess.run(steer, check=True, timeout=SECONDS, capture_output=True)
        _, err = child.communicate(timeout=SECONDS)
    assert child.returncode == 143
    assert b"was stopped" in err
    assert b"Traceback" not in err


IN_A_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def terminal():
    """Run a command in a terminal of its own; gives a function that types into it and
    waits for what it says."""
    leader, follower = os.openpty()
    children = []
    said = b""

    def begin(*words):
        line = [sys.executable, "-c", IN_A_TERMINAL, *map(str, words)]
        child = subprocess.Popen(
            line, stdin=follower, stdout=follower, stderr=follower,
            start_new_session=True,
        )  # fmt: skip
        children.append(child)

        def talk(text, typed=b""):
            nonlocal said
            os.write(leader, typed)
            deadline = time.monotonic() + SECONDS
            while text not in said:
                ready, _, _ = select.select([leader], [], [], 1.0)
                said += os.read(leader, 65536) if ready else b""
                assert time.monotonic() < deadline, said
            return said

        return child, talk

    yield begin
    for child in children:
        if child.poll() is None:
            child.kill()
        child.wait()
    os.close(leader)
    os.close(follower)


@pytest.mark.either_mpi
def test_in_a_terminal_one_types_into_it_and_interrupts_it(here, terminal, mpi):
    here("""
        import steer, time
        from mpi4py import MPI
        comm = MPI.COMM_WORLD
        name = input("who? ") if comm.rank == 0 else ""
        print("hello", comm.bcast(name), flush=True)
        try:
            for step in steer.loop(range(10**9)):
                time.sleep(0.002)
        except KeyboardInterrupt:
            print("interrupted", comm.rank, flush=True)
            raise SystemExit(5)
    """)
    child, talk = terminal(*command("-n", 2, "sim.py"))
    talk(b"`steer attach sim` takes the wheel")
    if mpi == "mpich":  # mpiexec of Open MPI 5 keeps a line until it is whole
        talk(b"who? ")
    assert talk(b"hello me", b"me\n").count(b"steer:") == 1
    with connect() as wheel:
        wheel.stop()
        wheel.go()
    said = talk(b"interrupted 1", b"\x03")
    assert b"Traceback" not in said
    assert child.wait(SECONDS) == 5


@pytest.mark.slow
@pytest.mark.either_mpi
def test_a_program_that_hangs_says_why_and_is_brought_back(here):
    here(
        """
        from mpi4py import MPI
        comm = MPI.COMM_WORLD
        try:
            comm.recv(source=1 - comm.rank)
        except KeyboardInterrupt:
            print("back", comm.allreduce(1), flush=True)
        """
    )
    with running("-n", 2, "sim.py") as child:
        told = b""
        while b"Ctrl-C ends it" not in told:
            assert select.select([child.stderr], [], [], SECONDS)[0], told
            told += os.read(child.stderr.fileno(), 65536)
        said = told.decode()
        assert "steer: sim does not go on.\n2 ranks: 2 blocked" in said
        assert "verdict: DEADLOCK" in said
        assert "recv(source=1, comm WORLD)  sim.py:5" in said
        assert "raises KeyboardInterrupt there, which ends it unless it catches" in said
        attach = [sys.executable, "-P", "-m", "steer", "attach", "sim", "-c", "unstick"]
        done = subprocess.run(attach, capture_output=True, timeout=SECONDS)
        assert done.returncode == 0, done
        assert b"KeyboardInterrupt at" in done.stdout  # by now it may have ended
        out, _ = child.communicate(timeout=SECONDS)
        assert out.count(b"back 2") == 2
        assert child.returncode == 0


# -- attached and not


@pytest.mark.either_mpi
def test_attach_leave_and_attach_again(here):
    here(STEPS)
    with running("-n", 3, "sim.py", 10**9) as child:
        with connect() as first:
            point = first.stop().point
            assert first["steps"] == [point - 1] * 3
            first.execute("u = 5.0")
        with connect() as second, connect() as third:  # held over the change
            assert second["u"] == [5.0] * 3
            assert second.step(10).point == point + 10
            assert third["steps"] == [point + 9] * 3
            third.go()
            assert second.stop().point >= point + 10
        assert child.poll() is None


@pytest.mark.either_mpi
def test_a_client_that_is_killed_in_a_step_leaves_the_run_alone(here):
    here(STEPS)
    with running("-n", 2, "sim.py", 10**9):
        connect().close()
        killed = subprocess.Popen(
            [sys.executable, "-c", "import steer; run = steer.connect('sim');"
             "run.stop(); print(flush=True); run.step(10**6)"],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        killed.stdout.readline()
        with connect() as wheel:
            wait_until(lambda: not wheel.status().state.startswith("stopped"), 10, "it")
            killed.kill()
            killed.communicate()
            wheel.go()
            assert wheel.stop().ranks == "0-1"


@pytest.mark.either_mpi
@pytest.mark.slow
def test_names_are_numbered_and_a_name_that_is_taken_is_refused(here):
    here(STEPS)
    with running("-n", 1, "sim.py", 10**9), running("-n", 1, "sim.py", 10**9):
        with connect("sim") as one, connect("sim-2") as two:
            assert (one.name, two.name) == ("sim", "sim-2")
        done = run("-n", 1, "--name", "sim", "sim.py", 1)
        assert done.returncode == 10
        assert b"already running" in done.stderr


# -- at its beginning and its end


@pytest.mark.either_mpi
def test_it_waits_for_somebody_to_come(here):
    here("print('begins', flush=True)\n" + textwrap.dedent(STEPS))
    with running("-n", 2, "--wait-for-client", "sim.py", 3) as child:
        files = ClusterFiles("", "sim")
        wait_until(lambda: listens(files), 20, "the hub")
        with steer.Client(cluster_id="sim") as client:
            client.wait_for_engines(2)
            link = client.link

            def waits():
                return [run["waits"] for run in link.wait(link.ask("runs"))["runs"]]

            wait_until(lambda: waits() == [True], 10, "it to wait")
            assert client[:]["1 + 1"] == [2, 2]
        with connect():
            out, _ = child.communicate(timeout=SECONDS)
    assert out.count(b"begins") == out.count(b"end") == 2


@pytest.mark.either_mpi
@pytest.mark.slow
def test_who_waits_for_nobody_is_interrupted(here):
    here(STEPS)
    with running("-n", 2, "--wait-for-client", "sim.py", 3) as child:
        files = ClusterFiles("", "sim")
        wait_until(lambda: listens(files), 20, "the hub")
        with steer.Client(cluster_id="sim") as client:
            link = client.link
            wait_until(lambda: link.wait(link.ask("runs"))["runs"], 20, "it to wait")
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=SECONDS)
    assert child.returncode == 130
    assert b"end" not in out


@pytest.mark.parametrize(("at", "point"), [(0, 1), (7, 7)])
def test_it_stops_where_it_was_told_to(here, at, point):
    here(STEPS)
    with running("-n", 3, "--stop-at", at, "sim.py", 20) as child:
        with connect() as wheel:
            wait_until(lambda: wheel.status().state == f"stopped at {point}", 10, "it")
            assert wheel["steps"] == [point - 1] * 3
            wheel.go()
        out, err = child.communicate(timeout=SECONDS)
    assert out.count(b"end 20.0") == 3, err


@pytest.mark.either_mpi
def test_its_ranks_stay_at_its_end_if_wanted(here):
    here(STEPS)
    with running("-n", 2, "--keep", "sim.py", 5) as child:
        assert b"its ranks stay" in child.stderr.readline()
        with steer.Client(cluster_id="sim") as client:
            assert client[:]["u"] == [5.0, 5.0]
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=SECONDS)
        assert out.count(b"end 5.0") == 2
    assert gone()


def test_a_rank_that_failed_can_be_looked_into(here):
    here("""
        from mpi4py import MPI
        import steer
        def solve(rank):
            wrong = rank * 10
            raise ValueError("diverged")
        for step in steer.loop(range(3)):
            if MPI.COMM_WORLD.rank == 1 and step == 1:
                solve(1)
            MPI.COMM_WORLD.Barrier()
    """)
    with running("-n", 2, "--post-mortem", "sim.py") as child:
        lines = iter(child.stderr.readline, b"")
        assert any(b"rank 1 failed with ValueError: diverged" in line for line in lines)
        with steer.Client(cluster_id="sim") as client:
            assert client[1]["wrong"] == 10
            assert client[1]["MPI.COMM_WORLD.rank"] == 1
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=SECONDS)
        assert child.returncode != 0


# -- points that are not in the source


@pytest.mark.either_mpi
def test_points_by_line_and_by_name(here):
    here(
        """
        import time
        class Solver:
            t = 0
            def step(self):
                self.t += 1
        """,
        "solver.py",
    )
    here("""
        from solver import Solver
        from mpi4py import MPI
        solver = Solver()
        for i in range(10**9):
            solver.step()
            MPI.COMM_WORLD.Barrier()
    """)
    for place, attribute in (("sim.py:5", "i"), ("Solver.step", "self.t")):
        with running("-n", 2, "--point", place, "sim.py"), connect() as wheel:
            point = wheel.stop().point
            values = wheel[attribute]
            assert values == [point - 1] * 2, (place, point, values)
            assert wheel.step(4).point == point + 4
            assert wheel[attribute] == [point + 3] * 2
        wait_until(gone, 20, "the first to end")


@pytest.mark.either_mpi
def test_a_point_that_is_nowhere_is_told(here):
    here(STEPS)
    done = run("-n", 2, "--point", "Solver.step", "sim.py", 2)
    assert done.returncode == 0
    assert done.stderr.count(b"--point Solver.step was not put anywhere") == 1


# -- without its hub


@pytest.mark.either_mpi
def test_a_killed_hub_is_replaced_and_the_program_does_not_notice(here):
    here(STEPS)
    with running("-n", 2, "sim.py", 1000) as child:
        with connect() as wheel:
            wheel.stop()
            wheel.go()
        pid = Connection.read(ClusterFiles("", "sim").connection).hub_pid
        os.kill(pid, signal.SIGKILL)
        assert b"there is a new one" in child.stderr.readline()
        began = time.monotonic()
        with connect() as wheel:
            assert wheel.stop().ranks == "0-1"
            wheel.go()
        out, err = child.communicate(timeout=SECONDS)
        # Two ranks may print at once; print() writes word by word.
        ends = (out.count(b"end"), out.count(b"1000.0"))
        assert ends == (2, 2), (time.monotonic() - began, out, err)
    assert child.returncode == 0


# -- steer list


@pytest.mark.either_mpi
def test_a_list_says_what_runs_and_how_far_it_is(here):
    here(STEPS)

    def listed(*words):
        line = [sys.executable, "-P", "-m", "steer", "list", *words]
        done = subprocess.run(line, capture_output=True, timeout=SECONDS, check=True)
        return done.stdout.decode()

    with running("-n", 2, "sim.py", 10**9), connect() as wheel:
        point = wheel.stop().point
        assert f"sim.py {10**9} on ranks 0-1: stopped at {point}\n" in listed()
        wheel.go()
        wait_until(lambda: "runs, about point" in listed(), 10, "a rate")
        # Clusters that other tests have left to others may be listed too.
        rows = json.loads(listed("-o", "json"))
        (row,) = [row for row in rows if row["cluster_id"] == "sim"]
        assert row["runs"][0]["families"][0]["high"] >= point


@pytest.mark.slow
def test_without_any_hub_the_program_comes_to_its_end(here):
    here(STEPS)
    with running("-n", 2, "sim.py", 10**9) as child:
        connect().close()
        for _ in range(2):
            pid = Connection.read(ClusterFiles("", "sim").connection).hub_pid
            os.kill(pid, signal.SIGKILL)
            said = child.stderr.readline()
        assert b"cannot be steered any more" in said
        assert child.poll() is None
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=SECONDS)
    assert b"KeyboardInterrupt" in err
    assert child.returncode == 1


# -- programs that go their own way


@pytest.mark.either_mpi
@pytest.mark.slow
def test_a_program_that_has_ended_mpi_can_still_be_held(here):
    here("""
        from mpi4py import MPI
        import steer, time
        MPI.Finalize()
        for step in steer.loop(range(400)):
            time.sleep(0.005)
        print("end")
    """)
    with running("-n", 2, "sim.py") as child:
        with connect() as wheel:
            point = wheel.stop().point
            assert wheel.step(3).point == point + 3
            wheel.go()
        out, err = child.communicate(timeout=SECONDS)
    assert (child.returncode, out) == (0, b"end\nend\n"), err


@pytest.mark.either_mpi
def test_a_program_without_mpi_is_one_process(here):
    here("import steer, sys\nfor i in steer.loop(range(3)): print(i)\nsys.exit(4)\n")
    done = run("--engines", "local", "--stop-at", 9, "sim.py")
    assert (done.returncode, done.stdout, done.stderr) == (4, b"0\n1\n2\n", b"")
    assert b"one process" in run("--launcher", "local", "-n", 2, "sim.py").stderr


@pytest.mark.either_mpi
@pytest.mark.slow
def test_a_program_that_forks_counts_its_own_points_only(here):
    here("""
        import os, steer
        from mpi4py import MPI
        def work():
            for i in steer.loop(range(1000)):
                pass
        for step in steer.loop(range(3)):
            child = os.fork()
            if child == 0:
                work()
                os._exit(7)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    with running("-n", 1, "--keep", "sim.py") as child:
        assert child.stdout.read(6) == b"7\n7\n7\n"
        assert b"its ranks stay" in child.stderr.readline()
        with steer.Client(cluster_id="sim") as client:
            points = "__import__('sys').modules['steer.engines.points']"
            assert client[0][f"{points}._count"] == 3
