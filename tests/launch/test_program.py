"""Foreign programs under an mpiexec of their own, started from inside a rank."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from steer.launch.program import MARK, program_of, run_program, scrubbed
from steer.node.processes import find_by_environment
from steer.testing.waiting import wait_until


def program(*argv, ranks=1, cwd=None, env=None, input=None, check=True, text=True):
    return program_of(argv, ranks, cwd, env, input, check, text)


def python(code, **options):
    return program(sys.executable, "-c", code, **options)


def test_what_launchers_told_a_rank_is_taken_out():
    rank = {
        "PMI_RANK": "3",
        "PMIX_NAMESPACE": "x",
        "OMPI_COMM_WORLD_SIZE": "4",
        "OMPI_MCA_orte_hnp_uri": "y",
        "SLURM_PROCID": "1",
        "HYDI_CONTROL_FD": "7",
        "MPI_LOCALNRANKS": "2",
    }
    users = {"PATH": "/bin", "OMP_NUM_THREADS": "2", "HOME": "/h", "PMIN": "1"}

    assert scrubbed(rank | users) == users


def test_what_cannot_be_is_refused_before_it_is_sent():
    with pytest.raises(ValueError, match="needs a program"):
        program()
    with pytest.raises(ValueError, match="cannot have 0 ranks"):
        program("true", ranks=0)


def test_a_missing_program_or_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no program no-such-thing"):
        run_program(program("no-such-thing"))
    with pytest.raises(FileNotFoundError, match=r"no program \./here"):
        run_program(program("./here", cwd=tmp_path))
    with pytest.raises(FileNotFoundError, match="no folder"):
        run_program(program("true", cwd=tmp_path / "none"))


@pytest.mark.mpi
def test_a_program_runs_although_we_look_like_a_rank(monkeypatch):
    for name in ("PMI_RANK", "PMI_SIZE", "PMI_FD", "OMPI_COMM_WORLD_RANK"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PMIX_RANK", "1")
    monkeypatch.setenv("PMIX_NAMESPACE", "nowhere")
    code = (
        "from mpi4py import MPI; import os; c = MPI.COMM_WORLD;"
        "os.write(1, b'%d %d\\n' % (c.allreduce(c.rank + 1), c.size))"
    )

    done = run_program(python(code, ranks=2))

    assert sorted(done.stdout.split("\n")) == ["", "3 2", "3 2"]
    assert done.returncode == 0


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_input_folder_and_variables_reach_it(tmp_path):
    code = "import os; print(input(), os.getcwd(), os.environ['COLOUR'])"

    done = run_program(
        python(code, cwd=tmp_path, env={"COLOUR": "green"}, input="hello\n")
    )

    assert done.stdout.split() == ["hello", os.path.realpath(tmp_path), "green"]


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_a_failure_is_an_error_with_its_last_words_or_a_number():
    code = "import sys; print('out'); sys.exit('it went wrong')"

    with pytest.raises(subprocess.CalledProcessError) as caught:
        run_program(python(code))
    done = run_program(python(code, check=False, text=False))

    assert caught.value.returncode == 1
    assert caught.value.stdout == "out\n"
    assert any("it went wrong" in note for note in caught.value.__notes__)
    assert done.returncode == 1
    assert b"it went wrong" in done.stderr


@pytest.mark.mpi
def test_an_interrupted_task_ends_its_program_and_all_its_ranks(tmp_path):
    begun = tmp_path / "begun"
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"open({str(begun)!r}, 'a').close(); time.sleep(60)"
    )
    run = python(code, ranks=2, env={"SEEN": str(tmp_path)})

    def interrupt():
        wait_until(begun.exists, 30, "the program to begin")
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_program(run)
    thread.join()

    assert MARK not in os.environ
    gone = lambda: not find_by_environment({"SEEN": str(tmp_path)})  # noqa: E731
    assert wait_until(gone, 5, "all ranks to be gone")


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_a_program_ends_when_its_rank_is_killed(tmp_path):
    begun = tmp_path / "begun"
    code = f"import time; open({str(begun)!r}, 'a').close(); time.sleep(60)"
    script = (
        "from steer.launch.program import *; import sys\n"
        f"p = Program((sys.executable, '-c', {code!r}), env={{'SEEN': {str(begun)!r}}})"
        "\nrun_program(p)"
    )
    rank = subprocess.Popen([sys.executable, "-c", script])
    wait_until(begun.exists, 30, "the program to begin")

    rank.kill()
    rank.wait()

    gone = lambda: not find_by_environment({"SEEN": str(begun)})  # noqa: E731
    assert wait_until(gone, 5, "the program to be gone")


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_the_middle_of_much_output_is_left_out(monkeypatch):
    monkeypatch.setattr("steer.launch.program.KEPT", 1000)

    done = run_program(python("print('a' * 5000 + 'z')"))

    assert done.stdout.startswith("aaa")
    assert done.stdout.endswith("z\n")
    assert "steer left out 4,002 bytes" in done.stdout


RANKS = """
import sys
from mpi4py import MPI
from steer.launch.program import Program, run_program
code = "from mpi4py import MPI; import os; os.write(1, b'%d ' % MPI.COMM_WORLD.size)"
done = run_program(Program((sys.executable, "-c", code), 2), MPI.COMM_WORLD)
assert (done is None) == (MPI.COMM_WORLD.rank > 0)
if done:
    print("in it:", *done.stdout.split())
"""


@pytest.mark.mpi
def test_the_other_ranks_wait_for_the_first(mpi_python):
    from steer.launch.flavour import detect

    flavour = detect(mpi_python)
    root = ["--allow-run-as-root", "--oversubscribe"] * (flavour.kind == "openmpi")

    done = subprocess.run(
        [flavour.mpiexec, *root, "-n", "2", mpi_python, "-c", RANKS],
        capture_output=True, text=True, timeout=50,
    )  # fmt: skip

    assert "in it: 2 2" in done.stdout, done.stderr
    assert done.returncode == 0
