"""The jobs of a hub: started as its children, watched, and found again after a
restart."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from steer.core.events import Event, JobBegan, JobEnded
from steer.core.registry import MOST
from steer.errors import LaunchError, UsageError
from steer.eventloop import Loop
from steer.launch.job import Job
from steer.launch.start import start_engines
from steer.node.watch import Exit, describe

_How = tuple[str, dict[str, str] | None, str | None, dict[str, str] | None]


def _status(ended: Exit | None) -> int:
    """How a job ended, as shells have it."""
    if ended is None or (ended.signal is None and ended.returncode is None):
        return -1
    return 128 + ended.signal if ended.signal is not None else ended.returncode or 0


class Jobs:
    """What this hub has started."""

    def __init__(
        self, connection: Path, folder: Path, store: Callable[[list[Any]], None]
    ) -> None:
        self._connection = connection
        self._folder = folder
        self._store = store
        self._jobs: dict[str, Job] = {}
        self._sizes: dict[str, int] = {}
        self._ended: dict[str, tuple[str, int]] = {}
        """How, in words and as shells have it."""
        self._how: dict[str, _How] = {}
        """How jobs were started, to start more of the same."""
        self._mapped: dict[str, set[str]] = {}
        """MPI's files of ranks that got a signal: one dies of it in MPI_Init, before it
        can say what it maps."""
        self._loop: Loop | None = None
        self._feed: Callable[[Event], None] | None = None
        self.verbs: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "start": self._ask_start,
            "jobs": self._ask_jobs,
            "stop_job": self._ask_stop,
            "signal_job": self._ask_signal,
        }

    def start(
        self,
        recipe: str,
        n: int,
        options: dict[str, str] | None = None,
        cwd: str | None = None,
        environment: dict[str, str] | None = None,
        program: Sequence[str] = (),
        stdio: Sequence[int] = (),
    ) -> str:
        """Start n engines; raises LaunchError."""
        name = f"{int(time.time())}-{len(self._jobs) + len(self._ended)}"
        job = start_engines(
            recipe,
            n,
            connection=self._connection,
            job=name,
            folder=self._folder,
            options=options,
            environment=environment,
            cwd=Path(cwd) if cwd else None,
            program=program,
            stdio=stdio,
        )
        self._how[name] = (recipe, options, cwd, environment)
        self._hold(job, n)
        self._save()
        return name

    def respawn(self, name: str) -> None:
        """Start one more engine as this job did; raises LaunchError."""
        recipe, options, cwd, environment = self._how[name]
        self.start(recipe, 1, options, cwd, environment)

    def adopt(self, saved: Sequence[Any]) -> None:
        """Take over what an earlier hub started."""
        for facts in saved:
            job = Job.adopt(facts["job"])
            recipe, options, cwd, environment = (
                facts.get("how") or (job.recipe,) + (None,) * 3
            )
            self._how[job.id] = (recipe, options, cwd, environment)
            self._hold(job, int(facts["n"]))

    def _hold(self, job: Job, n: int) -> None:
        self._jobs[job.id] = job
        self._sizes[job.id] = n
        if self._loop is not None:
            self._watch(job)

    def _save(self) -> None:
        self._store(
            [
                {"job": j.to_dict(), "n": self._sizes[j.id], "how": self._how[j.id]}
                for j in self._jobs.values()
            ]
        )

    # -- once there is a loop

    def attend(self, loop: Loop, feed: Callable[[Event], None]) -> None:
        """Report from now on what happens, also to jobs started before."""
        self._loop = loop
        self._feed = feed
        for job in list(self._jobs.values()):
            self._watch(job)

    def _watch(self, job: Job) -> None:
        assert self._loop is not None
        assert self._feed is not None
        self._feed(JobBegan(job.id, self._sizes[job.id], " ".join(job.argv)))
        for fd in job.pidfds():
            self._loop.add_reader(fd, lambda fd=fd: self._look(job, fd))  # type: ignore[misc]
        if not job.pidfds():
            self._finish(job)

    def _look(self, job: Job, fd: int) -> None:
        assert self._loop is not None
        self._loop.remove_reader(fd)
        if job.poll() is not None:
            self._finish(job)

    def _finish(self, job: Job) -> None:
        assert self._feed is not None
        ended = job.poll()
        how = describe(ended) if ended is not None else "ended"
        text = job.describe_failure()
        job.sweep(self._mapped.pop(job.id, set()).union(job.mapped()))
        job.close()
        self._jobs.pop(job.id, None)
        self._ended[job.id] = how, _status(ended)
        self._save()
        self._feed(JobEnded(job.id, how, text, _status(ended)))

    def signal(self, signum: int, name: str = "") -> None:
        """Signal one job or all; SIGKILL reaches its engines too."""
        for job in list(self._jobs.values()):
            if name in ("", job.id):
                self._mapped.setdefault(job.id, set()).update(job.mapped())
                if signum == signal.SIGKILL:
                    job.kill()
                else:
                    job.signal(signum)

    # -- questions of clients

    def _ask_start(self, arguments: dict[str, Any]) -> dict[str, Any]:
        n = arguments.get("n")
        if not isinstance(n, int) or not 1 <= n <= MOST:
            raise UsageError(f"The number of engines is 1 to {MOST}, not {n!r}.")
        job = self.start(
            str(arguments.get("recipe") or "mpiexec"),
            n,
            arguments.get("options"),
            arguments.get("cwd"),
            arguments.get("environment"),
        )
        return {"job": job}

    def _ask_jobs(self, arguments: dict[str, Any]) -> dict[str, Any]:
        running = [
            {"job": j.id, "recipe": j.recipe, "n": self._sizes[j.id], "running": True,
             "how": "", "command": " ".join(j.argv), "log": str(j.log),
             "program": "--run=" in " ".join(j.argv)}
            for j in self._jobs.values()
        ]  # fmt: skip
        ended = [
            {"job": name, "n": self._sizes[name], "running": False, "how": how,
             "status": status}
            for name, (how, status) in self._ended.items()
        ]  # fmt: skip
        return {"jobs": [*running, *ended]}

    def _find(self, arguments: dict[str, Any]) -> str:
        name = str(arguments.get("job"))
        if name not in self._jobs:
            raise LaunchError(f"No job {name!r} is running.")
        return name

    def _ask_stop(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self.signal(signal.SIGTERM, self._find(arguments))
        return {}

    def _ask_signal(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self.signal(int(arguments["signum"]), self._find(arguments))
        return {}
