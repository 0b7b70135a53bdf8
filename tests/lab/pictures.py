"""Draw docs/images/: the example notebook as JupyterLab shows it.

    make pictures        # or: .venv-lab/bin/python -m tests.lab.pictures [ALL.png]

Written anew when what is shown has changed; somebody looks at the pictures then. With
a file's name, the whole notebook is drawn into that file instead.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import FloatRect, Locator

from . import driving

IMAGES = Path(__file__).parents[2] / "docs" / "images"
TALL = {"width": 900, "height": 6500}
#: What is in which picture: the first and the last cell with these words.
PICTURES = {
    "notebook.png": ("import waves", "%px pond.comm.coords"),
    "notebook-figures.png": ("vmin=0.09", "corners[pond.comm.rank]"),
}
STYLE = """
    .jp-Toolbar, #jp-main-statusbar, .jp-Notebook-footer { display: none !important }
    .jp-Collapser, .jp-cell-toolbar { visibility: hidden !important }
    .jp-Notebook { padding: 4px !important }
"""


def draw(whole: Path | None) -> None:
    """Run the notebook and keep what is seen of it."""
    with (
        tempfile.TemporaryDirectory(prefix="steer-") as folder,
        driving.lab(Path(folder), {"JUPYTER_RUNTIME_DIR": folder}) as server,
        driving.browser() as browser,
    ):
        page = browser.new_page(viewport=TALL)
        notebook = driving.Notebook(page, server, "waves.ipynb")
        page.keyboard.press("Control+B")  # no list of files
        for number in range(notebook.codes.count()):
            notebook.run(number)
        page.add_style_tag(content=STYLE)
        if whole:
            notebook.panel.screenshot(path=str(whole))
            return
        for name, (first, last) in PICTURES.items():
            area = around(
                notebook.codes.filter(has_text=first).first,
                notebook.codes.filter(has_text=last).last,
            )
            page.screenshot(path=str(IMAGES / name), clip=area)


def around(first: Locator, last: Locator) -> FloatRect:
    """The rectangle from one cell to another."""
    top, bottom = first.bounding_box(), last.bounding_box()
    assert top is not None
    assert bottom is not None
    return {
        "x": top["x"], "y": top["y"], "width": top["width"],
        "height": bottom["y"] + bottom["height"] - top["y"],
    }  # fmt: skip


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if sys.argv[1:] else None)
