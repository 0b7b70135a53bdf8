"""The face of steering on real ranks: a notebook, a console, two people at once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.completer import CompletionContext
from IPython.core.interactiveshell import InteractiveShell

from steer.client.client import Client
from steer.client.run import Run, connect
from steer.errors import UsageError
from steer.magics import completing
from steer.magics.telling import Telling
from steer.testing.waiting import wait_until
from tests.client.screen import in_terminal
from tests.magics.conftest import Notebook
from tests.steering.runs import running

pytestmark = [pytest.mark.mpi, pytest.mark.either_mpi]

SIMULATION = """
import time
import numpy as np
import steer
from mpi4py import MPI

comm = MPI.COMM_WORLD
p = steer.params(dt=steer.Float(0.1, 1e-6, 1.0), scheme=steer.Choice("rk4", "euler"))
u = np.full(8, 1.0 + comm.rank)
residual = 1.0
late = 0.0

for step in steer.loop(range(1_000_000)):
    u = u * (1 - p.dt * 1e-3)
    residual = 1.0 / (step + 1)
    time.sleep(0.002)
    if comm.rank == 1 and late:
        time.sleep(late)
        late = 0.0
"""
STOPPED = re.compile(r"stopped at point (\d+) \(\w+\.py:\d+\)  4/4 held  \d+ ms")
CLI = "import sys; from steer.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def run(home: Path) -> Iterator[Run]:
    """A simulation for the tests of a module."""
    with running(Path(tempfile.mkdtemp(dir=home)), SIMULATION) as made:
        yield made


@pytest.fixture
def wheel(bare: Notebook, run: Run, shell: InteractiveShell) -> Iterator[Notebook]:
    """A notebook whose magics steer the simulation, which runs."""
    bare.run("%load_ext steer")
    run.activate()
    bare.names["run"] = run
    yield bare
    run.unplan()
    run.go()


def stopped_at(text: str) -> int:
    found = STOPPED.search(text)
    assert found, text
    return int(found[1])


def test_stop_look_change_step_and_go(wheel: Notebook, run: Run):
    at = stopped_at(wheel.run("%pxstop").out)
    assert (
        "[0-3] (4)  10.0" in wheel.run("%px float(comm.allreduce(comm.rank + 1))").out
    )
    assert wheel.run("%%px\nu[:] = 7\nresidual = comm.rank").error is None
    assert stopped_at(wheel.run("%pxstep 10").out) == at + 10
    low, high = (run[f"float(u.{end}())"] for end in ("min", "max"))
    assert all(6.9 < value < 7 for value in (*low, *high))
    assert "it runs on" in wheel.run("%pxgo").out
    assert "stop it first" in wheel.fails("%pxstep", UsageError).shown


def test_parameters_and_plans(wheel: Notebook, run: Run):
    assert "dt=0.5" in repr(wheel.run("%pxset dt=0.5 scheme=euler").value)
    wait_until(lambda: "0.5" in repr(run.params), 20, "the change to be done")
    assert "euler" in repr(wheel.run("%pxparams").value)
    assert "from 1e-06 to 1.0" in wheel.fails("%pxset dt=2", UsageError).shown

    wheel.run("%pxat +5 marked = step")
    wheel.run("%%pxevery 10\nfor _ in range(1):\n    often = step")
    assert "every 10" in repr(wheel.run("%pxplans").value)
    wheel.run("%pxstop")
    wheel.run("%pxstep 20")
    assert len(set(run["marked"])) == 1
    assert len(set(run["often"])) == 1
    wheel.run("%pxunplan")
    wheel.run("%pxgo")
    wait_until(lambda: not run.plans(), 20, "the plans to be gone")


def test_a_watch_is_a_curve(wheel: Notebook):
    watch = wheel.run("%pxwatch residual").value
    watch.wait(5, timeout=20)

    assert re.match(r"residual  [▁▂▃▄▅▆▇█]+  point \d+: ", repr(watch))
    assert "residual" in repr(wheel.run("%pxwatch").value)
    wheel.run("%pxunwatch residual")
    wait_until(lambda: watch.ended, 20, "the watch to end")
    assert "Nothing is watched" in repr(wheel.run("%pxwatch").value)


def test_until_a_point_and_until_a_condition(wheel: Notebook, run: Run):
    at = stopped_at(wheel.run("%pxstop").out)
    assert stopped_at(wheel.run(f"%pxuntil step={at + 7}").out) == at + 7
    wheel.run("%pxgo")
    assert "stopped at" in wheel.run(f"%pxuntil step > {at + 20}").out
    assert min(run["step"]) > at + 20 - 2


def test_status_is_read_by_people(wheel: Notebook, run: Run):
    at = stopped_at(wheel.run("%pxstop").out)
    text = wheel.run("%pxstatus").out

    assert text.startswith(f"{run.name}: ")
    assert "4 held" in text
    assert f"stopped at {at}" in text
    assert "ranks 0-3" in text


def test_what_another_does_is_told_here(wheel: Notebook, run: Run, capsys: Any):
    with Run.of(Client(cluster_id=run.name)) as other:
        point = other.stop().point
        heard = ""

        def told() -> bool:
            nonlocal heard
            heard += capsys.readouterr().out
            return f"{run.name}: stopped at point {point}" in heard

        wait_until(told, 20, "the news")
        assert wheel.run("%pxstep 2").out.count("stopped at") == 1
        wait_until(lambda: other.status().state == f"stopped at {point + 2}", 20, "it")
        other.go()


def test_ctrl_c_leaves_the_wait_and_the_stop_stays_wanted(wheel: Notebook, run: Run):
    wheel.run("%pxstop")
    wheel.run("%px late = 3.0 if comm.rank == 1 else 0.0")
    wheel.run("%pxgo")
    news = run.client.link.steering.news

    def press() -> None:
        wait_until(lambda: news[-1].kind == "waiting", 20, "the watchdog")
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    ran = wheel.fails("%pxstop", KeyboardInterrupt)
    presser.join()

    assert "The stop is still wanted" in ran.shown
    assert "ank 1 " in ran.shown
    wait_until(lambda: news[-1].kind == "stopped", 20, "the stop to come about")
    assert "it runs on" in wheel.run("%pxgo").out


def test_time_may_be_over_too(wheel: Notebook, run: Run):
    said = wheel.fails("%pxuntil --timeout 0.05 step=100000000", TimeoutError).shown

    assert said.startswith("TimeoutError: Not yet after 0.05 s.")


def steer(*words: str, lines: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "steer", "attach", *words], input=lines,
        stdin=subprocess.DEVNULL if lines is None else None,
        capture_output=True, text=True, timeout=50,
    )  # fmt: skip


def test_a_command_line_steers(run: Run):
    done = steer(run.name, "-c", "stop", "-c", "step 3\ncomm.rank * 0", "-c", "go")

    assert done.returncode == 0, done.stderr
    first, second = map(int, re.findall(r"stopped at point (\d+)", done.stdout))
    assert second == first + 3
    assert "[0-3] (4)  0" in done.stdout


def test_lines_from_a_pipe_steer_until_one_fails(run: Run):
    done = steer(run.name, lines="stop\nfor i in range(2):\n    print(i)\n\n1/0\ngo\n")

    assert done.returncode == 1
    assert "[0-3] (4)  0\n           1" in done.stdout
    assert "ZeroDivisionError" in done.stdout + done.stderr
    assert "stopped" in run.status().state
    run.go()


def test_a_console_has_the_verbs_as_words(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("IPY_TEST_SIMPLE_PROMPT", "1")
    with in_terminal(CLI, 100, ["attach", run.name]) as session:
        assert session.read_until(lambda text: "(runs)>" in text)
        assert "`help` shows the verbs" in session.screen.text
        session.type("comm.rank\n")
        assert session.read_until(lambda text: "The run runs: `stop` holds" in text)
        session.type("stop\n")
        assert session.read_until(lambda text: "4/4 held" in text)
        session.type("comm.allreduce(comm.rank)\n")
        assert session.read_until(lambda text: "[0-3] (4)  6" in text)
        run.step(2)
        assert session.read_until(lambda text: f"{run.name}: stopped at" in text)
        session.type("help step\nstep = 3\nstep.bit_length()\ngo\n")
        assert session.read_until(lambda text: "it runs on" in text)
        session.type("exit\n")
        shown = session.read_all()

    assert session.wait() == 0
    assert "Go on to the N-th point" in shown
    assert "[0-3] (4)  2" in shown


def test_who_connects_again_is_told_once(
    wheel: Notebook, run: Run, capsys: pytest.CaptureFixture[str]
):
    with connect(run.name):
        assert wheel.run("%pxstop").error is None
        capsys.readouterr()
        run.step(2)
        heard = ""

        def told() -> bool:
            nonlocal heard
            heard += capsys.readouterr().out
            return "stopped at" in heard

        wait_until(told, 20, "the news")
    run.activate()
    assert heard.count("stopped at") == 1


def test_any_client_that_reaches_a_run_steers_it(bare: Notebook, run: Run):
    bare.run("%load_ext steer")
    with Client(cluster_id=run.name) as client:
        client.activate()
        at = stopped_at(bare.run("%pxstop").out)
        assert client[:].step(2).point == at + 2
    run.go()


def test_tab_knows_the_verbs_and_at_a_stop_what_the_ranks_know(
    wheel: Notebook, run: Run
):
    completer = SimpleNamespace(custom_matchers=[])
    with Telling(run) as telling:
        completing.add_to(SimpleNamespace(Completer=completer), run, telling)

        def offered(code: str) -> list[tuple[str, str]]:
            *_, token = re.split(r"[\s(]", code)
            context = CompletionContext(token, code, len(code), 0, None)
            found = [matcher(context) for matcher in completer.custom_matchers]
            return [
                (result["matched_fragment"], completion.text)
                for result in found
                for completion in result["completions"]
            ]

        assert offered("sto") == [("sto", "stop")]
        assert offered("x = sto") == []
        assert offered("resid") == []
        wheel.run("%pxstop")
        assert ("resid", "residual") in offered("resid")
        assert ("argm", "argmax") in offered("print(u.argm")
