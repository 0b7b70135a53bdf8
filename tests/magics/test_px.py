"""Every magic and every option of them, by its effect in a notebook."""

from __future__ import annotations

import sys
import time

import pytest

from steer import AlreadyDisplayedError, AsyncResult, CompositeError, RemoteError
from steer.magics.px import PxMagics

SECONDS = 20


def ids(rc, name):
    """Where a name exists."""
    return [i for i in rc.ids if rc[i].pull(f"{name!r} in globals()", block=True)]


# -- %px and %%px


def test_a_line_runs_on_all_ranks(notebook, rc):
    assert notebook.run("%px a = 5").shown == ""
    assert rc[:]["a"] == [5] * 4


def test_a_cell_runs_on_all_ranks_and_is_shown(notebook, rc):
    ran = notebook.run("%%px\nb = 6\nprint('printed', b)\nb + 1")
    assert rc[:]["b"] == [6] * 4
    assert "printed 6" in ran.out
    assert "7" in ran.out
    assert ran.value is None
    assert ran.error is None


def test_the_line_is_code_and_never_expanded(notebook, rc):
    notebook.names["here"] = "local"
    notebook.run("%px here = 'remote'; text = f'{here}'; d = {'k': 1}; c = '$here'")
    assert (
        rc[:].pull(["text", "d", "c"], block=True)
        == [["remote", {"k": 1}, "$here"]] * 4
    )
    notebook.run("%px t = '-t 0 --help'")
    assert rc[:]["t"] == ["-t 0 --help"] * 4


def test_the_cell_is_not_expanded_but_its_option_line_is(notebook, rc):
    notebook.names["name"] = "chosen"
    notebook.run("%%px -a -o {name}\nc = f'{1 + 1}' + '{name}'")
    assert isinstance(notebook.names["chosen"], AsyncResult)
    notebook.names["chosen"].get(SECONDS)
    assert rc[:]["c"] == ["2{name}"] * 4


def test_magics_in_a_cell_are_the_ranks(notebook, rc):
    notebook.run("%%px\nfiles = %pwd")
    assert [type(x) for x in rc[:]["files"]] == [str] * 4


def test_transformers_that_users_give_the_ranks_are_obeyed(notebook, rc):
    notebook.run(
        "%%px -t 0\ndef louder(lines): return [l.replace('low', 'HIGH') for l in lines]"
        "\nget_ipython().input_transformers_post.append(louder)"
    )
    try:
        notebook.run("%%px -t 0\nvoice = 'low'")
        assert rc[0]["voice"] == "HIGH"
    finally:
        notebook.run("%px get_ipython().input_transformers_post.clear()")
    notebook.run("%%px -t 0\nvoice = 'low'")
    assert rc[0]["voice"] == "low"


# -- targets


@pytest.mark.parametrize(
    ("text", "where"),
    [("0,2-3", [0, 2, 3]), ("::2", [0, 2]), ("-1", [3]), ("[1,3]", [1, 3]),
     ("all", [0, 1, 2, 3]), ("2", [2])],
)  # fmt: skip
def test_targets(notebook, rc, text, where):
    notebook.run(f"%%px --targets {text}\nhit = 1")
    assert ids(rc, "hit") == where


def test_one_target_is_shown_without_a_heading(notebook):
    assert notebook.run("%%px -t 1\nprint('alone')").out == "alone\n"


def test_named_groups(notebook, rc):
    notebook.run("%pxconfig --group west=0-1 --group last=-1")
    assert rc.groups == {"west": [0, 1], "last": [3]}
    notebook.run("%%px -t west,last\ngrouped = 1")
    assert ids(rc, "grouped") == [0, 1, 3]
    notebook.run("%pxconfig --group west=")
    assert "There is no group 'west'; there are last" in notebook.mistake(
        "%%px -t west\n1"
    )
    rc.groups["made"] = range(2)
    notebook.run("%%px -t made\nmine = 1")
    assert ids(rc, "mine") == [0, 1]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%px -t 9\n1", "Rank 9 is not there; there are 0-3."),
        ("%%px -t 2-5\n1", "Rank 4 is not there"),
        ("%%px -t rc.ids\n1", "names no ranks; targets are"),
        ("%%px --wrong\n1", "unrecognized arguments: --wrong"),
        ("%%px -a --timeout 3\n1", "add --block"),
        ("%%px --when 'x =='\n1", "--when 'x =='"),
        ("%pxconfig x = 1", "unrecognized arguments"),
        ("%pxconfig --group 0-3", "write it as --group west=0-3"),
        ("%pxconfig -t 17", "Rank 17 is not there"),
        ("%pxresult", "no `%px` has run on this view"),
        ("%autopx on", "%autopx takes nothing"),
    ],
)
def test_mistakes_are_one_sentence_and_nothing_runs(notebook, rc, cell, said):
    assert said in notebook.mistake(cell)
    assert notebook.run("1 + 1").value == 2


