"""The engine sets of a cluster: jobs of its hub, asked for, changed and waited for.

A set is one launch of n engines: one world of n ranks, or n separate processes. The hub
knows them all; nothing is remembered here, so what is said is true also after engines
died, or were started or stopped by another client.

Every wait here ends early when the job that is waited for ends: with its launcher's
exit status, its command and its last words.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steer.client.arrival import arriving
from steer.client.bars import PROGRESS_AFTER, earliest
from steer.client.link import Link
from steer.errors import LaunchError, UsageError
from steer.launch import diagnose
from steer.node.processes import find_by_environment
from steer.ranks import RankSet

__all__ = ["EngineSet", "Progress", "Sets", "sets_of"]

Progress = Callable[[int, int], None]
"""Told how many engines are here, and how many there will be."""

LEAVE_PATIENCE = (1.5, 2.0, 3.0)
"""Seconds for engines to end when asked, after SIGTERM, and after SIGKILL."""


@dataclass(frozen=True)
class EngineSet:
    """One launch of engines, as its hub knew it when it was asked."""

    id: str
    n: int
    state: str
    """ "running" or "after"."""
    recipe: str = ""
    command: str = ""
    log: str = ""
    how: str = ""
    """How it ended, if it has."""

    @property
    def running(self) -> bool:
        """Whether its launcher lives."""
        return self.state == "running"

    @property
    def stop_data(self) -> dict[str, str] | None:
        """How it ended; None while it runs."""
        return None if self.running else {"how": self.how}

    @classmethod
    def saved(cls, entry: Mapping[str, Any]) -> EngineSet:
        """A running set, as a connection file describes it."""
        job = entry["job"]
        command = " ".join(job["argv"])
        facts = (job["recipe"], command, job["log"])
        return cls(job["id"], int(entry["n"]), "running", *facts)

    def after(self) -> EngineSet:
        """The same set when its cluster is no more."""
        if not self.running:
            return self
        how = "ended with its cluster"
        facts = (self.recipe, self.command, self.log)
        return EngineSet(self.id, self.n, "after", *facts, how)


@dataclass
class Sets:
    """What can be done with engine sets over one link."""

    link: Link
    folder: Path
    _seen: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        self._seen = len(self.link.notices)

    # -- asking

    def all(self) -> dict[str, EngineSet]:
        """All sets that this hub has started, oldest first."""
        return sets_of(self.link.wait(self.link.ask("jobs")))

    def find(self, name: str | None) -> list[EngineSet]:
        """The running set of this name, or all running ones."""
        sets = self.all()
        if name is None:
            return [s for s in sets.values() if s.running]
        if name not in sets:
            known = ", ".join(sets) or "none"
            raise KeyError(f"There is no engine set {name!r}; there are: {known}.")
        return [sets[name]] if sets[name].running else []

    def members(self, one: EngineSet) -> set[int]:
        """The ids of its engines: ranks name their world, others we know by process."""
        marks = {"STEER_CONNECTION": self._connection(), "STEER_JOB": one.id}
        pids = {process.pid for process in find_by_environment(marks)}
        engines = self.link.core.engines.values()
        return {e.id for e in engines if e.world == one.id or e.pid in pids}

    def _connection(self) -> str:
        return os.path.abspath(self.folder / "cluster.json")

    # -- acting

    def start(
        self,
        recipe: str,
        n: int,
        options: Mapping[str, str],
        cwd: str | None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Start n more engines; the new set's id."""
        question = self.link.ask(
            "start",
            recipe=recipe,
            n=n,
            options=dict(options),
            cwd=cwd,
            environment=None if environment is None else dict(environment),
        )
        return str(self.link.wait(question)["job"])

    def stop(self, one: EngineSet) -> None:
        """End a set: its engines are asked, then told, then killed."""
        ids = self.members(one)
        steps: Sequence[Callable[[], None]] = (
            lambda: self._ask_to_leave(one, ids),
            lambda: self._terminate(one),
            lambda: self.signal(one, signal.SIGKILL),
        )
        for act, patience in zip(steps, LEAVE_PATIENCE, strict=True):
            try:
                act()
            except LaunchError:
                pass  # it has just ended; that is seen below
            if self._wait_ended(one, ids, patience):
                return
        raise LaunchError(
            f"The engine set {one.id} still runs after SIGKILL.",
            recipe=one.recipe,
            command=one.command,
            next_step="Stop the cluster with `steer stop`.",
        )

    def _ask_to_leave(self, one: EngineSet, ids: set[int]) -> None:
        if len(ids) == one.n:
            self.link.wait(self.link.shutdown(str(RankSet(ids)), hub=False))
        else:
            self._terminate(one)  # those that are only just starting cannot be asked

    def _terminate(self, one: EngineSet) -> None:
        self.link.wait(self.link.ask("stop_job", job=one.id))

    def signal(self, one: EngineSet, signum: int) -> None:
        """Signal the engines of a set; ranks directly, not through their launcher."""
        ids = self.members(one)
        if ids and signum != signal.SIGKILL:
            self.link.wait(self.link.signal(signum, str(RankSet(ids))))
        else:
            self.link.wait(self.link.ask("signal_job", job=one.id, signum=int(signum)))

    def stop_engine(self, engine: int) -> None:
        """End one engine: asked, then told, then killed."""
        target = str(engine)
        self._check(engine)
        steps: Sequence[Callable[[], Any]] = (
            lambda: self.link.shutdown(target, hub=False),
            lambda: self.link.signal(signal.SIGTERM, target),
            lambda: self.link.signal(signal.SIGKILL, target),
        )
        for act, patience in zip(steps, LEAVE_PATIENCE, strict=True):
            self.link.wait(act())
            if self._wait(lambda: engine not in self.link.core.engines, patience):
                return
        raise LaunchError(
            f"Engine {engine} is still there after SIGKILL.",
            next_step="Stop the cluster with `steer stop`.",
        )

    def signal_engine(self, engine: int, signum: int) -> None:
        """Signal one engine's process."""
        self._check(engine)
        self.link.wait(self.link.signal(int(signum), str(engine)))

    def _check(self, engine: int) -> None:
        here = self.link.core.engines
        if engine not in here:
            raise UsageError(
                f"There is no engine {engine}; there are {RankSet(here) or 'none'}."
            )

    # -- waiting

    def wait_for(
        self,
        n: int,
        timeout: float | None,
        *,
        job: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Wait until n engines are here, or the set ends that is to bring them."""
        sets = self.all()  # of what ended before this link was there, no notice came
        job = job or next(iter(sets), "")
        if job in sets and not sets[job].running:
            raise self.failure(sets[job])
        deadline = None if timeout is None else time.monotonic() + timeout
        # Who has a progress of his own shows it.
        after = PROGRESS_AFTER if progress is None else -1.0
        here = -1
        with arriving(n, after, sets[job].recipe if job in sets else "") as arrival:
            while here < n:
                with self.link.changed:
                    if len(self.link.core.engines) == here and not self._news():
                        self.link.changed.wait(_left(earliest(deadline, arrival.due)))
                    here = len(self.link.core.engines)
                arrival.tell(here)
                if progress is not None:
                    progress(here, n)
                if here < n:
                    self._raise_if_lost(job)
                    self._raise_if_late(here, n, timeout, deadline)

    def _news(self) -> bool:
        return self.link.trouble is not None or len(self.link.notices) > self._seen

    def _raise_if_lost(self, job: str) -> None:
        if self.link.trouble is not None:
            raise self.link.trouble
        notices = self.link.notices[self._seen :]
        self._seen += len(notices)
        for what, content in notices:
            if what in ("problem", "job_ended") and content["job"] == job:
                raise LaunchError(str(content["text"]))

    def _raise_if_late(
        self, here: int, n: int, timeout: float | None, deadline: float | None
    ) -> None:
        if deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError(
                f"Only {here} of {n} engines were there within {timeout:g} s. "
                f"Read the logs in {self.folder}, or wait longer."
            )

    def failure(self, one: EngineSet) -> LaunchError:
        """The end of a set as an error, from what its log says."""
        log = self.folder / f"job-{one.id}.log"
        try:
            text = log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        return LaunchError(
            f"The engine set {one.id} {one.how} before {one.n} engines were there.",
            recipe=one.recipe,
            command=one.command,
            output="\n".join(diagnose.clean(text)[-20:]),
            next_step=diagnose.next_step(text) or f"Read its log, {log}.",
        )

    def _wait_ended(self, one: EngineSet, ids: set[int], seconds: float) -> bool:
        """Wait for a set's launcher to end and for its engines to be gone."""

        def gone() -> bool:
            return not ids & self.link.core.engines.keys() and any(
                what == "job_ended" and content["job"] == one.id
                for what, content in self.link.notices
            )

        if self._wait(gone, seconds):
            return True
        return not ids & self.link.core.engines.keys() and one.id not in {
            s.id for s in self.find(None)
        }

    def _wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        with self.link.changed:
            self.link.changed.wait_for(
                lambda: self.link.trouble is not None or condition(), seconds
            )
        if self.link.trouble is not None:
            raise self.link.trouble
        return condition()


def sets_of(answer: Mapping[str, Any]) -> dict[str, EngineSet]:
    """The hub's answer about its jobs, oldest first."""
    found = [_engine_set(row) for row in answer["jobs"]]
    return {s.id: s for s in sorted(found, key=lambda s: _age(s.id))}


def _engine_set(row: Mapping[str, Any]) -> EngineSet:
    return EngineSet(
        id=str(row["job"]),
        n=int(row["n"]),
        state="running" if row["running"] else "after",
        recipe=str(row.get("recipe", "")),
        command=str(row.get("command", "")),
        log=str(row.get("log", "")),
        how=str(row.get("how", "")),
    )


def _age(name: str) -> tuple[int, ...]:
    """Sets are named by the second of their start and a number."""
    return tuple(int(part) for part in name.split("-") if part.isdecimal())


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
