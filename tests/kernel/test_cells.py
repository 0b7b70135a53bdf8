"""Where a cell runs."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steer.errors import UsageError
from steer.kernel.cells import needs_ranks, read


@pytest.mark.parametrize(
    "source",
    [
        "x = 1",
        "",
        "\n\n",
        "%%time\nx",
        "%%bash\nls",
        "%timeit f()",
        "!ls",
        "x?",
        "# %%local\nx",
        "x\n%%local\ny",
        "%%localtime\nx",
        "%%ranks 3\nx",
        "exit_code = 1",
        "exit(1)",
        "x\n%px y",
    ],
)
def test_what_says_nothing_else_runs_on_all_ranks_as_it_is(source):
    cell = read(source)
    assert (cell.code, cell.here, cell.targets) == (source, False, "")


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("%%local\nx = 1\ny", "x = 1\ny"),
        ("\n  \n%%local  \nx", "x"),
        ("%%local", ""),
    ],
)
def test_local(source, code):
    cell = read(source)
    assert cell.here
    assert cell.code == code


@pytest.mark.parametrize(
    "source",
    [
        "%px x",
        "%%px -t 0\nx",
        "%pxresult",
        "%result -e",
        "%pxconfig --verbose",
        "%autopx",
        "# a comment\n\n  %px x",
        "%px_a x",
        "%%px0\nx",
        "exit",
        " quit() ",
    ],
)
def test_the_magics_of_the_ranks_run_here_as_they_are(source):
    cell = read(source)
    assert cell.here
    assert cell.code == source


def test_some_ranks():
    cell = read("\n%%rank 0-2, 5 \nx\n%%local")
    assert not cell.here
    assert cell.targets == "0-2, 5"
    assert cell.code == "x\n%%local"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("%%local x\ny", "'x' is there"),
        ("%%rank\nx", "needs ranks"),
        ("%%rank  ", "needs ranks"),
    ],
)
def test_what_is_wrong_is_said(source, words):
    with pytest.raises(UsageError, match=words):
        read(source)


@given(st.text(alphabet="\n %localrnk0px#x"))
def test_no_code_is_lost(source):
    try:
        cell = read(source)
    except UsageError:
        return
    assert source[cell.removed :] == cell.code
    removed = source[: cell.removed].strip()
    assert removed == "" or removed.startswith(("%%local", "%%rank"))


@pytest.mark.parametrize(
    "python",
    [
        "view.apply_sync(f)",
        "def f():\n    return rc.ids",
        "print(len(cluster.engines))",
        "get_ipython().run_line_magic('px', 'x = 1')",
        "get_ipython().run_cell_magic('px', '', 'x = 1')",
        "get_ipython().run_line_magic('pxresult', '')",
        "get_ipython().run_line_magic('autopx', '')",
    ],
)
def test_code_that_needs_the_ranks(python):
    assert needs_ranks(ast.parse(python))


@pytest.mark.parametrize(
    "python",
    [
        "1 + 1",
        "'view'  # rc",
        "a.view()",
        "view = a[:3]\nview.sum()",
        "for rc in codes: print(rc)",
        "f(view=3)",
        "get_ipython().run_line_magic('pwd', '')",
        "get_ipython().run_line_magic(px, '')",
        "f('px')",
    ],
)
def test_code_that_does_not(python):
    assert not needs_ranks(ast.parse(python))


def test_what_the_user_named_so_is_not_the_ranks():
    assert not needs_ranks(ast.parse("view + 1"), {"view": 3})
    assert needs_ranks(ast.parse("view + rc"), {"view": 3})
