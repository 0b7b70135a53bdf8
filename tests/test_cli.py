"""The command `steer`, as it is typed; clusters of local engines, no MPI."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from steer import cli
from steer.config import Connection
from steer.node.processes import find_by_environment
from steer.testing.waiting import wait_until


@pytest.fixture(autouse=True)
def home(private_home, monkeypatch):
    """Profiles of the test's own, and nothing running in them afterwards."""
    folder = Path(tempfile.mkdtemp(dir=private_home))
    monkeypatch.setenv("IPYTHONDIR", str(folder))
    yield folder
    cli.main(["stop", "--all"])


@pytest.fixture
def steer(capsys):
    """Run the command; gives its status, its output and its complaints."""

    def run(*words):
        capsys.readouterr()
        status = cli.main(words)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def start(steer, *words):
    status, out, err = steer("start", "--engines", "local", "-n", "2", *words)
    assert (status, err) == (0, "")
    return out


def connection(home, name="default"):
    return Connection.read(home / "profile_default" / "steer" / name / "cluster.json")


def processes(home, name="default"):
    path = home / "profile_default" / "steer" / name / "cluster.json"
    return [p.pid for p in find_by_environment({"STEER_CONNECTION": str(path)})]


def kill_hub(home, name="default"):
    hub = connection(home, name).hub_pid
    os.kill(hub, signal.SIGKILL)
    os.waitpid(hub, 0)


def test_help_is_instant_because_little_is_imported():
    script = (
        "import sys\nfrom steer import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'zmq', 'msgspec', 'IPython', 'asyncio', 'numpy'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "start" in done.stdout
    assert "clean" in done.stdout


def test_python_m_steer_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "steer", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.startswith("steer ")


def test_start_list_and_stop(steer, home):
    out = start(steer)
    assert out.startswith("Started cluster 'default': 2 engines (local) in ")
    assert "`steer stop`" in out
    _, out, _ = steer("list")
    title, row = out.splitlines()
    assert title.split() == [
        "CLUSTER",
        "PROFILE",
        "STATE",
        "ENGINES",
        "LAUNCHER",
        "SINCE",
    ]
    assert row.split()[:5] == ["default", "default", "running", "2", "local"]
    assert steer("stop") == (0, "Stopped cluster 'default'.\n", "")
    assert "There are no clusters. `steer start -n 4` starts" in steer("list")[1]
    assert processes(home) == []


def test_a_second_start_says_so_with_status_10(steer):
    start(steer)
    status, out, err = steer("start", "--engines", "local", "-n", "1")
    assert (status, out) == (cli.ALREADY_RUNNING, "")
    assert err.startswith("steer: The cluster 'default' is already running.")


def test_stop_of_nothing_has_status_11(steer):
    assert steer("stop") == (11, "", "steer: no cluster is running.\n")
    assert steer("stop", "--all") == (11, "", "steer: no cluster is running.\n")


def test_stop_names_what_does_run(steer):
    start(steer, "--cluster-id", "b")
    status, _, err = steer("stop")
    assert status == cli.NONE_RUNNING
    assert "no cluster 'default' is running, but these are: b" in err
    assert steer("stop", "b") == (0, "Stopped cluster 'b'.\n", "")


def test_stop_all_stops_all(steer, home):
    start(steer, "--cluster-id", "a")
    start(steer, "--cluster-id", "b")
    _, out, _ = steer("stop", "--all")
    assert sorted(out.splitlines()) == ["Stopped cluster 'a'.", "Stopped cluster 'b'."]
    assert processes(home, "a") + processes(home, "b") == []


def test_list_as_json(steer, home):
    start(steer)
    (row,) = json.loads(steer("list", "-o", "json")[1])
    assert row["running"] is True
    assert row["engines"] == 2
    assert row["hub_pid"] == connection(home).hub_pid


def test_engines_are_added(steer):
    start(steer)
    status, out, _ = steer("engines", "-n", "1", "--engines", "local")
    assert status == 0
    assert out == "Added 1 engines (local) to cluster 'default'.\n"
    assert json.loads(steer("list", "-o", "json")[1])[0]["engines"] == 3


def test_engines_without_a_cluster_have_status_11(steer):
    status, _, err = steer("engines", "-n", "1")
    assert status == cli.NONE_RUNNING
    assert "Start it with `steer start`" in err


def test_a_dead_hub_is_listed_with_the_next_step_and_restored(steer, home):
    start(steer)
    engines = processes(home)
    kill_hub(home)
    _, out, _ = steer("list")
    assert "dead" in out
    assert "`steer start --restore` brings the hub back" in out
    status, _, err = steer("start", "--engines", "local", "-n", "2")
    assert status == 1
    assert "2 of its processes still run" in err
    assert steer("start", "--restore")[:2] == (
        0,
        "The hub of cluster 'default' is back.\n",
    )
    assert processes(home) == engines
    _, out, _ = steer("list")
    assert "running" in out


def test_clean_ends_what_a_dead_hub_has_left(steer, home):
    start(steer)
    kill_hub(home)
    _, out, _ = steer("clean")
    assert "Ended 2 processes of cluster 'default'." in out
    assert "Removed the files of cluster 'default'." in out
    assert processes(home) == []
    assert steer("list")[1].startswith("There are no clusters.")


def test_clean_leaves_a_running_cluster_alone_unless_forced(steer, home):
    start(steer)
    steer("clean")
    assert len(processes(home)) == 2
    _, out, _ = steer("clean", "--force")
    assert "Stopped cluster 'default'." in out
    assert processes(home) == []


def test_clean_ends_ranks_whose_cluster_file_is_gone(steer, home):
    start(steer)
    path = home / "profile_default" / "steer" / "default" / "cluster.json"
    engines = processes(home)
    kill_hub(home)
    path.unlink()
    assert len(engines) == 2
    _, out, _ = steer("clean")
    assert f"Ended 2 processes of a cluster whose file {path} is gone." in out
    assert processes(home) == []


def test_clean_ends_a_hub_that_nobody_can_find_any_more(steer, home):
    start(steer)
    hub = connection(home).hub_pid
    (home / "profile_default" / "steer" / "default" / "cluster.json").unlink()
    steer("clean")
    assert not Path(f"/proc/{hub}").exists()
    assert processes(home) == []


def test_stale_files_are_replaced_and_it_is_said(steer, home):
    start(steer)
    for pid in processes(home):
        os.kill(pid, signal.SIGKILL)
    kill_hub(home)
    wait_until(lambda: not processes(home), 5, "the engines' end")
    assert "stale" in steer("list")[1]
    assert "Replaced the files of cluster 'default', whose hub is gone." in start(steer)


def test_stop_ends_a_cluster_without_a_hub(steer, home):
    start(steer)
    kill_hub(home)
    status, out, err = steer("stop")
    assert (status, out) == (0, "Stopped cluster 'default'.\n")
    assert "Killed 2 processes" in err
    assert processes(home) == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--engines", "nix"], 'No recipe is called "nix"'),
        (["--engines", "local", "--option", "hosts"], "has no value; write NAME=VALUE"),
        (["--engines", "local", "--option", "x=1"], 'has no option "x"'),
        (["--restore"], "There is nothing to restore"),
    ],
)
def test_a_users_mistake_is_a_sentence(steer, words, reason):
    status, _, err = steer("start", *words)
    assert status == 1
    assert err.startswith("steer: ")
    assert reason in err
    assert "Traceback" not in err


