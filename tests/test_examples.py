"""The examples do what they show: the simulation is right, the notebooks run through.

Notebooks run on a copy, with Jupyter's and IPython's folders of their own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from steer.kernel import spec
from steer.kernel.plan import Plan

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
MPIEXEC = Path(sys.executable).with_name("mpiexec")

PROPERTIES = """
import json, sys
import numpy as np
import waves

pond = waves.Solver(cells=(37, 29))
pond.drop(0.2, 0.3)
pond.drop(0.6, 0.5, height=-0.03)
mass, energy = pond.mass(), pond.energy()
pond.run(40)
told = [pond.mass() / mass - 1, pond.energy() / energy]
pond.friction = 5.0
pond.run(40)
told.append(pond.energy() / energy)
pond.u[1, 3, 3] += np.nan if pond.comm.rank == pond.comm.size - 1 else 0
try:
    pond.step()
except FloatingPointError as error:
    told.append(str(error))
whole = pond.gather()
assert (whole is None) == (pond.comm.rank > 0)
everywhere = pond.comm.allgather(told[3])
assert len(set(everywhere)) == 1, everywhere
if whole is not None:
    np.save(sys.argv[1], whole)
    print(json.dumps(told))
"""


MPI_ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(EXAMPLES),
}


def mpirun(ranks: int, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MPIEXEC, "-n", str(ranks), sys.executable, *map(str, words)],
        capture_output=True, text=True, timeout=50, stdin=subprocess.DEVNULL,
        env=os.environ | MPI_ENVIRONMENT,
    )  # fmt: skip


# -- the simulation


@pytest.mark.mpi
def test_the_waves_are_the_same_on_any_number_of_ranks(tmp_path: Path):
    ponds = {}
    for ranks in (1, 2, 4, 6):
        file = tmp_path / f"{ranks}.npy"
        done = mpirun(ranks, "-c", PROPERTIES, file)
        assert done.returncode == 0, done.stderr
        drift, energy, slowed, broken = json.loads(done.stdout)
        assert abs(drift) < 1e-13, "no water is lost"
        assert 0.5 < energy < 1, "waves go on, and never grow"
        assert slowed < 0.5 * energy, "friction slows them"
        assert "not a number" in broken
        ponds[ranks] = np.load(file)

    assert ponds[1][1:-1, 1:-1].std() > 1e-4, "there are waves"
    for ranks, pond in ponds.items():
        np.testing.assert_array_equal(ponds[1], pond, err_msg=f"{ranks} ranks")


@pytest.mark.either_mpi
@pytest.mark.mpi
def test_a_wave_goes_as_fast_as_it_should(tmp_path: Path):
    """In shallow water the square root of gravity times depth; a low round heap's."""
    code = """
import numpy as np, waves
pond = waves.Solver(cells=(101, 101))
pond.drop(0.5, 0.5, height=1e-4)
while pond.time < 0.3:
    pond.step()
print(np.argmax(pond.height[50, 50:]) / 101)
assert np.allclose(pond.height, pond.height.T, atol=1e-14, rtol=0)
assert np.allclose(pond.height, pond.height[::-1], atol=1e-14, rtol=0)
"""
    done = mpirun(1, "-c", code)

    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(0.3 * np.sqrt(9.81 * 0.1), abs=0.03)


@pytest.mark.mpi
def test_waves_is_a_program(tmp_path: Path):
    file = tmp_path / "height.npy"
    done = mpirun(
        4, EXAMPLES / "waves.py", "--steps", 30, "--every", 20, "--cells", 30, 40,
        "--save", file,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    steps = [line.split()[1] for line in done.stdout.splitlines()]
    assert steps == ["0", "20", "30"]
    assert np.load(file).shape == (30, 40)


@pytest.mark.either_mpi
@pytest.mark.mpi
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--cells", "1", "9"], "1 x 9 cells cannot be shared by 2 x 1 ranks"),
        (["--friction", "-1"], "friction is -1.0"),
        (["--steps", "few"], "argument --steps: invalid"),
        (["--every", "0"], "argument --every: invalid"),
    ],
)
def test_wrong_arguments_are_named_once(words: list[str], sentence: str):
    done = mpirun(2, EXAMPLES / "waves.py", *words)

    assert done.returncode != 0
    assert done.stderr.count(sentence) == 1
    assert "Traceback" not in done.stderr


