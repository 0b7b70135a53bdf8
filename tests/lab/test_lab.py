"""What a person sees in JupyterLab: folded output, figures, interrupts, restarts."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(300)]

SECONDS = 30_000  # milliseconds, as the browser counts
DRAWN = "img => img.complete && img.naturalWidth > 50"


def test_the_example_runs_and_reads_well(open_notebook):
    notebook = open_notebook("waves.ipynb")
    wrong = []
    notebook.page.on("pageerror", lambda error: wrong.append(error))
    outputs = [notebook.run(number) for number in range(notebook.codes.count())]

    read = [output.inner_text() for output in outputs]
    assert "[0-3] (4)" in read[1]
    assert "a pond of 160 160 cells" in read[1]
    assert "differs" in read[2]
    images = [image for output in outputs for image in output.locator("img").all()]
    assert len(images) == 1 + 4 + 1, "of the pond, of each rank, of the energy"
    for image in images:
        assert image.evaluate(DRAWN)
    assert any("KeyError" in text for text in read)
    assert wrong == []


def test_a_notebook_with_the_kernel(open_notebook):
    notebook = open_notebook("waves-kernel.ipynb")
    outputs = [notebook.run(number) for number in range(notebook.codes.count())]

    read = [output.inner_text() for output in outputs]
    assert "hello from one of 4" in read[0]
    assert any("rank 2 says no" in text for text in read)
    (image,) = (image for output in outputs for image in output.locator("img").all())
    assert image.evaluate(DRAWN)


def test_px_is_interrupted_and_the_notebook_restarted(open_notebook, write_notebook):
    notebook = open_notebook(
        write_notebook(
            "px.ipynb",
            "python3",
            "import steer\n"
            "rc = steer.Cluster(n=2).start_and_connect_sync(activate=True)",
            "%%px\nimport time\nprint('asleep')\ntime.sleep(100)",
            "%px 40 + 2",
        )
    )
    notebook.run(0)
    notebook.start(1)
    expect(notebook.output(1)).to_contain_text("asleep", timeout=SECONDS)
    notebook.interrupt()
    expect(notebook.ended(1)).to_contain_text("KeyboardInterrupt", timeout=SECONDS)
    expect(notebook.run(2)).to_contain_text("[0-1] (2)  42")

    notebook.restart()
    notebook.run(0)
    expect(notebook.run(2)).to_contain_text("[0-1] (2)  42")


def test_the_kernel_is_interrupted_and_restarted(open_notebook, write_notebook):
    notebook = open_notebook(
        write_notebook(
            "kernel.ipynb",
            "steer",
            "import time\nkept = 1\nprint('asleep')\ntime.sleep(100)",
            "kept",
        )
    )
    notebook.start(0)
    expect(notebook.output(0)).to_contain_text("asleep", timeout=2 * SECONDS)
    notebook.interrupt()
    expect(notebook.ended(0)).to_contain_text("KeyboardInterrupt", timeout=SECONDS)
    expect(notebook.run(1)).to_contain_text("[0-3] (4)  1")

    notebook.restart()
    expect(notebook.run(1)).to_contain_text("NameError")