def test_wrong_words_have_status_2(capsys):
    for words in (["start", "-n", "0"], ["begin"], [], ["start", "--Hub.colour=red"]):
        with pytest.raises(SystemExit) as caught:
            cli.main(words)
        assert caught.value.code == 2
    assert "there is no setting Hub.colour" in capsys.readouterr().err


def test_jupyters_way_to_set_things(steer):
    status, out, _ = steer("start", "--Cluster.n=1", "--Cluster.engines=local")
    assert status == 0
    assert "1 engines (local)" in out


def test_launchers_lists_recipes_and_where_they_are(steer):
    _, out, _ = steer("launchers")
    assert "mpiexec " in out
    assert "local.toml" in out
    assert "MPI here: " in out


def test_foreground_tells_what_happens_until_it_is_interrupted(home):
    command = ["start", "--engines", "local", "-n", "2", "--foreground"]
    with subprocess.Popen(
        [sys.executable, "-m", "steer", *command], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline().startswith("Started cluster 'default'")
        assert child.stdout.readline() == "Press Ctrl-C to stop it.\n"
        os.kill(processes(home)[0], signal.SIGKILL)
        assert "was killed by SIGKILL" in child.stdout.readline()
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "Stopping.\n"
    assert child.returncode == 0
    assert processes(home) == []


def test_it_outlives_the_terminal_it_was_started_from(steer, home):
    subprocess.run(
        [sys.executable, "-m", "steer", "start", "--engines", "local", "-n", "1"],
        check=True,
        capture_output=True,
        start_new_session=True,
    )
    assert len(processes(home)) == 1
    assert steer("stop")[0] == 0
