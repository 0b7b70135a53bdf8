"""`steer kernel`: kernels that Jupyter finds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from steer import cli


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """The only place where Jupyter looks."""
    for name in ("DATA", "CONFIG", "RUNTIME"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "env" / "share" / "jupyter"))
    for places in ("ENV", "SYSTEM"):
        monkeypatch.setattr(f"jupyter_core.paths.{places}_JUPYTER_PATH", [])
    return tmp_path


def steer(capsys, *words: str) -> tuple[int, str, str]:
    status = cli.main(words)
    said = capsys.readouterr()
    return status, said.out, said.err


def read(folder: Path) -> dict:
    return json.loads((folder / "kernel.json").read_text())


def test_install_list_remove(data, capsys):
    prefix = data / "env"
    folder = prefix / "share" / "jupyter" / "kernels" / "mine"
    place = ["--prefix", str(prefix)]
    status, out, _ = steer(
        capsys, "kernel", "install", "--n", "4", "--launcher", "local",
        "--name", "mine", *place,
    )  # fmt: skip
    assert status == 0
    assert str(folder) in out
    kernel = read(folder)
    assert kernel["argv"][0] == sys.executable
    assert kernel["argv"][-4:] == [
        "-f", "{connection_file}", "--n=4", "--launcher=local",
    ]  # fmt: skip
    assert kernel["display_name"] == "Steer (4 ranks)"
    assert kernel["interrupt_mode"] == "signal"
    assert kernel["language"] == "python"
    assert kernel["metadata"]["debugger"] is False
    ElementTree.parse(folder / "logo-svg.svg")

    _, out, _ = steer(capsys, "kernel", "list")
    assert "mine " in out
    assert "--n=4 --launcher=local" in out

    status, out, _ = steer(capsys, "kernel", "remove", "mine")
    assert status == 0
    assert not folder.exists()
    status, _, err = steer(capsys, "kernel", "remove", "mine")
    assert status == 1
    assert "There is no kernel 'mine' of Steer's; there is none." in err
    _, out, _ = steer(capsys, "kernel", "list")
    assert "steer kernel install -n 4" in out


def test_kernels_of_others_are_not_ours(data, capsys):
    other = data / "env" / "share" / "jupyter" / "kernels" / "other"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text('{"argv": ["other"], "display_name": "Other"}')
    _, out, _ = steer(capsys, "kernel", "list")
    assert "Other" not in out
    status, _, _ = steer(capsys, "kernel", "remove", "other")
    assert status == 1
    assert other.exists()


@pytest.mark.parametrize(
    ("words", "title", "options"),
    [
        (["-n", "1"], "Steer (1 rank)", ["--n=1"]),
        ([], "Steer (a rank for each core)", []),
        (["--cluster-id", "it"], "Steer (cluster it)", ["--cluster-id=it"]),
        (["--display-name", "Mine", "--profile", "p"], "Mine", ["--profile=p"]),
        (["--option", "hosts=a,b"], "Steer (a rank for each core)",
         ["--option=hosts=a,b"]),
    ],
)  # fmt: skip
def test_what_notebooks_show(data, capsys, words, title, options):
    steer(capsys, "kernel", "install", "--prefix", str(data / "env"), *words)
    kernel = read(data / "env" / "share" / "jupyter" / "kernels" / "steer")
    assert kernel["display_name"] == title
    file = kernel["argv"].index("{connection_file}")
    assert kernel["argv"][file + 1 :] == options


def test_for_this_user(data, capsys):
    steer(capsys, "kernel", "install", "--user")
    assert (data / "data" / "kernels" / "steer" / "kernel.json").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--name", "a/b"], "'a/b' cannot be the name of a kernel"),
        (["--n", "2", "--cluster-id", "x"], "not both"),
        (["--option", "x"], "--option x has no value"),
    ],
)
def test_mistakes_are_sentences(data, capsys, words, sentence):
    place = ["--prefix", str(data / "env")]
    status, _, err = steer(capsys, "kernel", "install", *place, *words)
    assert status == 1
    assert sentence in err
    assert not (data / "env").exists()


@pytest.mark.parametrize("missing", ["ipykernel", "jupyter_client"])
@pytest.mark.parametrize(
    "start",
    ["from steer.cli import main; main(['kernel', 'list'])",
     "import runpy; runpy.run_module('steer.kernel', run_name='__main__')"],
)  # fmt: skip
def test_what_is_missing_is_named_with_its_extra(missing, start):
    hide = f"import sys; sys.modules[{missing!r}] = None; "
    done = subprocess.run(
        [sys.executable, "-c", hide + start], capture_output=True, text=True, timeout=20
    )
    assert f"needs {missing.replace('_', '-')}" in done.stderr
    assert "pip install mpi-steer[kernel]" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_console_needs_a_cluster(data, capsys, private_home):
    status, _, err = steer(capsys, "console", "--cluster-id", "nowhere")
    assert status == 1
    assert "There is no connection file" in err
