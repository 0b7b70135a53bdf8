"""JupyterLab and a browser for all tests of this folder; skipped where there are none.

`make test-browser` has both. STEER_SCREENSHOTS names a folder where the pictures stay.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="`make test-browser` has playwright")

from . import driving


@pytest.fixture(scope="module")
def server(
    private_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[driving.Lab]:
    if driving.chromium() is None:
        pytest.skip("there is no chromium; .ci/chromium installs it")
    folder = tmp_path_factory.mktemp("lab")
    runtime = {"JUPYTER_RUNTIME_DIR": str(private_home / "run")}  # paths of sockets
    with driving.lab(folder, runtime) as server:
        yield server


@pytest.fixture(scope="module")
def chromium(server: driving.Lab) -> Iterator[Any]:
    with driving.browser() as browser:
        yield browser


@pytest.fixture
def open_notebook(
    request: pytest.FixtureRequest,
    server: driving.Lab,
    chromium: Any,
    tmp_path: Path,
) -> Iterator[Callable[[str], driving.Notebook]]:
    """Open a notebook in a page of its own; a picture of each is kept at the end."""
    opened: list[driving.Notebook] = []

    def open_one(name: str) -> driving.Notebook:
        page = chromium.new_page(viewport={"width": 1100, "height": 1400})
        opened.append(driving.Notebook(page, server, name))
        return opened[-1]

    yield open_one
    folder = Path(os.environ.get("STEER_SCREENSHOTS", tmp_path)).resolve()
    for number, notebook in enumerate(opened):
        notebook.picture(folder / f"{request.node.name}-{number}.png")
        notebook.close()


@pytest.fixture
def write_notebook(server: driving.Lab) -> Callable[..., str]:
    """Write a notebook with these cells beside the examples; its name."""
    import nbformat

    def write(name: str, kernel: str, *cells: str) -> str:
        new = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(code) for code in cells],
            metadata={"kernelspec": {"name": kernel, "display_name": kernel}},
        )
        nbformat.write(new, server.notebooks / name)
        return name

    return write
