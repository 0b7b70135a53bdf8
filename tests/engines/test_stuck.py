"""Programs nobody tuned for, on real ranks: what each rank is in, and the verdict.

Here without a hub, so that every number can be looked at; `tests/sight` has them all as
cells of a cluster, so most of these are slow ones.
"""

from __future__ import annotations

import contextlib
import json
import linecache
import os
import re
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from steer.core.outside import look_from_outside, read_faulthandler
from steer.core.rankstates import ANY, Doing, Evidence, Look, RankState, tell
from steer.core.verdict import Diagnosis, Kind, diagnose
from steer.core.verdicttext import text
from steer.node.sweep import mapped_by, sweep
from steer.ranks import RankSet
from steer.testing.waiting import wait_until

SCRIPT = Path(__file__).with_name("stuck.py")
MPIEXEC = Path(sysconfig.get_path("scripts")) / "mpiexec"
OPEN_MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_pml": "ob1",
    "OMPI_MCA_btl": "self,sm,tcp",
}
SESSIONS = ("OMPI_MCA_orte_tmpdir_base", "PRTE_MCA_prte_local_tmpdir_base")
HAS_TO_SPEAK = 4.0
SHOW = signal.SIGRTMIN + 6

pytestmark = [
    pytest.mark.mpi,
    pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec beside this Python"),
]


@dataclass
class Seen:
    found: Diagnosis
    took: list[float]

    def __getitem__(self, rank: int) -> RankState:
        return self.found.states[rank]


def see(program: str, folder: Path, n: int = 3, silent: int = 0) -> Seen:
    """Run a program until all its ranks but `silent` have said how they are."""
    with started(program, folder, n):
        wait_until(lambda: len(told(folder)) >= n - silent, 40, "ranks to be seen")
        if silent:  # a rank is silent that has not spoken when it had to
            began = max(path.stat().st_mtime for path in folder.glob("*.began"))
            wait_until(lambda: time.time() > began + HAS_TO_SPEAK, 20, "silence")
            assert len(told(folder)) == n - silent
        return judge(folder, n)


@contextlib.contextmanager
def started(program: str, folder: Path, n: int) -> Iterator[None]:
    """Its ranks, which are ended with the block."""
    command = [str(MPIEXEC), "-n", str(n), sys.executable, str(SCRIPT)]
    # Open MPI's folders are named by the number of mpiexec's process, which others who
    # see this /tmp from a container of their own may have too.
    with (
        (folder / "log").open("wb") as log,
        tempfile.TemporaryDirectory(prefix="stuck", ignore_cleanup_errors=True) as own,
    ):
        places = dict.fromkeys(SESSIONS, own)
        job = subprocess.Popen(
            [*command, program, str(folder)],
            stdout=log,
            stderr=log,
            env=os.environ | OPEN_MPI | places,
        )
        try:
            yield
        except BaseException:
            print((folder / "log").read_text())  # pytest shows it
            raise
        finally:
            end(folder, job)


def end(folder: Path, job: subprocess.Popen[bytes]) -> None:
    """No rank would end by itself, and none sweeps up behind it."""
    pids = [int(began.read_text()) for began in folder.glob("*.began")]
    files = [name for pid in pids for name in mapped_by(pid)]
    for pid in pids:
        # mpiexec ends the others when the first is gone.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if not pids:
        job.terminate()
    job.wait(20)
    sweep(files)


def told(folder: Path) -> list[Path]:
    kinds = ("json", "failed", "finished")
    return [path for kind in kinds for path in folder.glob(f"*.{kind}")]


def judge(folder: Path, n: int) -> Seen:
    states, took = {}, []
    for rank in range(n):
        known, seconds = evidence(folder, rank)
        states[rank] = tell(known)
        took += seconds
    return Seen(diagnose(states, time.time()), took)


def evidence(folder: Path, rank: int) -> tuple[Evidence, list[float]]:
    for kind in ("failed", "finished"):
        path = folder / f"{rank}.{kind}"
        if path.exists():
            since = path.stat().st_mtime
            error = path.read_text()
            return Evidence(time.time(), idle=True, error=error, since=since), []
    path = folder / f"{rank}.json"
    if not path.exists():
        began = folder / f"{rank}.began"
        since = began.stat().st_mtime + 0.2
        look = from_outside(folder, rank, int(began.read_text()))
        return Evidence(time.time(), silent_since=since, outside=look), []
    look, took, _ = json.loads(path.read_bytes())
    when = path.stat().st_mtime
    seen = Evidence(when - 0.05, when, msgspec.convert(look, Look))
    return seen, [took]


def from_outside(folder: Path, rank: int, pid: int) -> Look:
    path = folder / f"{rank}.outside"
    os.kill(pid, SHOW)
    wait_until(lambda: "in <module>" in path.read_text(), 5, "the stack from outside")
    frames = read_faulthandler(path.read_text())
    return look_from_outside(frames, linecache.getline(*frames[-1][:2]))


def line_of(said: str) -> int:
    lines = SCRIPT.read_text().split("\n")
    (found,) = [at for at, line in enumerate(lines, 1) if re.search(said, line)]
    return found


# -- deadlocks


@pytest.mark.parametrize(
    "n", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (8, 32))]
)
def test_receives_head_to_head(tmp_path, n):
    seen = see("head_to_head", tmp_path, n)
    head = seen.found.head
    assert head.kind is Kind.DEADLOCK, text(seen.found)
    assert set(head.cycle) == set(range(n))
    for rank in range(n):
        call = seen[rank].call
        assert call is not None
        assert (call.op, call.receive.peer, call.receive.tag) == (
            "Recv",
            (rank - 1) % n,
            7,
        )
        assert seen[rank].spot.line == line_of(r"comm\.Recv\($")
        assert seen[rank].spot.function == "head_to_head"
    assert "comm WORLD" in text(seen.found)
    print(f"looks: {min(seen.took) * 1e3:.1f} to {max(seen.took) * 1e3:.1f} ms")
    if n == 3:
        assert min(seen.took) < 0.05


