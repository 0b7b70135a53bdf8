"""What README and docs show runs, and they speak of every command."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
EXAMPLES = [
    # One after the other, as one reads them.
    pytest.param("\n".join(found), id=str(page.relative_to(ROOT)))
    for page in PAGES
    if (found := FENCED.findall(page.read_text()))
]


CELLS = re.compile(r"^```ipython3\n(.*?)^```", re.M | re.S)
NOTEBOOKS = [
    pytest.param(found, id=str(page.relative_to(ROOT)))
    for page in PAGES
    if (found := CELLS.findall(page.read_text()))
]
RUN_CELLS = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
for cell in json.load(open(sys.argv[1])):
    shell.run_cell(cell).raise_error()
"""


@pytest.mark.mpi
@pytest.mark.either_mpi
@pytest.mark.parametrize("cells", NOTEBOOKS)
def test_cells_run(cells: list[str], tmp_path: Path):
    """A page's cells, one after the other, as in a notebook."""
    (tmp_path / "cells.json").write_text(json.dumps(cells))
    done = subprocess.run(
        [sys.executable, "-c", RUN_CELLS, tmp_path / "cells.json"],
        capture_output=True, text=True, timeout=50,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.mpi
@pytest.mark.either_mpi
@pytest.mark.parametrize("code", EXAMPLES)
def test_examples_run(code: str, tmp_path: Path):
    script = tmp_path / "example.py"
    script.write_text(code)

    done = subprocess.run(
        [sys.executable, script],
        capture_output=True, text=True, timeout=50, cwd=tmp_path,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr


def test_every_command_is_documented():
    told = "".join(page.read_text() for page in PAGES)
    shown = subprocess.run(
        [sys.executable, "-m", "steer", "--help"],
        capture_output=True, text=True, timeout=50, check=True,
    ).stdout  # fmt: skip
    commands = re.findall(r"^    (\w+)(?:  |$)", shown, re.M)

    assert "start" in commands
    for command in commands:
        assert f"steer {command}" in told, command


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