# -- the notebooks


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_kept_without_output(path: Path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


class Ran:
    """A notebook that has run."""

    def __init__(self, notebook: Any) -> None:
        self.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]

    def texts(self, words: str) -> str:
        """What the first cell with these words in its code showed, as text."""
        told = []
        for output in self._outputs(words):
            if output.output_type == "stream":
                told.append(output.text)
            elif output.output_type == "error":
                told += [output.ename, *output.traceback]
            else:
                told.append(output.data["text/plain"])
        return "\n".join(told)

    def pictures(self, words: str) -> int:
        """How many PNGs the cell showed."""
        shown = [
            output.data
            for output in self._outputs(words)
            if output.output_type in ("display_data", "execute_result")
        ]
        return sum(
            data.get("text/html", "").count("data:image/png") or "image/png" in data
            for data in shown
        )

    def html(self, words: str) -> str:
        """What the cell showed, as HTML."""
        return "".join(
            o.get("data", {}).get("text/html", "") for o in self._outputs(words)
        )

    def errors(self) -> list[str]:
        """The code of the cells that failed."""
        return [
            cell.source
            for cell in self.cells
            if any(output.output_type == "error" for output in cell.outputs)
        ]

    def _outputs(self, words: str) -> list[Any]:
        return next(cell.outputs for cell in self.cells if words in cell.source)


@pytest.fixture
def run_notebook(
    private_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Ran]]:
    """Run a notebook of the examples as `jupyter execute` does."""
    for name in ("DATA_DIR", "CONFIG_DIR", "PATH"):
        monkeypatch.setenv(f"JUPYTER_{name}", str(tmp_path / name))
    runtime = private_home / "run" / "examples"
    runtime.mkdir(exist_ok=True)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    work = tmp_path / "work"
    shutil.copytree(EXAMPLES, work, ignore=shutil.ignore_patterns("__pycache__"))

    def run(name: str) -> Ran:
        notebook = nbformat.read(work / name, 4)
        client = NotebookClient(
            notebook, timeout=50, resources={"metadata": {"path": str(work)}}
        )
        client.execute()
        return Ran(notebook)

    yield run
    shutil.rmtree(runtime)


@pytest.mark.either_mpi
@pytest.mark.mpi
@pytest.mark.timeout(120)
def test_the_notebook_runs_from_top_to_bottom(run_notebook: Callable[[str], Ran]):
    ran = run_notebook("waves.ipynb")

    assert ran.texts("import waves").startswith("[0-3] (4)  a pond of 160 160 cells")
    assert "[1-3] (3)  still water" in ran.texts("a drop!")
    assert re.search(r"\[0\] +a drop! +← differs", ran.texts("a drop!"))
    assert "[0-3] (4)  step 80" in ran.texts("pond.run(80)")
    assert "highest wave" in ran.texts("pond.run(80)")
    assert "[3]  [1, 1]" in ran.texts("%px pond.comm.coords")
    assert ran.pictures("def draw") == 1
    assert ran.pictures("vmin=0.09") == 4
    at = ran.texts("--targets 0,3")
    assert "[0]" in at
    assert "[3]" in at
    assert "[1]" not in at.replace("[1, 1]", "")
    assert "high water at [0, 0]" in ran.texts("--when")
    assert "KeyError" in ran.texts("corners = {")
    assert "rank [3]" in ran.texts("corners = {")
    assert ran.texts("depth=-1").count("a pond has some water") < 4, "folded"
    assert "step 220" in ran.texts("%pxresult")
    assert ran.pictures("semilogy") == 1
    assert len(ran.errors()) == 2, ran.errors()


