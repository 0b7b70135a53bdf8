"""A run, as its user holds it: `run = steer.connect("sim")`.

    run.stop()                        # all ranks hold at one point
    run.execute("x = u.max()")        # there, in the frame of the loop
    run.step(10)
    run.go()

It is a connection like any other: `run.client` is a Client, `run.view` all its ranks.
Whoever asks for something waits for the answer; Ctrl-C ends the waiting, not what was
asked for.
"""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from steer.client.attending import Attending
from steer.client.connecting import wait_for_hub
from steer.client.journaling import Journaling
from steer.client.live import in_shell
from steer.client.runstate import RunStatus
from steer.client.scheduling import Scheduling
from steer.client.seeing import SeeingRun
from steer.client.snapshots import Snapshots
from steer.client.watches import Watching
from steer.config import ClusterFiles, list_clusters
from steer.errors import UsageError
from steer.ranks import RankSet

if TYPE_CHECKING:
    from steer.client.client import Client
    from steer.client.link import Link
    from steer.client.views import DirectView
    from steer.wire.messages import News

BEGINS_WITHIN = 60.0
"""Seconds that a program which is being started may need to begin."""


class Run(SeeingRun, Scheduling, Watching, Journaling, Snapshots):
    """One program on some ranks, and what can be done to it."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name
        client.run = self
        client.link.wait(client.link.steering.watch(name))

    @classmethod
    def of(cls, client: Client, name: str = "") -> Self:
        """The run of this name, or the only one, that this client can reach."""
        told = client.link.wait(client.link.ask("runs"))["runs"]
        names = [run["run"] for run in told]
        if not name and len(names) == 1:
            name = names[0]
        if name not in names:
            raise UsageError(_no_run(name, names))
        return cls(client, name)

    # -- what there is

    def status(self) -> RunStatus:
        """What is known of it: its ranks, where they are, what is planned."""
        told = self.client.link.wait(self.client.link.ask("runs"))["runs"]
        for run in told:
            if run["run"] == self.name:
                return RunStatus(run)
        raise UsageError(f"The run {self.name} has ended, and its ranks are gone.")

    @property
    def view(self) -> DirectView:
        """All its ranks."""
        ranks = RankSet.parse(self.status()["ranks"])
        here = [rank for rank in ranks if rank in self.client.ids]
        return self.client.direct_view(here, block=True)

    def execute(self, code: str, **options: Any) -> Any:
        """Run code on all its ranks: where it is stopped, in the frame of the loop."""
        return self.view.execute(code, **options)

    def __getitem__(self, name: str) -> Any:
        """The value of an expression on each rank."""
        return self.view[name]

    def __setitem__(self, name: str, value: Any) -> None:
        """Give a variable a value on all ranks."""
        self.view[name] = value

    def activate(self, suffix: str = "") -> None:
        """Let IPython's `%px` and the magics of steering work on it."""
        self.view.activate(suffix)

    # -- what is asked of it

    def ask(self, verb: str, /, *, label: str = "", **arguments: Any) -> Future[News]:
        """Ask for something, and do not wait. A run may have several loops: `label`
        says which is meant."""
        name = f"{self.name}/{label}" if label else self.name
        return self.client.link.steer(name, verb, **arguments)

    def do(self, verb: str, timeout: float | None = None, /, **arguments: Any) -> News:
        """Ask for something, and wait for the answer."""
        attending = Attending(self.client.link.steering, self.name, verb)
        news = attending.wait(lambda: self.ask(verb, **arguments), timeout)
        if news.kind == "refused":
            raise UsageError(news.text)
        return news

    def stop(
        self,
        point: int = 0,
        *,
        advance: int = 0,
        label: str = "",
        timeout: float | None = None,
    ) -> News:
        """Hold all ranks at one point: the next that all can come to, or this one."""
        return self.do("stop", timeout, label=label, point=point, advance=advance)

    def go(self, *, label: str = "") -> News:
        """Let it go on; takes back a stop that is under way."""
        return self.do("go", label=label)

    def step(
        self, n: int = 1, *, label: str = "", timeout: float | None = None
    ) -> News:
        """Go on by n points, and stop there."""
        return self.do("step", timeout, label=label, n=n)

    def advance(self, n: int = 1, *, label: str = "") -> News:
        """A stop cannot come about at this point: try one further."""
        return self.do("advance", label=label, n=n)

    def here(self, *, label: str = "") -> News:
        """A stop cannot come about: be content with where the ranks are."""
        return self.do("here", label=label)

    # -- the end

    def close(self) -> None:
        """Leave it alone; it goes on."""
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Run {self.name}>"


def _no_run(name: str, names: list[str]) -> str:
    if not names:
        return (
            "No program runs on this cluster that can be steered; "
            "`steer run -n 4 sim.py` starts one."
        )
    known = ", ".join(map(repr, names))
    if not name:
        return f"Several programs run on this cluster; name one of {known}."
    return f"There is no run {name!r} on this cluster; there are {known}."


def wait_for_begin(link: Link, patience: float = BEGINS_WITHIN) -> None:
    """Wait for a program that is just being started, if there is one."""
    if link.wait(link.ask("runs"))["runs"]:
        return
    jobs = link.wait(link.ask("jobs"))["jobs"]
    if not any(job["running"] and job["program"] for job in jobs):
        return
    with link.changed:
        link.changed.wait_for(
            lambda: (
                link.trouble is not None
                or any(what in ("program", "job_ended") for what, _ in link.notices)
            ),
            patience,
        )


def connect(name: str = "", *, wait: float = 0.0, **options: Any) -> Run:
    """Take the wheel of a run; `options` are those of `steer.Client`.

    `wait` is how many seconds it may take until the run is there. In IPython `%px` and
    the magics of steering then work on it.
    """
    from steer.client.client import Client

    if name:
        _find(name, wait, options.get("profile", ""), options.get("profile_dir"))
    client = Client(cluster_id=name, **options)
    try:
        wait_for_begin(client.link)
        run = Run.of(client)
        if in_shell() is not None:
            run.activate()
        return run
    except BaseException:
        client.close()
        raise


def _find(name: str, wait: float, profile: str, folder: Any) -> None:
    """Raise a sentence unless there is such a run, or will be in time."""
    files = ClusterFiles(profile, name, Path(folder) if folder else None)
    if (wait and wait_for_hub(files, wait)) or files.connection.exists():
        return
    names = [f.cluster_id for f in list_clusters(profile) if f.connection.exists()]
    known = f"there are {', '.join(map(repr, names))}" if names else "there is none"
    raise UsageError(
        f"There is no run {name!r}; {known}. `steer run -n 4 {name}.py` starts one."
    )
