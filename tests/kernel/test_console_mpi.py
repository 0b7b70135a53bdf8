"""Consoles on ranks of a running cluster, as people open them."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest
from jupyter_client.blocking import BlockingKernelClient

from steer.client.client import Client
from steer.client.cluster import Cluster
from steer.config import runtime_dir
from steer.errors import LaunchError
from steer.testing import wait_until

from .conftest import Front, Said

pytestmark = [pytest.mark.mpi, pytest.mark.either_mpi]


@pytest.fixture(scope="module")
def cluster(private_home):
    with Cluster(n=2, cluster_id="consoles") as rc:
        rc[:].execute(
            "from mpi4py import MPI; r = MPI.COMM_WORLD.rank; who = 'theirs'",
            block=True,
        )
        yield rc


@pytest.fixture
def rc(cluster):
    with Client(cluster_id="consoles") as client:
        yield client


def folders() -> list[Path]:
    return list(runtime_dir().glob("console-*"))


@pytest.fixture
def connect():
    """A front end on a connection file."""
    clients = []

    def make(file: str) -> Front:
        client = BlockingKernelClient(connection_file=file)
        client.load_connection_file()
        client.start_channels()
        client.wait_for_ready(timeout=20)
        clients.append(client)
        return Front(None, client)

    yield make
    for client in clients:
        client.stop_channels()


# -- view.console()


def test_a_console_works_on_its_rank_and_ends_with_its_client(rc, connect, capsys):
    console = rc[1].console()
    assert capsys.readouterr().out == f"{console.command}\n"
    assert console.command == f"jupyter console --existing {console.connection_file}"
    file = Path(console.connection_file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    front = connect(console.connection_file)
    assert front.run("who, r").of("execute_result")[0]["data"] == {
        "text/plain": "('theirs', 1)"
    }
    rc.close()
    assert not file.parent.exists()
    assert "closed" in repr(console)


def test_the_cluster_goes_on_without_the_console(cluster, connect):
    with cluster[:].console() as console:
        connect(console.connection_file).run("left = r")
    console.close()  # again does nothing
    assert cluster[:].get("left") == [0, 1]


def test_a_console_answers_while_a_rank_computes(cluster, connect):
    with cluster[:].console() as console:
        front = connect(console.connection_file)
        busy = cluster[0].execute("import time; time.sleep(30)")
        assert front.run("%%local\n6 * 7").of("execute_result")
        assert "theirs" in front.run("%%rank 1\nwho").text
        assert front.ask("complete", "%%rank 0\nwh")["matches"] == []
        cluster.send_signal(signal.SIGINT, 0, block=True)
        busy.wait(10)


def test_a_kernel_that_does_not_come_up_says_why(cluster, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(LaunchError, match="ended before it was there"):
        cluster[0].console()
    assert folders() == []


def test_a_killed_client_leaves_no_console(cluster, private_home):
    script = (
        "import sys, steer\nrc = steer.Client(cluster_id='consoles')\n"
        "console = rc[0].console()\nprint('ready', flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdout.readline().startswith("jupyter console")
        assert child.stdout.readline() == "ready\n"
        assert len(folders()) == 1
        child.kill()
    wait_until(lambda: not folders(), 5, "the console's folder to go")


# -- steer console


@pytest.fixture
def terminal(jupyter, cluster):
    """A terminal with a command in it, where there is a cluster."""
    opened = []

    def run(*words: str) -> pexpect.spawn:
        child = pexpect.spawn(
            sys.executable, ["-m", "steer", *words],
            encoding="utf-8", timeout=20, dimensions=(40, 120),
            env={**os.environ, "NO_COLOR": "1", "TERM": "xterm"},
        )  # fmt: skip
        opened.append(child)
        return child

    yield run
    for child in opened:
        child.close(force=True)


def test_the_command_opens_a_console_here(terminal, rc):
    child = terminal("console", "--rank", "1", "--cluster-id", "consoles")
    child.expect("cells run on rank 1")
    child.expect(r"In \[")
    child.send("who, r\r")
    child.expect(r"\('theirs', 1\)")
    child.send("import time; time.sleep(30)\r")
    wait_until(lambda: is_busy(rc, 1), 5, "the rank to sleep")
    child.send("\x03")
    child.expect("KeyboardInterrupt")
    child.expect(r"In \[")
    child.send("exit\r")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert folders() == []
    assert rc[1].get("who") == "theirs"


def is_busy(rc: Client, rank: int) -> bool:
    """Whether a rank owes an answer."""
    queues = dict(rc.link.wait(rc.link.ask("queue"))["engines"])
    return bool(queues.get(rank))


@pytest.mark.slow
def test_the_command_says_how_others_connect(terminal, connect):
    child = terminal("console", "--cluster-id", "consoles", "--existing")
    child.expect(r"jupyter console --existing (\S+)\r\n")
    said: Said = connect(child.match[1]).run("print('all')")
    assert "[0-1] (2)  all" in said.text
    child.expect("Press Ctrl-C to end it")
    child.send("\x03")
    child.expect(pexpect.EOF)
    assert folders() == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--rank", "7"], "Rank 7 is not there; there are 0-1."),
        (["--ranks", "west"], "There is no group 'west'"),
    ],
)
def test_the_command_names_ranks_that_are_not_there(terminal, words, sentence):
    child = terminal("console", "--cluster-id", "consoles", *words)
    child.expect_exact(sentence)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1
