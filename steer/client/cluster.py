"""Start, find, change and stop a cluster: a hub, and sets of engines.

    with steer.Cluster(n=4) as rc:      # a Client; all is stopped at the end
        ...

A cluster's hub is a process of its own, and nothing about it is remembered here that
could become untrue: engine sets are asked for when somebody wants to know. A method
`foo_sync` does the work, and `await cluster.foo()` runs it in a thread; so both work in
a script, in a notebook and in anybody's event loop, and none of them hides a loop.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import logging
import os
import signal
import weakref
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from steer.client.found import hub_lives, living_jobs
from steer.client.starting import (
    Hub,
    Request,
    recipe_name,
    restore_hub,
    start_hub,
)
from steer.client.stopping import stop_cluster, wait_gone
from steer.config import ClusterFiles, Connection, new_cluster_id
from steer.errors import HubUnreachable, UsageError
from steer.node.processes import Process
from steer.ranks import RankSet
from steer.settings import load as load_settings

# What talks to a hub is imported while the hub starts: see `_import_the_rest`.
if TYPE_CHECKING:
    from steer.client.client import Client
    from steer.client.engine_sets import EngineSet, Progress, Sets
    from steer.client.link import Link

__all__ = ["Cluster"]

log = logging.getLogger("steer.client")

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")

_IPYPARALLELS = frozenset(
    {
        *("controller", "controller_args", "delay", "load_profile", "log", "parent"),
        *("send_engines_connection_env", "controller_launcher_class", "config"),
    }
)
"""Keywords of ipyparallel's that mean nothing here: there is one kind of hub, it needs
no delay, and its engines are told where it is in one way only."""
_OTHER_NAMES = {"engine_launcher_class", "controller_ip", "controller_location"}
_LEVELS = {10: "debug", 20: "info", 30: "warning", 40: "error"}
QUESTION = 5.0
"""Seconds in which a hub that lives answers."""
THREADS_PATIENCE = 2.0
"""Seconds for the threads of a process whose main thread has ended."""


def _awaitable(
    work: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """The same method, run in a thread while the caller's event loop goes on."""

    @functools.wraps(work)
    async def method(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        import asyncio  # 30 ms that a script does not need

        return await asyncio.to_thread(work, self, *args, **kwargs)

    method.__name__ = work.__name__.removesuffix("_sync")
    method.__qualname__ = work.__qualname__.removesuffix("_sync")
    return method


class Controller:
    """The hub as a process: what ipyparallel's launcher says of its own."""

    def __init__(self, connection: Connection | None, stopped: bool) -> None:
        self.pid = connection.hub_pid if connection else 0
        running = connection is not None and hub_lives(connection)
        self.state = "running" if running else "after" if stopped else "before"
        self.running = running

    def __repr__(self) -> str:
        return f"<{self.state}>"


def _said(value: Any, default: Any, settings: Mapping[str, Any], name: str) -> Any:
    """What was said in the call, else in the profile, else the default."""
    return settings.get(name, default) if value == default else value


class Cluster:
    """One cluster: at most one hub, and any number of engine sets.

    Args:
        n: how many engines; as many as there are cores if not given.
        engines: how they are started: "mpi" (mpiexec), "local" (without MPI), the name
            of a recipe, or the path of one.
        profile: IPython's profile, in whose folder the cluster's files lie.
        profile_dir: that folder itself.
        cluster_id: the cluster's name; a new one if not given.
        ip: the address to listen on for other hosts; by default only this one connects.
        port: the port for that; a free one if not given.
        location: how other hosts call this one, if they do not know its name.
        options: the recipe's options, such as {"hosts": "a,b"}.
        environment: variables for the hub and its engines, beside the inherited ones.
        cwd: where the engines run.
        engine_timeout: how many seconds engines have to be there.
        shutdown_atexit: whether the cluster ends with this program.
        owner: a process's pid: the cluster ends with it, however it ends, also if it is
            killed, and leaves no files; without one, ranks outlive a killed program.
        log_level: of the hub's log.
        respawn: start an engine again when it dies, if it is a world of its own, as
            with engines="local".
    """

    def __init__(
        self,
        *,
        n: int | None = None,
        engines: str | None = None,
        profile: str = "",
        profile_dir: str | os.PathLike[str] | None = None,
        cluster_id: str | None = None,
        ip: str = "",
        port: int = 0,
        location: str = "",
        options: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        engine_timeout: float = 60,
        shutdown_atexit: bool = True,
        owner: int | None = None,
        log_level: int | str = "info",
        respawn: bool = False,
        **others: Any,
    ) -> None:
        others = _without_ipyparallels(others)
        self._files = ClusterFiles(
            profile=profile,
            cluster_id=new_cluster_id() if cluster_id is None else cluster_id,
            profile_folder=Path(profile_dir).absolute() if profile_dir else None,
        )
        # What was not said here, the profile's steer_config.py may say.
        settings = load_settings(profile, self._files.profile_folder)
        self.n = settings.get("n") if n is None else n
        self.engine_timeout = _said(engine_timeout, 60, settings, "engine_timeout")
        self.shutdown_atexit = _said(shutdown_atexit, True, settings, "shutdown_atexit")
        log_level = _said(log_level, "info", settings, "log_level")
        engines = _one_of(engines, others.pop("engine_launcher_class", None))
        ip = ip or others.pop("controller_ip", "")
        location = location or others.pop("controller_location", "")
        cwd = cwd or settings.get("cwd")
        self._request = Request(
            engines=engines or settings.get("engines") or "mpi",
            options=dict(options or settings.get("options") or {}),
            environment=dict(environment or settings.get("environment") or {}),
            cwd=os.fspath(cwd) if cwd else None,
            ip=ip or settings.get("ip", ""),
            port=port or settings.get("port", 0),
            owner=owner,
            respawn=respawn,
            location=location or settings.get("location", ""),
            log_level=_LEVELS.get(log_level, "info")
            if isinstance(log_level, int)
            else log_level,
        )
        self._hub: Hub | None = None
        self._link: Link | None = None
        self._clients: weakref.WeakSet[Any] = weakref.WeakSet()
        self._known: dict[str, EngineSet] = {}
        self._stopped = False

    # -- who it is

    @property
    def cluster_id(self) -> str:
        """The cluster's name."""
        return self._files.cluster_id

    @property
    def profile(self) -> str:
        """The profile's name."""
        return self._files.profile

    @property
    def profile_dir(self) -> str:
        """The profile's folder."""
        return str(self._files.folder.parent.parent)

    @property
    def cluster_file(self) -> str:
        """The connection file, by which others find this cluster."""
        return str(self._files.connection)

    @property
    def controller(self) -> Controller:
        """The hub's process."""
        self._reap()
        try:
            return Controller(Connection.read(self._files.connection), self._stopped)
        except UsageError:
            return Controller(None, self._stopped or self._hub is not None)

    @property
    def engines(self) -> dict[str, EngineSet]:
        """The engine sets as they are now, oldest first."""
        if self.controller.running:
            try:
                self._known.update(self._sets().all())
            except HubUnreachable:
                pass  # it is just ending; what was known is told as ended
            else:
                return dict(self._known)
        living = living_jobs(self._files)
        return {
            name: one if name in living else one.after()
            for name, one in self._known.items()
        }

    @property
    def engine_set(self) -> EngineSet | None:
        """The first of the engine sets."""
        return next(iter(self.engines.values()), None)

    @property
    def replaced(self) -> str:
        """What a start has found in its place and removed, as a sentence."""
        return self._hub.replaced if self._hub else ""

    def __repr__(self) -> str:
        where = f"profile={self.profile!r}" if self.profile else "profile='default'"
        if self._files.profile_folder:
            where = f"profile_dir={str(self._files.profile_folder)!r}"
        parts = [f"cluster_id={self.cluster_id!r}", where]
        controller = self.controller
        if controller.state != "before":
            parts.append(f"controller={controller!r}")
        if self._known:
            parts.append(f"engine_sets={list(self._known)}")
        return f"<Cluster({', '.join(parts)})>"

    # -- starting

    def start_controller_sync(self, *, restore: bool = False) -> Self:
        """Start the hub, without engines."""
        self._start(0, restore=restore)
        return self

    def start_cluster_sync(self, n: int | None = None) -> Self:
        """Start the hub with its first engines; they come up while this returns."""
        self._start(self._count(n))
        return self

    def _start(self, n: int, *, restore: bool = False) -> None:
        self._reap()
        if restore:
            self._hub = restore_hub(self._files)
        else:
            request = dataclasses.replace(self._request, n=n)
            self._hub = start_hub(self._files, request, _import_the_rest)
            self._known = {}
        self._stopped = False
        if self.shutdown_atexit:
            _at_exit.add(self)

    def start_engines_sync(
        self,
        n: int | None = None,
        *,
        engines: str | None = None,
        options: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
    ) -> str:
        """Start more engines; returns the new set's id."""
        sets = self._sets()
        name = sets.start(
            recipe_name(engines or self._request.engines),
            self._count(n),
            self._request.options if options is None else options,
            os.fspath(cwd) if cwd else self._request.cwd or os.getcwd(),
        )
        self._known.update(sets.all())
        return name

    def connect_client_sync(self, /, **client_options: Any) -> Client:
        """A client of this cluster."""
        from steer.client.client import Client

        client = Client(self.cluster_file, cluster=self, **client_options)
        self._clients.add(client)
        return client

    def start_and_connect_sync(
        self,
        n: int | None = None,
        activate: bool = False,
        *,
        progress: Progress | None = None,
    ) -> Client:
        """Start everything; a client, once all engines are there."""
        n = self._count(n)
        ours = self._hub is not None and self.controller.running
        if not ours:
            self.start_cluster_sync(n)
        try:
            client = self.connect_client_sync()
            self.wait_for_engines_sync(n, progress=progress)
        except BaseException as error:
            self.stop_cluster_sync(keep_logs=isinstance(error, Exception))
            raise
        if activate:
            client.activate()
        return client

    def wait_for_engines_sync(
        self,
        n: int | None = None,
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Wait for n engines; raises at once if their launcher ends before."""
        sets = self._sets()
        known = sets.all()
        if n is None:
            n = sum(one.n for one in known.values() if one.running)
        seconds = self.engine_timeout if timeout is None else timeout
        newest = next(reversed(known), None)
        sets.wait_for(n, seconds, job=newest, progress=progress)
        self._known.update(known)

    def _count(self, n: int | None) -> int:
        n = self.n if n is None else n
        if n is None:
            return len(os.sched_getaffinity(0))
        if n < 1:
            raise UsageError(f"The number of engines is at least 1, not {n}.")
        return n

    # -- changing

    def stop_engines_sync(self, engine_set_id: str | None = None) -> None:
        """End one engine set, or all of them; the hub stays."""
        sets = self._sets()
        for one in sets.find(engine_set_id):
            sets.stop(one)
        self._known.update(sets.all())

    def restart_engines_sync(self, engine_set_id: str | None = None) -> None:
        """End engine sets, start the same again, and wait until they are there."""
        sets = self._sets()
        old = sets.find(engine_set_id)
        for one in old:
            sets.stop(one)
        here = len(sets.link.core.engines)
        for one in old:
            here += one.n
            name = self.start_engines_sync(one.n, engines=one.recipe)
            sets.wait_for(here, self.engine_timeout, job=name)

    def signal_engines_sync(
        self, signum: int = signal.SIGINT, engine_set_id: str | None = None
    ) -> None:
        """Send a signal to the engines of one set, or of all."""
        sets = self._sets()
        for one in sets.find(engine_set_id):
            sets.signal(one, signum)

    def stop_engine_sync(self, engine_id: int) -> None:
        """End one engine. An MPI that loses a rank may end the others of its world."""
        self._sets().stop_engine(engine_id)

    def signal_engine_sync(self, engine_id: int, signum: int = signal.SIGINT) -> None:
        """Send a signal to one engine."""
        self._sets().signal_engine(engine_id, signum)

    # -- stopping

    def stop_controller_sync(self) -> None:
        """End the hub and with it all engines; again does nothing."""
        self.stop_cluster_sync()

    def stop_cluster_sync(self, *, keep_logs: bool = False) -> None:
        """End everything and leave nothing behind; again does nothing."""
        _at_exit.discard(self)
        notes: list[str] = []
        stop_cluster(self._files, self._ask_to_end, notes.append, keep_logs=keep_logs)
        self._close_link()
        self._reap()
        self._stopped = True
        for note in notes:
            log.warning("%s", note)

    def close_sync(self) -> None:
        """Close the clients that were made here, then end everything."""
        for client in list(self._clients):
            client.close()
        self.stop_cluster_sync()

    def _ask_to_end(self, connection: Connection) -> None:
        from steer.client.engine_sets import sets_of

        link = self._connected()
        jobs = link.ask("jobs")
        link.wait(link.shutdown("", hub=True), QUESTION)
        self._known.update(sets_of(link.wait(jobs, QUESTION)))
        self._close_link()  # while there is somebody to say goodbye to

    def watch(self) -> Iterator[str]:
        """Say, until the hub is gone, which engines come, leave and why."""
        link = self._connected()
        here = set(link.core.engines)
        while link.trouble is None:
            now = set(link.core.engines)
            if now - here:
                yield f"Engines {RankSet(now - here)} came; there are {len(now)}."
            for one in sorted(here - now):
                yield link.gone.get(one, f"Engine {one} left.")
            here = now
            with link.changed:
                if set(link.core.engines) == here and link.trouble is None:
                    link.changed.wait()
        yield "The hub is gone."

    # -- its hub

    def _sets(self) -> Sets:
        """Ask the hub over the link of a client of ours, or over one of our own."""
        from steer.client.engine_sets import Sets

        return Sets(self._connected(), self._files.folder)

    def _connected(self) -> Link:
        from steer.client.link import Link

        connection = Connection.read(self._files.connection)
        for client in self._clients:
            link = getattr(client, "_link", None)
            if isinstance(link, Link) and _usable(link, connection):
                return link
        if self._link is not None and not _usable(self._link, connection):
            self._close_link()
        if self._link is None:
            self._link = Link(connection, QUESTION)
        return self._link

    def _close_link(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _reap(self) -> None:
        """Leave no zombie of a hub that somebody else has ended.

        Its main thread is one before its other threads have ended, for which we wait.
        """
        if self._hub is not None and not hub_lives(self._hub.connection):
            connection = self._hub.connection
            hub = Process(connection.hub_pid, connection.hub_began)
            wait_gone([hub], THREADS_PATIENCE)

    # -- in and out of files

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` needs."""
        folder = self._files.profile_folder
        return {
            "class": "steer.Cluster",
            "cluster": {
                "cluster_id": self.cluster_id,
                "profile": self.profile,
                "profile_dir": str(folder) if folder else None,
                "n": self.n,
                "engines": self._request.engines,
            },
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any], **options: Any) -> Self:
        """The cluster that was described; it is not stopped when this program ends."""
        return cls(**{"shutdown_atexit": False, **saved["cluster"], **options})

    @classmethod
    def from_file(
        cls,
        cluster_file: str | os.PathLike[str] | None = None,
        *,
        profile: str = "",
        profile_dir: str | os.PathLike[str] | None = None,
        cluster_id: str = "",
        **options: Any,
    ) -> Self:
        """A cluster that was started elsewhere; without arguments `steer start`'s.

        It is not stopped when this program ends.
        """
        if cluster_file is not None:
            path = Path(cluster_file).absolute()
            connection = Connection.read(path)
            profile, profile_dir = connection.profile, path.parent.parent.parent
            cluster_id = connection.cluster_id
        cluster = cls(
            profile=profile,
            profile_dir=profile_dir,
            cluster_id=cluster_id,
            **{"shutdown_atexit": False, **options},
        )
        from steer.client.engine_sets import EngineSet

        jobs = Connection.read(cluster.cluster_file).jobs  # says so if there is none
        cluster._known = {one.id: one for one in map(EngineSet.saved, jobs)}
        return cluster

    # -- with

    def __enter__(self) -> Client:
        return self.start_and_connect_sync()

    def __exit__(self, *_: object) -> None:
        self.close_sync()

    async def __aenter__(self) -> Client:
        return await self.start_and_connect()

    async def __aexit__(self, *_: object) -> None:
        await _awaitable(Cluster.close_sync)(self)

    # -- the same, to be awaited

    start_controller = _awaitable(start_controller_sync)
    start_cluster = _awaitable(start_cluster_sync)
    start_engines = _awaitable(start_engines_sync)
    wait_for_engines = _awaitable(wait_for_engines_sync)
    stop_engines = _awaitable(stop_engines_sync)
    restart_engines = _awaitable(restart_engines_sync)
    signal_engines = _awaitable(signal_engines_sync)
    stop_engine = _awaitable(stop_engine_sync)
    signal_engine = _awaitable(signal_engine_sync)
    stop_controller = _awaitable(stop_controller_sync)
    stop_cluster = _awaitable(stop_cluster_sync)

    async def connect_client(self, **client_options: Any) -> Client:
        """See `connect_client_sync`."""
        return await _awaitable(Cluster.connect_client_sync)(self, **client_options)

    async def start_and_connect(
        self, n: int | None = None, activate: bool = False
    ) -> Client:
        """See `start_and_connect_sync`."""
        client = await _awaitable(Cluster.start_and_connect_sync)(self, n)
        if activate:
            client.activate()  # magics are registered in the thread that runs cells
        return client


def _import_the_rest() -> None:
    """Spend the hub's quarter of a second on what will be needed when it is there."""
    import steer.client.client
    import steer.client.engine_sets  # noqa: F401


def _without_ipyparallels(given: dict[str, Any]) -> dict[str, Any]:
    """What is left of the keywords; a TypeError for one that nobody knows."""
    others = {k: v for k, v in given.items() if k not in _IPYPARALLELS}
    unknown = sorted(others.keys() - _OTHER_NAMES)
    if unknown:
        raise TypeError(
            f"Cluster has no argument {unknown[0]!r}; help(steer.Cluster) lists them."
        )
    return others


def _one_of(engines: str | None, launcher_class: str | None) -> str | None:
    if engines is not None and launcher_class is not None:
        raise TypeError("Give engines= or engine_launcher_class=, not both.")
    return engines if engines is not None else launcher_class


def _usable(link: Link, connection: Connection) -> bool:
    """Whether a link is open and leads to the cluster as it is now."""
    same = link.connection.ipc == connection.ipc
    return same and link.trouble is None and not link._closed


class _Exit:
    """Stops clusters when the program ends, unless that was done before."""

    def __init__(self) -> None:
        self._clusters: dict[int, tuple[int, Cluster]] = {}

    def add(self, cluster: Cluster) -> None:
        if not self._clusters:
            atexit.register(self._stop_all)
        self._clusters[id(cluster)] = (os.getpid(), cluster)

    def discard(self, cluster: Cluster) -> None:
        self._clusters.pop(id(cluster), None)

    def _stop_all(self) -> None:
        for pid, cluster in list(self._clusters.values()):
            # A forked child inherits this list, but not the clusters.
            if pid == os.getpid():
                cluster.close_sync()


_at_exit = _Exit()
