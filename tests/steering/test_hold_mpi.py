"""What users do where real ranks hold: cells in the frame of the loop, and what cells
can do elsewhere as well."""

from __future__ import annotations

import ast

import pytest

import steer
from steer.testing.waiting import wait_until

from .runs import running

pytestmark = [pytest.mark.mpi, pytest.mark.either_mpi]

PROGRAM = """
import signal
import time
from mpi4py import MPI
import steer

comm = MPI.COMM_WORLD
seen = []

def on_interrupt(*_):  # as programs have that save their state then
    seen.append("interrupted")

signal.signal(signal.SIGINT, on_interrupt)

def main(u, dt):
    requests = []
    probe = lambda: None
    for step in steer.loop(range(10**9)):
        time.sleep(0.001)
        u = u + dt
        comm.Barrier()
        if dt == 7:  # half of them here, half of them there
            dt = 0
            for _ in range(2):
                if comm.rank % 2:
                    steer.point()
                else:
                    steer.point()
        if dt == 8:
            dt = 0
            breakpoint()
        seen.append((step, probe()))

main(float(comm.rank), 0.5)
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    with running(tmp_path_factory.mktemp("runs"), PROGRAM) as run:
        yield run


@pytest.fixture
def run(program):
    """Stopped; goes on afterwards."""
    program.stop(timeout=20)
    yield program
    program.go()


def test_locals_of_the_loop_are_read_and_assigned(run):
    before = run["u, step"]
    run.execute("u = 100.0 * comm.rank\ndt = 0.25")
    run.step(4, timeout=20)
    assert run["u"] == [100.0 * rank + 1.0 for rank in range(4)]
    assert [step for _, step in run["u, step"]] == [step + 4 for _, step in before]
    run["dt"] = 0.5
    assert run["[dt + x for x in range(2)]"] == [[0.5, 1.5]] * 4


def test_collective_calls(run):
    assert run["comm.allreduce(comm.rank)"] == [6] * 4
    run.execute("right = steer.comm.sendrecv(u, (comm.rank + 1) % 4)")
    assert run["right"] == [run["u"][rank - 1] for rank in range(4)]
    assert run["steer.comm.Get_name()"] == ["steer.comm"] * 4
    run.step(2, timeout=20)


def test_what_a_cell_makes_is_there_at_the_next_stop(run):
    run.execute("def energy(): return u * u\nlast = step")
    run.step(3, timeout=20)
    assert run["energy() == u * u"] == [True] * 4
    assert run["step - last"] == [3] * 4


def test_a_function_of_a_cell_in_the_program(run):
    run.execute("def probe(): return step, dt")
    run.step(3, timeout=20)
    run.execute("found = seen[-1]\nprobe = lambda: None")
    assert run["found == (step, (step, dt))"] == [True] * 4


def test_output_and_results_fold(run):
    step = run["step"][0]
    done = run.view.execute("print('at', step)\ncomm.size", silent=False)
    done.get(20)
    assert done.stdout == [f"at {step}\n"] * 4
    assert repr(done).count("at ") <= 1


def test_an_error_leaves_the_ranks_held(run):
    with pytest.raises(steer.CompositeError) as caught:
        run.execute("u = 1.0\nif comm.rank == 2:\n    1 / 0\nu = 2.0")
    text = str(caught.value)
    assert "2:" in text
    assert "ZeroDivisionError" in text
    assert run["u"] == [2.0, 2.0, 1.0, 2.0]
    assert "4/4 held" in run.step(2, timeout=20).text


@pytest.mark.parametrize(
    "code", ["raise SystemExit(3)", "exit()", "raise KeyboardInterrupt"]
)
def test_a_cell_does_not_end_the_program(run, code):
    try:
        run.execute(code)
    except steer.SteerError:
        pass
    assert "4/4 held" in run.step(2, timeout=20).text


def test_an_interrupt_ends_a_cell_and_not_the_program(run):
    spin = "print('on', flush=True)\nwhile True: pass"
    done = run.view.execute(spin, block=False)
    wait_until(lambda: done.stdout == ["on\n"] * 4, 10, "the cell to begin")
    assert str(done.interrupt()) == "0-3"
    with pytest.raises(steer.CompositeError) as caught:
        done.get(20)
    assert "4:" not in str(caught.value)
    assert "KeyboardInterrupt" in str(caught.value)
    assert run["'interrupted' in seen"] == [False] * 4
    assert run["signal.getsignal(signal.SIGINT).__name__"] == ["_on_sigint"] * 4
    assert "4/4 held" in run.step(2, timeout=20).text


def test_a_signal_for_the_program_reaches_its_own_handler(program):
    program.client.send_signal("SIGINT", block=True)
    program.stop(timeout=20)
    program.step(2, timeout=20)
    assert program["'interrupted' in seen"] == [True] * 4
    program.execute("seen.clear()")
    program.go()


def test_who_gives_up_a_cell_does_not_interrupt_the_program(program):
    """The cell waits for a hold, and is not run there any more."""
    program.execute("waited = 0", block=False)
    done = program.view.execute("waited = 1", block=False)
    done.interrupt()
    assert "4/4 held" in program.stop(timeout=20).text
    assert program["waited"] == [0] * 4
    assert "4/4 held" in program.step(2, timeout=20).text
    program.go()


def test_a_breakpoint_holds_its_rank(program):
    """The others go on, until MPI blocks them; cells work there as at a stop."""
    heard = []
    program.client.link.steering.listeners.append(heard.append)
    program.stop(timeout=20)
    program.execute("if comm.rank == 2: dt = 8")
    program.go()
    wait_until(lambda: any(n.kind == "froze" for n in heard), 10, "the news")
    (news,) = (news for news in heard if news.kind == "froze")
    line = PROGRAM.splitlines().index("            breakpoint()") + 1
    assert f"breakpoint() at {program.script.name}:{line}" in news.text
    assert news.ranks == "2"
    rank = program.client[2]
    assert rank["dt, comm.rank"] == (0, 2)
    rank.execute("dt = 0.5", block=True)
    program.go()
    assert "4/4 held" in program.stop(timeout=20).text
    assert program["dt"][2] == 0.5
    program.go()


def test_a_cell_asks_who_sent_it(run, monkeypatch):
    prompts = run.client.link.prompts
    monkeypatch.setattr(prompts, "ask_person", lambda text, password: f"{text}Zoë")
    run.execute("name = input('who? ')")
    assert run["name"] == ["[ranks 0-3] who? Zoë"] * 4


def test_a_breakpoint_in_a_cell_asks_who_sent_it(run, monkeypatch):
    typed = iter(["seen.append('in pdb')", "c"])
    prompts = run.client.link.prompts
    monkeypatch.setattr(prompts, "ask_person", lambda text, password: next(typed))
    run.execute("breakpoint()\nafter = seen.pop()")
    assert run["after"] == ["in pdb"] * 4
    assert "4/4 held" in run.step(2, timeout=20).text
    # It leaves a handler of its own.
    run.client.send_signal("SIGINT", block=True)
    run.step(2, timeout=20)
    assert run["seen.pop(seen.index('interrupted'))"] == ["interrupted"] * 4


def test_divergent_sites_are_told(run):
    run.execute("dt = 7")
    news = run.step(2, timeout=20)
    assert "do not hold at one place" in news.text
    odd, even = (
        number
        for number, line in enumerate(PROGRAM.splitlines(), 1)
        if "steer.point()" in line
    )
    assert f"ranks 0,2 at {run.script.name}:{even}" in news.text
    assert f"ranks 1,3 at {run.script.name}:{odd}" in news.text
    run.step(2, timeout=20)


def test_open_requests_are_told(run):
    run.execute("requests.append(comm.irecv(source=MPI.ANY_SOURCE, tag=9))")
    news = run.step(1, timeout=20)
    assert "requests of the program are open" in news.text
    assert "use steer.comm" in news.text
    run.execute("comm.send(1, comm.rank, tag=9)\nrequests.pop().wait()")
    assert "requests" not in run.step(1, timeout=20).text


def test_who_waits_for_a_program_is_told(program, capsys, monkeypatch):
    monkeypatch.setattr("steer.client.live.in_shell", lambda: None)
    wanted = program.view.execute("1", block=False)
    wait_until(lambda: "ranks 0-3 run" in capsys.readouterr().err, 10, "the hint")
    program.stop(timeout=20)
    wanted.get(20)
    program.execute("1")
    assert capsys.readouterr().err == ""
    program.go()


def test_the_programs_variables_are_not_cleared(run):
    with pytest.raises(steer.CompositeError) as caught:
        run.view.clear(block=True)
    assert "that would end it" in str(caught.value)
    with pytest.raises(steer.CompositeError) as caught:
        run.view.execute("%reset -f", silent=False).get(20)
    assert "that would end it" in str(caught.value)
    assert "4/4 held" in run.step(2, timeout=20).text


SURROUNDED = """
import atexit, builtins, os, sys
import steer
from mpi4py import MPI

