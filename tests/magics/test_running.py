"""Running a cell with options, and clusters that lose ranks or their hub."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from steer import CompositeError, EngineError, UsageError
from steer.client.cluster import Cluster
from steer.config import Connection
from steer.magics import running
from steer.magics.options import Options
from steer.testing.waiting import wait_until

SECONDS = 20


@pytest.fixture
def own(notebook, home):
    """A cluster that may be broken; the notebook's magics work on it."""
    cluster = Cluster(n=3, engines="local", cluster_id="own", shutdown_atexit=False)
    client = cluster.start_and_connect_sync(activate=True)
    notebook.names["rc"] = client
    yield client
    cluster.close_sync()


def test_run_sends_waits_and_shows(rc, capsys):
    result = running.run(rc[:], "print('shown'); 3", Options(block=True))
    assert result is not None
    assert result.done()
    assert "shown" in capsys.readouterr().out
    view = rc[:]
    view.block = True
    running.run(view, "1 + 1")
    assert "2" in capsys.readouterr().out


def test_run_does_not_wait_if_the_view_does_not(rc, capsys):
    result = running.run(rc[:], "print('unseen')", targets=[0, 2])
    assert result is not None
    result.get(SECONDS)
    assert [md["engine_id"] for md in result.metadata] == [0, 2]
    assert capsys.readouterr().out == ""


def test_run_raises_what_ranks_raised(rc, capsys):
    with pytest.raises(CompositeError):
        running.run(rc[:], "1 / 0", Options(block=True, stream=False))


def test_cells_are_of_the_history_of_ranks(rc):
    running.run(rc[:], "'in history'", Options(block=True))
    assert rc[0].apply_sync(_last_input) == "'in history'"


def _last_input():
    return get_ipython().user_ns["In"][-1]  # type: ignore[name-defined]  # noqa: F821


def test_a_rank_killed_in_a_cell_is_named_and_the_notebook_goes_on(notebook, own):
    pid = own[1].apply_sync(os.getpid)
    ran = notebook.run(
        f"%%px\nimport os, signal, time\nprint('here', flush=True)\n"
        f"if os.getpid() == {pid}: os.kill({pid}, signal.SIGKILL)\n'survived'"
    )
    assert ran.error is not None
    assert "SIGKILL" in ran.shown
    assert "survived" in ran.out
    assert "/steer/client/" not in ran.shown
    wait_until(lambda: own.ids == [0, 2], SECONDS, "the rank to be missed")
    assert notebook.run("%px 'the others'").error is None
    said = notebook.mistake("%%px -t 0-2\n1")
    assert said.startswith("Rank 1 is not there (")
    assert "SIGKILL" in said


def test_a_view_of_ranks_that_are_gone_says_which(notebook, own):
    own[:].activate()
    os.kill(own[2].apply_sync(os.getpid), signal.SIGKILL)
    wait_until(lambda: own.ids == [0, 1], SECONDS, "the rank to be missed")
    assert "Rank 2 is not there" in notebook.mistake("%px 1")
    assert notebook.run("%%px -t all -b\n'left'").error is None


def test_no_engine_is_left(notebook, own):
    for pid in own[:].apply_sync(os.getpid):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not own.ids, SECONDS, "the ranks to be missed")
    said = notebook.mistake("%px 1")
    assert "No engines are connected" in said
    assert "SIGKILL" in said


def test_a_hub_that_died_between_cells(notebook, own):
    notebook.run("%px 1")
    os.kill(Connection.read(own.cluster.cluster_file).hub_pid, signal.SIGKILL)
    for _ in range(2):  # the second time it is known before anything is sent
        said = notebook.mistake("%px 2")
        assert "is gone or cannot be reached" in said
    assert "is gone" in notebook.mistake("%pxresult")
    assert notebook.run("1 + 1").value == 2


def test_a_hub_that_dies_in_a_cell(notebook, own, tmp_path):
    hub = Connection.read(own.cluster.cluster_file).hub_pid
    mark = tmp_path / "running"

    def kill():
        wait_until(mark.exists, SECONDS, "the cell to run")
        os.kill(hub, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    said = notebook.mistake(
        f"%%px\nimport time, pathlib; pathlib.Path({str(mark)!r}).touch()\n"
        "time.sleep(4)"
    )
    killer.join(SECONDS)
    assert "is gone or cannot be reached" in said


def test_a_cluster_that_was_stopped(notebook, own):
    own.cluster.stop_cluster_sync()
    assert notebook.mistake("%px 1")
    own.close()
    assert notebook.mistake("%px 1")


def test_errors_of_a_dead_rank_are_engine_errors(rc, notebook, own):
    pid = own[0].apply_sync(os.getpid)
    code = f"import os\nif os.getpid() == {pid}: os.kill({pid}, 9)"
    result = running.send(own[:], code)
    assert result is not None
    with pytest.raises(CompositeError) as caught:
        result.get(SECONDS)
    assert [type(e) for e in caught.value.exceptions] == [EngineError]


def test_mistakes_of_a_program_are_errors_of_ours(rc):
    with pytest.raises(UsageError, match="Rank 9 is not there"):
        running.send(rc[:], "1", targets=[0, 9])