@pytest.mark.slow
def test_a_wrong_tag_with_a_victim(tmp_path):
    seen = see("wrong_tag", tmp_path)
    head = seen.found.head
    assert head.kind is Kind.DEADLOCK, text(seen.found)
    assert head.causes == RankSet.parse("0-1")
    assert head.victims == RankSet.parse("2")
    said = text(seen.found)
    assert "hint: rank 0 sends with tag 7, rank 1 receives with tag 9." in said
    assert "ssend(dest=1, tag=7, comm WORLD)" in said


@pytest.mark.slow
def test_nested_communicators(tmp_path):
    seen = see("nested", tmp_path)
    names = [seen[rank].call.comm for rank in range(3)]
    assert names[0].key == names[1].key == ("0-1", "")
    assert names[2].ranks == "0,2"
    assert seen.found.head.kind in (Kind.MISMATCH, Kind.QUIET), text(seen.found)
    shown = text(seen.found)
    assert shown.count("comm of 0-1") + shown.count("comm rows") == 2, shown


@pytest.mark.slow
def test_duplicates_of_a_communicator_are_told_apart(tmp_path):
    seen = see("duplicates", tmp_path)
    assert [seen[rank].call.comm.name for rank in range(3)] == ["#1", "#2.1", "#2.1"]
    assert seen.found.head.kind is Kind.DEADLOCK, text(seen.found)
    assert "#2.1" in text(seen.found)


@pytest.mark.slow
def test_requests_that_nobody_fulfils(tmp_path):
    seen = see("requests", tmp_path)
    assert [seen[rank].call.op for rank in range(3)] == ["Waitall"] * 3
    assert seen[0].open.requests >= 1
    assert seen[0].open.size == 64
    assert seen.found.head.kind is Kind.DEADLOCK, text(seen.found)


@pytest.mark.slow
def test_a_big_message_that_may_still_come_is_no_proof(tmp_path):
    seen = see("big_message_on_its_way", tmp_path)
    assert seen[0].open.size == 400_000_000
    assert seen.found.head.kind is Kind.QUIET, text(seen.found)
    assert "deadlock" not in text(seen.found).lower()


@pytest.mark.slow
def test_mismatched_collectives(tmp_path):
    seen = see("mismatch", tmp_path)
    head = seen.found.head
    assert head.kind is Kind.MISMATCH, text(seen.found)
    assert dict(head.sides) == {
        "Barrier": RankSet.parse("0"),
        "allreduce": RankSet.parse("1-2"),
    }


# -- waiting for those that do not come


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "gone", "op"),
    [("missing_participant", 1, "Barrier"), ("early_return", 2, "allreduce")],
)
def test_a_rank_that_finished(tmp_path, program, gone, op):
    seen = see(program, tmp_path)
    head = seen.found.head
    assert head.kind is Kind.FINISHED, text(seen.found)
    assert head.causes == RankSet([gone])
    assert {seen[rank].call.op for rank in head.waiting} == {op}


@pytest.mark.slow
def test_a_worker_that_failed(tmp_path):
    seen = see("dead_worker", tmp_path)
    head = seen.found.head
    assert head.kind is Kind.FAILED, text(seen.found)
    assert head.causes == RankSet([2])
    assert seen[1].call.receive.tag == 1


@pytest.mark.slow
def test_a_wildcard_without_a_sender(tmp_path):
    seen = see("wildcard", tmp_path)
    assert seen.found.head.kind is Kind.DEADLOCK, text(seen.found)
    assert seen[0].call.receive.peer == ANY
    assert seen[1].call.root == 0


# -- slow is not stuck


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "busy", "doing", "what"),
    [
        ("slow_rank", 1, Doing.PYTHON, ""),
        ("python_loop", 0, Doing.PYTHON, ""),
        ("sleeper", 0, Doing.NATIVE, "time.sleep"),
        ("c_loop", 0, Doing.NATIVE, "ctypes.CDLL(None).pause"),
    ],
)
def test_a_rank_that_works(tmp_path, program, busy, doing, what):
    seen = see(program, tmp_path)
    head = seen.found.head
    assert head.kind is Kind.IMBALANCE, text(seen.found)
    assert head.causes == RankSet([busy])
    assert (seen[busy].doing, seen[busy].detail) == (doing, what)
    assert seen[busy].spot.function == program


@pytest.mark.slow
def test_native_code_that_holds_the_gil(tmp_path):
    seen = see("native_with_gil", tmp_path, silent=1)
    assert seen[0].doing is Doing.HOLDING
    assert seen[0].spot.line == line_of(r"sum\(range")
    assert seen.found.head.kind is Kind.IMBALANCE, text(seen.found)


@pytest.mark.slow
def test_a_collective_that_holds_the_gil(tmp_path):
    """mpi4py 4.1.2 duplicates a communicator in its first reduction, under the GIL."""
    seen = see("gil_holding_collective", tmp_path, silent=2)
    for rank in (1, 2):
        assert seen[rank].call.op == "allreduce"
        assert seen[rank].spot.line == line_of(r"mine\.allreduce")
        assert seen[rank].doing is Doing.HOLDING
    assert "may be in allreduce(comm ?), holding the GIL" in text(seen.found)
    # The communicator cannot be seen from outside, so nothing more is certain.
    assert seen.found.head.kind is Kind.QUIET, text(seen.found)
