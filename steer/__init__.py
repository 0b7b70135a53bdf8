"""Steer: hold the wheel of a running MPI program.

    import steer

    with steer.Cluster(n=4) as rc:
        view = rc[:]
        view.execute("from mpi4py import MPI; r = MPI.COMM_WORLD.rank")
        view["r"]  # [0, 1, 2, 3]

This is the public API and nothing else. Names are loaded when they are first used:
engines import this package too, and need little of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION

    from steer import errors as error
    from steer.bridges.nested import get_executor
    from steer.client.balanced import LoadBalancedView, register_joblib_backend
    from steer.client.client import Client
    from steer.client.cluster import Cluster
    from steer.client.dependency import Dependency
    from steer.client.executor import Executor
    from steer.client.manager import ClusterManager
    from steer.client.needs import depend, dependent, require
    from steer.client.remote import interactive, parallel, remote
    from steer.client.replies import ExecuteReply
    from steer.client.results import (
        AsyncHubResult,
        AsyncMapResult,
        AsyncResult,
    )
    from steer.client.run import Run, connect
    from steer.client.stream import TaskStream, task_stream
    from steer.client.tracking import track
    from steer.client.views import BroadcastView, DirectView
    from steer.core.params import Bool, Choice, Float, Int, Parameters, Str
    from steer.engines.declared import params
    from steer.engines.here import publish_data
    from steer.engines.points import loop, point
    from steer.engines.progress import progress
    from steer.errors import (
        AlreadyDisplayedError,
        CompositeError,
        EngineError,
        HubUnreachable,
        LaunchError,
        NoEnginesRegistered,
        RemoteError,
        SteerError,
        TaskAborted,
        UsageError,
    )
    from steer.ranks import RankSet
    from steer.reference import Reference

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "AlreadyDisplayedError",
    "AsyncHubResult",
    "AsyncMapResult",
    "AsyncResult",
    "Bool",
    "BroadcastView",
    "Choice",
    "Client",
    "Cluster",
    "ClusterManager",
    "CompositeError",
    "Dependency",
    "DirectView",
    "EngineError",
    "ExecuteReply",
    "Executor",
    "Float",
    "HubUnreachable",
    "Int",
    "LaunchError",
    "LoadBalancedView",
    "NoEnginesRegistered",
    "Parameters",
    "RankSet",
    "Reference",
    "RemoteError",
    "Run",
    "SteerError",
    "Str",
    "TaskAborted",
    "TaskStream",
    "UsageError",
    "connect",
    "depend",
    "dependent",
    "error",
    "get_executor",
    "interactive",
    "loop",
    "parallel",
    "params",
    "point",
    "progress",
    "publish_data",
    "register_joblib_backend",
    "remote",
    "require",
    "task_stream",
    "track",
]

_ROOMS = {
    "concurrent.futures": ("ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"),
    "steer.bridges.nested": ("get_executor",),
    "steer.client.balanced": ("LoadBalancedView", "register_joblib_backend"),
    "steer.client.client": ("Client",),
    "steer.client.dependency": ("Dependency",),
    "steer.client.cluster": ("Cluster",),
    "steer.client.run": ("Run", "connect"),
    "steer.client.executor": ("Executor",),
    "steer.client.manager": ("ClusterManager",),
    "steer.client.needs": ("depend", "dependent", "require"),
    "steer.client.remote": ("interactive", "parallel", "remote"),
    "steer.client.results": (
        "AsyncHubResult", "AsyncMapResult", "AsyncResult",
    ),
    "steer.client.replies": ("ExecuteReply",),
    "steer.client.stream": ("TaskStream", "task_stream"),
    "steer.client.tracking": ("track",),
    "steer.client.views": ("BroadcastView", "DirectView"),
    "steer.core.params": ("Bool", "Choice", "Float", "Int", "Parameters", "Str"),
    "steer.engines.declared": ("params",),
    "steer.engines.points": ("loop", "point"),
    "steer.engines.here": ("publish_data",),
    "steer.engines.progress": ("progress",),
    "steer.ranks": ("RankSet",),
    "steer.reference": ("Reference",),
    "steer.errors": tuple(
        name
        for name in __all__
        if name.endswith(("Error", "Unreachable", "Aborted", "Registered"))
    ),
}  # fmt: skip
_WHERE = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "error":
        return importlib.import_module("steer.errors")
    if name == "__version__":
        from importlib.metadata import version

        return version("mpi-steer")
    if name == "comm":  # another one in each task
        return importlib.import_module("steer.engines.here").communicator()
    if name not in _WHERE:
        raise AttributeError(f"module 'steer' has no attribute {name!r}")
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def load_ipython_extension(shell: Any) -> None:
    """Add the magics: what `%load_ext steer` calls."""
    importlib.import_module("steer.magics").load_ipython_extension(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Remove the magics: what `%unload_ext steer` calls."""
    importlib.import_module("steer.magics").unload_ipython_extension(shell)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