Out = 5
saw = []

def look():
    saw.append((
        type(exit).__module__, hasattr(builtins, "get_ipython"),
        hasattr(builtins, "display"), "MPLBACKEND" in os.environ, Out,
        type(open).__name__,
    ))

def last():
    with open(sys.argv[1] + str(MPI.COMM_WORLD.rank), "w") as file:
        print(saw, file=file)

atexit.register(last)
look()
for step in steer.loop(range(10**9)):
    MPI.COMM_WORLD.Barrier()
    if len(saw) > 3:
        exit(3)
"""


def test_a_program_finds_around_it_what_python_has(tmp_path, monkeypatch):
    """Also behind cells that IPython has run, which find what cells have."""
    monkeypatch.delenv("MPLBACKEND", raising=False)
    with running(tmp_path, SURROUNDED, str(tmp_path / "saw"), n=2) as run:
        run.stop(timeout=20)
        done = run.view.execute("get_ipython(), display", silent=False)
        assert len(done.get(20)) == 2
        run.execute("import os\nbackend = os.environ['MPLBACKEND']")
        assert "inline" in run["backend"][0]
        run.at("+1", "look()")
        run.step(3, timeout=20)
        run.execute("saw += saw[:1]\nexit()")
        run.at("+1", "look()")
        run.go()
        run.cluster_ended()
        status = run.status()
    assert set(status["statuses"].values()) == {3}
    for rank in (0, 1):
        saw = ast.literal_eval((tmp_path / f"saw{rank}").read_text())
        as_python = (
            "_sitebuiltins",
            False,
            False,
            False,
            5,
            "builtin_function_or_method",
        )
        assert saw == [as_python] * 4