# -- block, out, result


def test_noblock_returns_the_result(notebook):
    ran = notebook.run("%%px --noblock\n'later'")
    assert isinstance(ran.value, AsyncResult)
    assert [reply.data["text/plain"] for reply in ran.value] == ["'later'"] * 4
    assert "later" in notebook.run("%pxresult").out


def test_a_view_that_does_not_block_returns_results(notebook, rc):
    rc[:].activate()  # `rc.activate()` makes one that blocks
    assert isinstance(notebook.run("%px 1").value, AsyncResult)
    assert notebook.run("%%px --block\n1").value is None


def test_out_stores_the_result_of_a_blocking_cell_too(notebook):
    notebook.run("%%px -t 0-1 --out kept\n6 * 7")
    assert [reply.data["text/plain"] for reply in notebook.names["kept"]] == ["42"] * 2


def test_out_is_there_when_the_cell_failed(notebook):
    notebook.fails("%%px --out kept\n1 / 0", AlreadyDisplayedError)
    assert isinstance(notebook.names["kept"].exception(), CompositeError)


def test_pxresult_shows_the_last_result_again(notebook):
    notebook.run("%px print('said'); 11")
    for magic in ("%pxresult", "%result", "%pxresult -e"):
        ran = notebook.run(magic)
        assert "said" in ran.out
        assert "11" in ran.out
    notebook.run("%pxresult --out again")
    assert isinstance(notebook.names["again"], AsyncResult)


def test_pxresult_raises_what_the_cell_raised(notebook):
    notebook.run("%%px -a\n1 / 0")
    ran = notebook.fails("%pxresult", RemoteError)
    assert "ZeroDivisionError" in ran.shown


# -- how it is shown


def test_streaming_shows_output_while_the_cell_runs(notebook, rc, tmp_path):
    """The cell ends only after its output was seen here."""
    go = tmp_path / "go"
    code = (
        "%%px --stream\nimport os, time\nprint('early', flush=True)\n"
        f"end = time.time() + 15\nwhile not os.path.exists({str(go)!r}) "
        "and time.time() < end: time.sleep(0.005)\nseen = time.time() < end"
    )
    write = _when_written("early", go.touch)
    with write:
        notebook.run(code)
    assert rc[:]["seen"] == [True] * 4


def test_without_streaming_all_is_shown_at_the_end(notebook, rc, tmp_path):
    go = tmp_path / "go"
    code = (
        "%%px --no-stream\nimport os, time\nprint('early', flush=True)\n"
        f"end = time.time() + 0.3\nwhile not os.path.exists({str(go)!r}) "
        "and time.time() < end: time.sleep(0.005)\nseen = time.time() < end"
    )
    with _when_written("early", go.touch):
        ran = notebook.run(code)
    assert rc[:]["seen"] == [False] * 4
    assert "early" in ran.out


class _when_written:
    """Do something as soon as a text is written to stdout."""

    def __init__(self, text, do):
        self._text, self._do = text, do

    def __enter__(self):
        self._file, self._write = sys.stdout, sys.stdout.write
        sys.stdout.write = self._look

    def _look(self, text):
        if self._text in text:
            self._do()
        return self._write(text)

    def __exit__(self, *_):
        del self._file.write


def test_groupings_are_ipyparallels(notebook):
    code = "\nprint('said')\n2"
    engine = notebook.run("%%px --group-outputs engine" + code).out
    assert notebook.run("%%px -e" + code).out.count("[stdout:") == 4
    order = notebook.run("%%px -r" + code).out
    kind = notebook.run("%%px --group-outputs type" + code).out
    heads = [line.partition(":")[0] for line in engine.splitlines() if ":" in line]
    assert heads == ["[stdout", "Out[0", "[stdout", "Out[1", "[stdout", "Out[2",
                     "[stdout", "Out[3"]  # fmt: skip
    for text in (order, kind):
        heads = [line[:4] for line in text.splitlines() if ":" in line]
        assert heads == ["[std"] * 4 + ["Out["] * 4


