"""Magics come, for one view and for several, and go."""

from __future__ import annotations

import pytest

from steer import AsyncResult, CompositeError, UsageError
from steer.client.cluster import Cluster

NAMES = ("px", "pxresult", "result", "pxconfig", "autopx")


def registered(notebook):
    magics = notebook.shell.magics_manager.magics
    return {
        n for n in (*magics["line"], *magics["cell"]) if n.startswith(("px", "aut"))
    }


def test_load_and_unload(bare):
    transformers = list(bare.shell.input_transformer_manager.line_transforms)
    before = registered(bare)
    bare.run("%load_ext steer")
    bare.run("%load_ext steer")
    assert {*NAMES} - {"result"} <= registered(bare)
    bare.run("%unload_ext steer")
    assert registered(bare) == before
    assert bare.shell.input_transformer_manager.line_transforms == transformers
    assert "px" in str(bare.run("%px 1").error)


def test_without_a_view_the_magics_say_what_to_do(bare):
    bare.run("%load_ext steer")
    for cell in ("%px 1", "%%px\n1", "%pxconfig", "%%px -t 0\n1"):
        said = bare.mistake(cell)
        assert "No view is active" in said
        assert "rc.activate()" in said


def test_activating_loads_the_extension(bare, rc):
    view = rc.activate()
    assert view.block
    bare.run("%px x = 1")
    assert rc[:]["x"] == [1] * 4


def test_a_suffix_for_each_view(bare, rc):
    rc[::2].activate("_even")
    rc.activate([1, 3], suffix="_odd")
    bare.run("%px_even e = 1").value.get(20)
    bare.run("%%px_odd -o odd\no = 1\nprint('odd one')")
    assert rc[:].pull("sorted({'e', 'o'} & {*globals()})", block=True) == [
        ["e"], ["o"], ["e"], ["o"],
    ]  # fmt: skip
    assert isinstance(bare.names["odd"], AsyncResult)
    assert "odd one" in bare.run("%pxresult_odd").out
    assert "odd one" not in bare.run("%pxresult_even").out
    assert "--targets 1,3" in bare.run("%pxconfig_odd").out
    assert bare.run("%autopx_odd").out == "%autopx enabled\n"
    bare.run("auto = 1")
    assert bare.run("%autopx_odd").out == "%autopx disabled\n"
    assert rc[1::2]["auto"] == [1, 1]
    assert "result_odd" not in bare.shell.magics_manager.magics["line"]
    assert "No view is active for %px:" in bare.mistake("%px 1")
    rc.clear(block=True)


def test_a_view_takes_the_place_of_the_one_before(bare, rc):
    rc.activate(0)
    rc.activate(1)
    bare.run("%px only = 1")
    assert rc[1]["only"] == 1
    assert not rc[0].pull("'only' in globals()", block=True)
    assert bare.run("%pxresult").error is None


def test_a_suffix_must_end_a_name(bare, rc):
    with pytest.raises(UsageError, match="'_west' does"):
        rc[:].activate(" west")


def test_composite_errors_show_folded_wherever_they_come_from(notebook):
    ran = notebook.run("rc[:].apply_sync(lambda: 1 / 0)")
    assert isinstance(ran.error, CompositeError)
    assert ran.shown.count("ZeroDivisionError") == 1
    assert "/steer/" not in ran.shown


def test_a_cluster_activates_what_it_starts(bare, home):
    cluster = Cluster(n=1, engines="local", cluster_id="own", shutdown_atexit=False)
    try:
        rc = cluster.start_and_connect_sync(activate=True)
        bare.run("%px mine = 'yes'")
        assert rc[:]["mine"] == ["yes"]
    finally:
        cluster.close_sync()
