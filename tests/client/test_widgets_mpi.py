"""Widgets in a real kernel, of a real run: moved by a front end, and by others."""

from __future__ import annotations

import pytest

from steer.testing.waiting import wait_until

from ..steering.runs import running

manager = pytest.importorskip("jupyter_client.manager")
pytest.importorskip("ipywidgets")

pytestmark = [pytest.mark.mpi, pytest.mark.either_mpi]

PROGRAM = """
    import time
    from mpi4py import MPI
    import steer

    p = steer.params(n=steer.Int(3, 0, 100))
    for step in steer.loop(range(10**9)):
        time.sleep(0.002)
        MPI.COMM_WORLD.barrier()
"""
VIEW = "application/vnd.jupyter.widget-view+json"


class Notebook:
    """A kernel, and what a front end does with it."""

    def __init__(self):
        self.manager, self.client = manager.start_new_kernel(
            kernel_name="python3", startup_timeout=30
        )

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def cell(self, code):
        """Run a cell; its displays, and what it printed."""
        displays, printed = [], ""

        def hear(message):
            nonlocal printed
            content = message["content"]
            if message["msg_type"] in ("display_data", "execute_result"):
                displays.append(content["data"])
            elif message["msg_type"] == "stream":
                printed += content["text"]

        reply = self.client.execute_interactive(code, timeout=30, output_hook=hear)
        assert reply["content"]["status"] == "ok", reply["content"]
        return displays, printed.strip()

    def move(self, comm, value):
        """What a front end sends when somebody moves a slider."""
        content = {"comm_id": comm, "data": {
            "method": "update", "state": {"value": value}, "buffer_paths": [],
        }}  # fmt: skip
        self.client.shell_channel.send(self.client.session.msg("comm_msg", content))


@pytest.fixture
def run(tmp_path):
    with running(tmp_path, PROGRAM, n=2) as run:
        yield run


@pytest.fixture
def notebook():
    notebook = Notebook()
    yield notebook
    notebook.close()


def test_a_slider_in_a_notebook(run, notebook):
    _, printed = notebook.cell(f"import steer; run = steer.connect({run.name!r})")
    displays, printed = notebook.cell("run.params")
    assert any(VIEW in data for data in displays), (displays, printed)
    notebook.cell("box = run.params.widgets(); slider = box.children[0]")
    _, comm = notebook.cell("print(slider.comm.comm_id)")
    notebook.move(comm, 7)
    wait_until(lambda: run.params.n == 7, 20, "the parameter to be changed")
    _, said = notebook.cell("print(box.children[-1].value)")
    assert "n=7: at point" in said
    run.set(n=9).wait(20)
    wait_until(lambda: notebook.cell("print(slider.value)")[1] == "9", 20, "the slider")