def test_folding_shows_once_what_all_say(notebook):
    for stream in ("--stream", "--no-stream"):
        folded = notebook.run(f"%%px {stream}\nprint('the same')")
        assert folded.out.count("the same") == 1
        each = notebook.run(f"%%px {stream} --no-fold\nprint('the same')")
        assert each.out.count("the same") == 4
    assert notebook.run("%pxresult").out.count("the same") == 1
    assert notebook.run("%pxresult --no-fold").out.count("the same") == 4


def test_verbose_says_where_it_runs(notebook):
    assert notebook.run("%%px --verbose\n0;").out.startswith(
        "Parallel execution on engine(s): all\n"
    )
    ran = notebook.run("%%px -a --verbose -t 0-1,3\n0;")
    assert ran.out.startswith("Async parallel execution on engine(s): 0-1,3\n")
    assert "execution" not in notebook.run("%%px --no-verbose\n0;").out


def test_a_bar_is_shown_after_a_while(notebook, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("TERM", raising=False)
    code = "\nimport time; time.sleep(0.3)"
    for stream in ("--stream", "--no-stream"):
        ran = notebook.run(f"%%px {stream} --progress-after 0" + code)
        assert "of 4" in ran.err
    assert "of 4" not in notebook.run("%%px --progress-after 9" + code).shown
    assert "of 4" not in notebook.run("%%px --progress-after -1" + code).shown


# -- --local


def test_local_runs_here_too(notebook, rc):
    ran = notebook.run("%%px --local\nboth = 3\nprint('twice')")
    assert notebook.names["both"] == 3
    assert rc[:]["both"] == [3] * 4
    assert "twice" in ran.out


def test_local_sends_first(notebook, rc, tmp_path):
    """Here the cell waits for what the ranks do: they have it already."""
    notebook.names["ranks"] = 4
    rc[:].push({"ranks": 0}, block=True)
    ran = notebook.run(
        "%%px --local\nfrom steer.testing.waiting import wait_until\n"
        f"from pathlib import Path\nimport uuid\nfolder = Path({str(tmp_path)!r})\n"
        "if ranks: wait_until(lambda: len(list(folder.iterdir())) == 4, 10, 'ranks')\n"
        "else: (folder / uuid.uuid4().hex).touch()"
    )
    assert ran.error is None


def test_an_error_here_fails_the_cell_and_the_ranks_are_shown(notebook):
    notebook.names["x"] = 0
    notebook.run("%px x = 5")
    ran = notebook.run("%%px --local\nprint('ran', 10 // x)")
    assert isinstance(ran.error, AlreadyDisplayedError)
    assert "ZeroDivisionError" in ran.shown
    assert "ran 2" in ran.out


# -- --when


def test_when_chooses_ranks_by_their_data(notebook, rc):
    rc[:].scatter("n", [0, 1, 2, 3], flatten=True, block=True)
    notebook.run("%%px --when 'n % 2'\nodd = n")
    assert ids(rc, "odd") == [1, 3]
    notebook.run("%%px -t 0-2 --when 'n > 0'\nsome = n")
    assert ids(rc, "some") == [1, 2]
    ran = notebook.run("%%px --when 'n > 7' -o none\nnobody = 1")
    assert "'n > 7' is true on no rank" in ran.out
    assert ids(rc, "nobody") == []
    assert notebook.names["none"] is None


def test_when_that_fails_on_a_rank_says_so_and_runs_nowhere(notebook, rc):
    ran = notebook.fails("%%px --when 'missing > 1'\nnowhere = 1", CompositeError)
    assert "NameError" in ran.shown
    assert ids(rc, "nowhere") == []


# -- --timeout


def test_timeout_interrupts_ranks_and_says_which(notebook, rc):
    rc[:].scatter("n", [0, 0, 60, 60], flatten=True, block=True)
    began = time.monotonic()
    ran = notebook.fails("%%px --timeout 0.2\nimport time; time.sleep(n)", TimeoutError)
    assert time.monotonic() - began < 10
    assert "ranks 2-3 were interrupted by SIGINT" in str(ran.error)
    assert rc[:].apply_sync(abs, -1) == [1] * 4


def test_timeout_is_not_reached_by_what_is_quick(notebook):
    assert notebook.run("%%px --timeout 30\n1").error is None


# -- errors


def test_errors_that_were_shown_are_counted(notebook):
    ran = notebook.fails("%px 1 / 0", AlreadyDisplayedError)
    assert str(ran.error) == "4 errors"
    assert "ZeroDivisionError" in ran.shown
    assert isinstance(ran.error.original_error, CompositeError)


def test_errors_are_raised_and_shown_folded_when_not_streamed(notebook):
    ran = notebook.fails("%%px --no-stream\nprint('before')\n1 / 0", CompositeError)
    assert len(ran.error.exceptions) == 4
    assert ran.shown.count("ZeroDivisionError") == 1
    assert "before" in ran.out


def test_the_error_of_one_rank_is_of_its_own_class(notebook):
    notebook.fails("%%px -t 2 --no-stream\n1 / 0", ZeroDivisionError)
    ran = notebook.fails("%%px -t 2\n1 / 0", AlreadyDisplayedError)
    assert str(ran.error) == "1 errors"


def test_on_error_continue_lets_waiting_cells_run(notebook, rc):
    for policy, then in (("stop", []), ("continue", [0, 1, 2, 3])):
        rc.clear(block=True)
        first = notebook.run(
            f"%%px -a --on-error {policy}\nimport time; time.sleep(0.2); 1 / 0"
        ).value
        second = notebook.run(f"%%px -a --on-error {policy}\nafter = 1").value
        first.wait(SECONDS)
        second.wait(SECONDS)
        assert ids(rc, "after") == then


# -- text


def test_text_that_is_no_text_is_shown(notebook):
    ran = notebook.run(
        "%%px\nimport os, sys\nsys.stdout.flush()\n"
        "os.write(1, b'bytes \\xff\\xfe end\\n')\nprint('surrogate', '\\udc80')"
    )
    assert ran.error is None
    assert "bytes" in ran.out
    assert "end" in ran.out
    assert "surrogate" in ran.out


# -- %pxconfig


def test_config_changes_what_later_cells_do(notebook, rc):
    notebook.run("%pxconfig --targets 1-2 --noblock --verbose --no-stream")
    ran = notebook.run("%px here = 1")
    assert isinstance(ran.value, AsyncResult)
    assert "Async parallel execution on engine(s): 1-2" in ran.out
    ran.value.get(SECONDS)
    assert ids(rc, "here") == [1, 2]
    notebook.run("%pxconfig -t all --block")
    assert isinstance(notebook.run("%px 1 / 0").error, CompositeError)
    notebook.run("%pxconfig --stream --no-verbose")
    assert isinstance(notebook.run("%px 1 / 0").error, AlreadyDisplayedError)
    notebook.run("%pxconfig --no-fold")
    assert notebook.run("%px print('one')").out.count("one") == 4


def test_config_alone_shows_the_settings(notebook):
    notebook.run("%pxconfig -t 0-2 --group west=0 --signal-on-interrupt SIGUSR1")
    shown = notebook.run("%pxconfig").out.splitlines()
    assert shown[:2] == ["--targets 0-2", "--block"]
    assert "--signal-on-interrupt SIGUSR1" in shown
    assert "--progress-after 2" in shown
    assert shown[-1] == "--group west=0"


# -- help


@pytest.mark.parametrize(
    "cell", ["%%px --help", "%%px -h\n", "%%px --help\n1", "%px --help",
             "%pxconfig --help", "%pxresult -h"],
)  # fmt: skip
def test_help(notebook, cell):
    ran = notebook.run(cell)
    assert ran.out.startswith("usage: %")
    assert ran.error is None


def test_question_mark_shows_what_it_is(notebook):
    for name, magics in (("px", PxMagics.px), ("pxresult", PxMagics.pxresult)):
        found = notebook.shell.object_inspect(f"%{name}")
        assert found["found"]
        assert found["docstring"].split("\n")[0] == magics.__doc__.split("\n")[0]
    assert "--timeout SECONDS" in notebook.shell.object_inspect("%%px")["docstring"]
