"""The public API's types: checked by mypy, never run."""

from typing import Any, assert_type

import steer


def clusters() -> None:
    with steer.Cluster(n=4) as rc:
        assert_type(rc, steer.Client)
        assert_type(rc.ids, list[int])
        assert_type(rc[:], steer.DirectView)


def views(view: steer.DirectView) -> None:
    assert_type(view.execute("a = 1"), steer.AsyncResult)
    assert_type(view.apply_async(len, "abc"), steer.AsyncResult)
    assert_type(view.map_sync(len, ["abc"]), list[Any])


def results(result: steer.AsyncResult) -> None:
    assert_type(result.ready(), bool)
    assert_type(result.msg_ids, list[str])


def parameters() -> None:
    p = steer.params(dt=steer.Float(0.1, 0.0, 1.0), out=steer.Bool(True))
    assert_type(p, steer.Parameters)
    assert_type(p.dt, Any)
    for step in steer.loop(range(3)):
        assert_type(step, int)
