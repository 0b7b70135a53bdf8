"""Jupyter's own tests of a kernel's messages, and notebooks run without a person."""

from __future__ import annotations

import jupyter_kernel_test
import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from steer.kernel import spec
from steer.kernel.plan import Plan

pytestmark = [pytest.mark.mpi, pytest.mark.either_mpi]


@pytest.fixture(scope="module", autouse=True)
def installed(jupyter, private_home):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(jupyter)
        spec.install(Plan(n=2), name="conforms", prefix=str(jupyter))
        yield


class TestMessages(jupyter_kernel_test.KernelTests):
    """What jupyter_kernel_test asks of every kernel."""

    kernel_name = "conforms"
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples = (
        {"text": "zi", "matches": {"zip"}},
        {"text": "%%loc", "matches": {"%%local"}},
    )
    complete_code_samples = (
        "1",
        "print('hello, world')",
        "def f(x):\n  return x*2\n\n",
    )
    incomplete_code_samples = ("print('''hello", "def f(x):\n  x*2")
    invalid_code_samples = ("import = 7q",)
    code_page_something = "zip?"
    code_generate_error = "raise Exception('hello')"
    code_execute_result = (
        {"code": "1+2+3", "result": "[0-1] (2)  6"},
        {"code": "%%rank 1\n[n*n for n in range(1, 4)]", "result": "[1, 4, 9]"},
        {"code": "%%local\n1+1", "result": "2"},
    )
    code_display_data = (
        {
            "code": "from IPython.display import HTML, display; "
            "display(HTML('<b>test</b>'))",
            "mime": "text/html",
        },
    )
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "zip"
    code_clear_output = (
        "%%local\nfrom IPython.display import clear_output; clear_output()"
    )


def notebook(*sources: str):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    return nbformat.v4.new_notebook(cells=cells)


def run(nb):
    NotebookClient(nb, timeout=30, kernel_name="conforms").execute()


def outputs(cell):
    return [
        (output.output_type, output.get("text") or output.data["text/plain"])
        for output in cell.outputs
    ]


def test_nbclient_runs_a_notebook():
    nb = notebook(
        "from mpi4py import MPI\ncomm = MPI.COMM_WORLD\nprint('size', comm.size)",
        "comm.allreduce(comm.rank)",
        "%%rank 1\ncomm.rank",
        "%%local\nview.pull('comm.rank', block=True)",
        "%%time\nx = comm.bcast('all', root=0)\nprint(x)",
    )
    run(nb)
    size, reduced, one, here, timed = (outputs(cell) for cell in nb.cells)
    assert [text.rstrip() for _, text in size] == ["[0-1] (2)  size 2"]
    assert reduced == [("execute_result", "[0-1] (2)  1")]
    assert one == [("execute_result", "1")]
    assert here == [("execute_result", "[0, 1]")]
    assert "[0-1] (2)  all" in timed[0][1]
    assert [cell.execution_count for cell in nb.cells] == [1, 2, 3, 4, 5]


def test_nbclient_stops_at_an_error_and_keeps_it():
    nb = notebook("x = 1\nx / 0", "print('not run')")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        run(nb)
    (error,) = (o for o in nb.cells[0].outputs if o.output_type == "error")
    assert error.ename == "ZeroDivisionError"
    assert "x / 0" in "\n".join(error.traceback)
    assert nb.cells[1].outputs == []