@pytest.mark.slow
@pytest.mark.mpi
@pytest.mark.either_mpi
@pytest.mark.timeout(120)
def test_the_notebook_of_the_kernel_runs(
    run_notebook: Callable[[str], Ran], tmp_path: Path
):
    prefix = tmp_path / "prefix"
    spec.install(Plan(n=4), prefix=str(prefix))
    shutil.copytree(prefix / "share" / "jupyter", tmp_path / "PATH")

    ran = run_notebook("waves-kernel.ipynb")

    assert "[0-3] (4)  hello from one of 4" in ran.texts("hello")
    assert "only here, at [1, 1]" in ran.texts("%%rank 3")
    assert ran.pictures("plt.show()") == 1
    assert "rank 2 says no" in ran.texts("assert rank")
    assert ran.texts("%%local") == "[0, 1, 2, 3]"
    assert len(ran.errors()) == 1, ran.errors()


@pytest.mark.either_mpi
@pytest.mark.mpi
@pytest.mark.timeout(120)
def test_the_farm_runs(tmp_path: Path):
    picture = tmp_path / "farm.svg"
    done = subprocess.run(
        [
            sys.executable, EXAMPLES / "farm.py", "--steps", "10", "--tasks", "40",
            "--picture", picture,
        ],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "the calmest of 16 ponds: depth" in done.stdout
    assert re.search(r"pi is about 3\.1[34]", done.stdout)
    assert "a dry pond: MPITaskError" in done.stdout
    assert "58 tasks on ranks 0-3" in done.stdout
    assert "1 failed" in done.stdout
    assert "pond: 32 runs" in picture.read_text()


@pytest.mark.slow
@pytest.mark.mpi
@pytest.mark.either_mpi
@pytest.mark.timeout(120)
def test_the_notebook_of_the_farm_runs(run_notebook: Callable[[str], Ran]):
    ran = run_notebook("farm.ipynb")

    assert ran.texts("pow, 2, 10") == "1024"
    assert "the longest way has 278 steps, from 17673" in ran.texts("collatz(n)")
    assert "19999 of 19999 items" in ran.texts("collatz(n)")
    assert "'left'" in ran.texts("def simulate")
    assert float(ran.texts("halves = ")) < 0.5
    assert "33 tasks on ranks 0-3" in ran.texts("stream = ")
    assert "MPITaskError" in ran.texts("dry = ")
    assert ran.errors() == []


@pytest.mark.either_mpi
@pytest.mark.mpi
def test_a_plate_is_heated_alike_on_any_number_of_ranks(tmp_path: Path):
    plates = []
    for ranks in (1, 3, 4):
        file = tmp_path / f"{ranks}.npy"
        words = ("--steps", 30, "--size", 32, "--save", file)
        done = mpirun(ranks, EXAMPLES / "heating.py", *words)
        assert done.returncode == 0, done.stderr
        assert "30 steps, heat " in done.stdout
        plates.append(np.load(file))

    assert plates[0].max() > 0.1
    for plate in plates[1:]:
        np.testing.assert_array_equal(plates[0], plate)


@pytest.mark.mpi
@pytest.mark.either_mpi
@pytest.mark.timeout(120)
def test_the_notebook_at_the_wheel_runs(run_notebook: Callable[[str], Ran]):
    ran = run_notebook("heating.ipynb")

    assert "stopped at point 100 (heating.py:" in ran.texts("%pxstop")
    assert "4/4 held" in ran.texts("%pxstop")
    assert "[0-3] (4)  " in ran.texts("allreduce")
    assert ran.pictures("imshow") == 1
    assert "stopped at point 150 " in ran.texts("%pxstep 50")
    assert "at point" in ran.texts("%pxset burner")
    assert "rate is from 0.0 to 0.25, not 0.3" in ran.texts("%pxset rate")
    assert "<svg" in ran.html("watch = ")
    assert "Sample(point=" in ran.texts("watch.wait")
    assert "stopped at point" in ran.texts("%pxuntil")
    assert "change, at every point from" in ran.texts("%pxplans")
    assert "[0-3] (4)  True" in ran.texts("len(trace)")
    assert "[0-3] (4)  True" in ran.texts("float(u.max()) > 0")
    assert "step 50" in ran.texts("%pxjournal")
    assert ran.errors() == ["%pxset rate=0.3"]
