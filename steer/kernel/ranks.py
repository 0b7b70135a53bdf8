"""The ranks of a kernel: started in the background, or those of a running cluster.

    starting ----> here ----> (some or all are lost)
        \\---> failed

The kernel answers its front end meanwhile. A cell waits here until the ranks are there,
and gets a sentence if they will not come, or are not all there any more: it runs on all
its ranks or on none.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from steer.errors import SteerError
from steer.kernel.plan import Plan
from steer.magics import targets as wanted
from steer.magics.targets import Targets
from steer.ranks import RankSet, describe

if TYPE_CHECKING:
    from steer.client.client import Client
    from steer.client.cluster import Cluster

__all__ = ["Ranks", "RanksFailed", "RanksLost"]

Show = Callable[[str], None]
"""Shows how far the start is; an empty text when it is over."""

SHOW_AFTER = 0.4
SHOW_AGAIN = 1.0
"""Seconds until a start is worth a word, and after which its time is told again."""


class RanksFailed(SteerError):
    """The kernel has no ranks."""


class RanksLost(SteerError):
    """The kernel has not all of its ranks any more."""


class Ranks:
    """What cells run on."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.cluster: Cluster | None = None
        self._client: Client | None = None
        self._expected: RankSet = RankSet()
        self._failure: str = ""
        self._here, self._n = 0, plan.n or 0
        self._closing = False
        self._changed = threading.Condition()
        self._starting = threading.Lock()
        """Held while there is a hub to be that nobody could end yet."""
        self._thread = threading.Thread(
            target=self._run, name="steer-start", daemon=True
        )

    # -- starting, in a thread

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def _run(self) -> None:
        try:
            client = self._attach() if self.plan.attaches else self._start()
        except (SteerError, OSError, TypeError, ValueError) as error:
            self._fail(error)
            return
        with self._changed:
            self._expected = RankSet(client.ids)
            self._client = client
            self._changed.notify_all()

    def _attach(self) -> Client:
        from steer.client.client import Client

        plan = self.plan
        client = Client(
            plan.connection,
            profile=plan.profile,
            profile_dir=plan.profile_dir,
            cluster_id=plan.cluster,
        )
        self._progress(len(client), len(client))
        return client

    def _start(self) -> Client:
        from steer.client.cluster import Cluster

        plan = self.plan
        cluster = Cluster(
            n=plan.n, engines=plan.engines, options=plan.options,
            profile=plan.profile, profile_dir=plan.profile_dir,
            cwd=plan.cwd or os.getcwd(), engine_timeout=plan.timeout,
            owner=os.getpid(),
        )  # fmt: skip
        with self._starting:
            if self._closing:
                raise RanksFailed("The kernel is being ended.")
            self.cluster = cluster
            cluster.start_cluster_sync()
        client = cluster.connect_client_sync()
        try:
            cluster.wait_for_engines_sync(progress=self._progress)
        except BaseException as error:
            client.close()
            cluster.stop_cluster_sync(keep_logs=isinstance(error, Exception))
            raise
        return client

    def _progress(self, here: int, n: int) -> None:
        with self._changed:
            self._here, self._n = here, n
            self._changed.notify_all()

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._failure = str(error).rstrip() or type(error).__name__
            self._changed.notify_all()

    # -- using them

    @property
    def client(self) -> Client | None:
        """The client, if it is connected already."""
        return self._client

    def wait(self, show: Show) -> Client:
        """The client, as soon as the ranks are there; Ctrl-C ends the wait."""
        if self._client is None:
            began = time.monotonic()
            try:
                self._wait(show, began)
            finally:
                show("")
        if self._client is None:
            raise RanksFailed(self._explain())
        return self._client

    def _wait(self, show: Show, began: float) -> None:
        wait = SHOW_AFTER
        with self._changed:
            while self._client is None and not self._failure:
                self._changed.wait(wait)
                elapsed = time.monotonic() - began
                if elapsed >= SHOW_AFTER:
                    show(self._how_far(elapsed))
                    wait = SHOW_AGAIN

    def _how_far(self, elapsed: float) -> str:
        from steer.client.bars import counted

        if self.plan.attaches:
            return "connecting to the cluster"
        if not self._n:
            return f"starting ranks  {elapsed:.0f} s"
        return counted("starting", self._here, self._n, "ranks", elapsed)

    def _explain(self) -> str:
        what = "attach to the cluster" if self.plan.attaches else "start its ranks"
        return (
            f"This kernel could not {what}: {self._failure}\n"
            "Restart the kernel to try again; cells with %%local run meanwhile."
        )

    def default_targets(self, client: Client) -> Targets:
        """The ranks that cells run on if they do not say otherwise."""
        if not self.plan.ranks or not client.ids:
            return "all"
        return wanted.parse(self.plan.ranks, client.ids, client.groups)

    def targets(self, named: str, default: Any) -> Targets:
        """The ranks that a cell names, or the default; a sentence if they are not
        there."""
        client = self._client
        assert client is not None
        link = client.link
        if link.trouble is not None:
            raise self.cut_off(link.trouble)
        if not client.ids:
            self._check_all(client)
        if named:
            return wanted.parse(named, client.ids, client.groups, link.gone)
        if default is None or default == "all":
            self._check_all(client)
            return "all"
        wanted.check(default, client.ids, link.gone)
        targets: Targets = default
        return targets

    def _check_all(self, client: Client) -> None:
        """All ranks run a cell or none: the others would wait for those lost."""
        here = RankSet(client.ids)
        lost = self._expected - here
        if not lost and here:
            return
        if not self._expected:
            raise RanksLost(
                "The cluster has no ranks. Add some with `steer engines -n 4`."
            )
        why = _first_of([w for r, w in client.link.gone.items() if r in lost])
        if not here:
            raise RanksLost(f"All ranks are gone. {why} {self._next_step()}")
        is_gone = f"{describe(lost)} {'is' if len(lost) == 1 else 'are'} gone"
        raise RanksLost(
            f"{is_gone[0].upper()}{is_gone[1:]}, so the cell did not run: a cell runs "
            f"on all ranks or on none. {why} {self._next_step()} With %%rank {here} a "
            "cell runs on those that are left."
        )

    def cut_off(self, error: SteerError) -> RanksLost:
        """What it means for a notebook that the hub is gone."""
        return RanksLost(f"{error} {self._next_step()}")

    def _next_step(self) -> str:
        if self.plan.attaches:
            return "When the cluster is whole again, restart the kernel."
        return "Restart the kernel to start them anew."

    # -- the end

    def close(self) -> None:
        """End the cluster, if it is ours; again does nothing."""
        with self._changed:
            self._closing = True
            self._failure = self._failure or "The kernel is being ended."
            self._changed.notify_all()
        with self._starting:
            cluster = self.cluster
        if self._client is not None:
            self._client.close()
        if cluster is not None:
            cluster.close_sync()


def _first_of(reasons: list[str]) -> str:
    """Why the first of those that are gone is; an MPI ends the others after it."""
    if len(reasons) < 2:
        return "".join(reasons)
    others = len(reasons) - 1
    return f"{reasons[0]} {others} other{'s' if others > 1 else ''} ended after it."
