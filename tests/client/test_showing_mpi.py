"""Output of real ranks, as it comes; and what a terminal shows of it."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from steer.client.client import Client
from steer.client.cluster import Cluster
from steer.testing.waiting import wait_until

from .screen import in_terminal

pytestmark = pytest.mark.mpi

Text = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def rc(private_home: Path) -> Iterator[Client]:
    """Four ranks for all tests here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", tempfile.mkdtemp(dir=private_home))
        cluster = Cluster(n=4, engines="mpi", shutdown_atexit=False)
        client = cluster.start_and_connect_sync()
        client[:].execute(
            "from mpi4py import MPI; import os, sys, time; rank = MPI.COMM_WORLD.rank",
            block=True,
        )
        yield client
        cluster.close_sync()


def test_ranks_that_say_the_same(rc: Client, capsys: Text) -> None:
    result = rc[:].execute("print('size', MPI.COMM_WORLD.size)\nrank > 2", silent=False)
    with result.stream_output():
        result.wait(20)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "[0-3] (4)  size 4"
    assert shown[1].startswith("Out[0-3:")
    assert shown[2] == "[0-2] (3)  False"


def test_the_first_failure_is_told_at_once_with_its_line(
    rc: Client, capsys: Text, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    code = (
        "if rank == 3:\n    divided = 1 / 0\n"
        f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.005)"
    )
    result = rc[:].execute(code, silent=False)
    seen, when = "", 0.0
    with result.stream_output():

        def told() -> bool:
            nonlocal seen, when
            seen, when = seen + capsys.readouterr().err, time.time()
            return "0-2 still run: they may wait for rank 3" in seen

        wait_until(told, 20, "the error")
        assert not result.done()
        gate.touch()
        result.wait(20)
    failed = result.metadata[3]["completed"].timestamp()
    assert when - failed < 0.5
    assert "ZeroDivisionError rank [3] (1 of 4)" in seen
    assert "divided = 1 / 0" in seen


SCRIPT = """
import sys, steer
rc = steer.Client(sys.argv[1])
result = rc[:].execute(sys.argv[2], silent=False)
with result.stream_output(progress_after=float(sys.argv[3])):
    result.wait(30)
print('end')
rc.close()
"""


def shown_of(rc: Client, code: str, progress_after: float = -1) -> str:
    """What a terminal shows in the end."""
    arguments = [rc.cluster.cluster_file, code, str(progress_after)]
    with in_terminal(SCRIPT, 100, arguments) as session:
        return session.read_all(40)


def test_a_terminal_shows_every_line_once(rc: Client) -> None:
    code = "for i in range(2000): print('line', i)"
    lines = shown_of(rc, code).splitlines()
    assert lines[-1] == "end"
    said: dict[str, set[int]] = {}
    ranks: set[int] = set()
    for line in lines[:-1]:
        if line.strip().startswith("missing: "):
            continue  # one rank was that far behind the others
        if line.startswith("["):
            head, _, line = line.partition("  ")
            pieces = head[1 : head.index("]")].split(",")
            ends = [piece.split("-") for piece in pieces]
            ranks = {r for e in ends for r in range(int(e[0]), int(e[-1]) + 1)}
        those = said.setdefault(line.strip(), set())
        assert not those & ranks, line
        those |= ranks
    assert said == {f"line {i}": {0, 1, 2, 3} for i in range(2000)}


def test_bars_of_loops_and_of_the_cell_go_away(rc: Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    code = (
        "import steer\n"
        "for i in steer.progress(range(10), label='relax'):\n"
        "    print('step', i) if i % 5 == 0 else None\n"
        f"    while i == 7 - rank and not os.path.exists({str(gate)!r}):\n"
        "        time.sleep(0.005)"
    )
    arguments = [rc.cluster.cluster_file, code, "0"]
    with in_terminal(SCRIPT, 100, arguments) as session:
        line = "relax ▕█████▌    ▏ min 4 (r3)  med 5  max 7 of 10"
        assert session.read_until(lambda text: line in text)
        assert session.read_until(lambda text: "execute ▕          ▏ 0 of 4" in text)
        gate.touch()
        shown = session.read_all()
    assert "▕" not in shown
    assert shown.endswith("end\n")
    assert "step 5" in shown


def test_a_start_tells_how_far_it_is(rc: Client) -> None:
    script = (
        "import sys, steer\n"
        "rc = steer.Client(sys.argv[1])\n"
        "try:\n    rc.wait_for_engines(6, timeout=0.3, interactive=True)\n"
        "except TimeoutError as error:\n    print(error)\n"
        "rc.close()"
    )
    with in_terminal(script, 100, [rc.cluster.cluster_file]) as session:
        bar = "starting ▕██████▋   ▏ 4 of 6 ranks are here"
        assert session.read_until(lambda text: bar in text)
        shown = session.read_all()
    assert shown == "6 engines not ready in 0.3 seconds. Currently ready: 4\n"


def test_output_after_the_block_is_not_printed(rc: Client, capsys: Text) -> None:
    before = threading.active_count()
    result = rc[:].execute("time.sleep(0.3)\nprint('late')", silent=False)
    with result.stream_output():
        pass
    result.wait(20)
    assert "late" not in capsys.readouterr().out
    assert threading.active_count() == before


def test_a_question_comes_below_what_was_printed(rc: Client) -> None:
    code = "print('A number is needed.')\nanswer = input('which? ')\nint(answer) * 2"
    arguments = [rc.cluster.cluster_file, code, "0"]
    with in_terminal(SCRIPT, 100, arguments) as session:
        assert session.read_until(lambda text: "needed.\n[ranks 0-3] which?" in text)
        session.type("21\n")
        shown = session.read_all().splitlines()
    assert shown[0] == "[0-3] (4)  A number is needed."
    assert shown[1] == "[ranks 0-3] which? 21"
    assert shown[2].startswith("Out[0-3:")
    assert shown[3:] == ["[0-3] (4)  42", "end"]


def test_clear_output_on_ranks_shows_no_empty_output(rc: Client, capsys: Text) -> None:
    result = rc[:].execute(
        "from IPython.display import clear_output\n"
        "clear_output(wait=True); print('now')",
        silent=False,
    )
    with result.stream_output():
        result.wait(10)
    assert result.outputs == [[], [], [], []]
    assert capsys.readouterr().out == "[0-3] (4)  now\n"
