"""Connecting to a run that is not there, or not yet."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest

from steer.client.cluster import Cluster
from steer.client.run import connect
from steer.config import ClusterFiles
from steer.errors import UsageError
from steer.launch.script import Script
from steer.testing.waiting import wait_until

LOOP = "import steer, time\nfor i in steer.loop(range(10**9)): time.sleep(0.001)\n"


def test_a_run_that_is_not_there_is_a_sentence(home: Path):
    with pytest.raises(UsageError, match=r"There is no run 'sim'; there is none\. "):
        connect("sim")
    with pytest.raises(UsageError, match="There is no run 'sim'"):
        connect("sim", wait=0.01)


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_a_run_may_come_later(home: Path, tmp_path: Path):
    path = tmp_path / "sim.py"
    path.write_text(LOOP)
    cluster = Cluster(n=2, cluster_id="sim", shutdown_atexit=False)
    program = Script(run="sim", argv=(str(path),)).to_arguments()
    cluster._request = dataclasses.replace(cluster._request, program=program)
    folder = ClusterFiles(cluster_id="sim").folder

    def start() -> None:
        wait_until(folder.exists, 20, "somebody to wait")
        cluster.start_cluster_sync()

    starter = threading.Thread(target=start)
    starter.start()
    try:
        with connect("sim", wait=30) as run:
            assert "stopped at" in run.stop().text
    finally:
        starter.join()
        cluster.stop_cluster_sync()
