"""A job: the process (or the n processes) that we started so that engines come to life.

The hub is its parent, keeps its descriptors in its poller, and is told the end by them;
nothing here waits. A job outlives a hub that was killed, on purpose: the engines keep
their namespaces and meet the next hub, which adopts the job by pid and start time.

    hub ── Popen ──> mpiexec ──> proxies ──> ranks      each in a session of its own
            log file <── what any of them prints before it captures its output

Signals go to the launcher, which passes them on as its MPI thinks right; `kill` goes to
every process of the job, because Open MPI's ranks live on without their mpiexec.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steer.errors import LaunchError
from steer.launch import diagnose
from steer.launch.render import Command
from steer.node import sweep
from steer.node.processes import Process, find_by_environment, start_time
from steer.node.signals import send, send_all
from steer.node.watch import Exit, Watch, describe

__all__ = ["Job"]

_TAIL_BYTES = 65536
_TOO_LITTLE_SHM = 4 << 20
_MARKS = ("STEER_CONNECTION", "STEER_JOB")
"""Variables that all processes of a job, and no others, have in common."""


@dataclass(slots=True)
class _Member:
    """One process of ours: a child to reap, or an adopted stranger to watch."""

    process: Process
    watch: Watch | None
    child: subprocess.Popen[bytes] | None = None
    ended: Exit | None = None

    def how(self) -> Exit | None:
        if self.ended is None:
            self.ended = self._ask()
        return self.ended

    def _ask(self) -> Exit | None:
        if self.child is not None:
            returncode = self.child.poll()
            return None if returncode is None else Exit.from_returncode(returncode)
        return Exit() if self.watch is None else self.watch.how()


@dataclass(slots=True)
class Job:
    """A command that was or will be started; see the head of this file."""

    id: str
    recipe: str
    argv: tuple[str, ...]
    marks: Mapping[str, str]
    log: Path
    runtime: Path
    started: float = 0.0
    _members: list[_Member] = field(default_factory=list)

    @classmethod
    def start(
        cls,
        command: Command,
        *,
        log: Path,
        runtime: Path,
        cwd: Path | None = None,
        stdio: Sequence[int] = (),
    ) -> Job:
        """Start the command; its output goes to the log, its debris to the runtime.

        With `stdio` (descriptors for 0, 1 and 2) it talks to somebody else. Raises
        LaunchError if it cannot be started at all; then nothing runs.
        """
        job = cls(
            id=command.env["STEER_JOB"],
            recipe=command.env["STEER_RECIPE"],
            argv=command.argv,
            marks={name: command.env[name] for name in _MARKS},
            log=log,
            runtime=runtime,
            started=time.time(),
        )
        try:
            runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
            job._start_all(command, cwd, stdio)
        except OSError as error:
            job.kill()
            raise job._not_started(error) from None
        return job

    @classmethod
    def adopt(cls, saved: Mapping[str, Any]) -> Job:
        """Take over a job that another hub started; its end is seen from now on."""
        job = cls(
            id=saved["id"],
            recipe=saved["recipe"],
            argv=tuple(saved["argv"]),
            marks=dict(saved["marks"]),
            log=Path(saved["log"]),
            runtime=Path(saved["runtime"]),
            started=saved["started"],
        )
        for pid, started in saved["processes"]:
            process = Process(pid, started)
            try:
                watch = Watch.on(process)
            except ProcessLookupError:
                watch = None
            job._members.append(_Member(process, watch))
        return job

    def to_dict(self) -> dict[str, Any]:
        """What `adopt` needs, in types that any format can store."""
        return {
            "id": self.id,
            "recipe": self.recipe,
            "argv": list(self.argv),
            "marks": dict(self.marks),
            "log": str(self.log),
            "runtime": str(self.runtime),
            "started": self.started,
            "processes": [list(member.process) for member in self._members],
        }

    # Watching

    @property
    def pids(self) -> list[int]:
        """The processes that we started: one launcher, or n engines."""
        return [member.process.pid for member in self._members]

    def pidfds(self) -> list[int]:
        """Descriptors to poll, one for each process that has not been seen to end.

        When one is readable, take it out of the poller and call `poll` or `ended`.
        They stay open until `close`.
        """
        return [
            member.watch.fileno()
            for member in self._members
            if member.ended is None and member.watch is not None
        ]

    def ended(self) -> dict[int, Exit]:
        """The processes of ours that have ended, by pid."""
        ends = ((member.process.pid, member.how()) for member in self._members)
        return {pid: end for pid, end in ends if end is not None}

    def poll(self) -> Exit | None:
        """How the job ended: as the first of its processes that failed; None before."""
        ends = self.ended()
        if len(ends) < len(self._members):
            return None
        failed = (end for end in ends.values() if end.returncode != 0)
        return next(failed, Exit(returncode=0))

    def close(self) -> None:
        """Close the descriptors, once no poller has them any more."""
        for member in self._members:
            if member.watch is not None:
                member.watch.close()

    def processes(self) -> list[Process]:
        """All living processes of the job on this host: launcher, proxies, ranks."""
        found = set(find_by_environment(self.marks))
        # A child that is just about to exec does not show our variables yet.
        found.update(m.process for m in self._members if m.how() is None)
        return sorted(found)

    # Acting

    def signal(self, signum: int) -> list[int]:
        """Send a signal to the launcher (or to each engine); return who got it."""
        living = [m.process for m in self._members if m.how() is None]
        return [process.pid for process in living if send(process, signum)]

    def kill(self) -> list[Process]:
        """SIGKILL to every process of the job; return them. Poll to see them gone."""
        return send_all(self.processes(), signal.SIGKILL)

    def mapped(self) -> list[str]:
        """MPI's shared files of the ranks that live now; ask before killing them."""
        return sorted({f for p in self.processes() for f in sweep.mapped_by(p.pid)})

    def sweep(self, mapped: Iterable[str] = ()) -> list[str]:
        """Remove what the ended job left: these files, its directory; not its log."""
        removed = sweep.sweep(mapped)
        removed += sweep.sweep_topology(self.started, time.time())
        if sweep.remove_directory(self.runtime):
            removed.append(str(self.runtime))
        return removed

    # Telling

    def tail(self, lines: int = 20) -> list[str]:
        """The last lines of the log, as plain text."""
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL_BYTES))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return []
        return diagnose.clean(text)[-lines:]

    def failure(self) -> LaunchError:
        """The job's end as an error: what, which command, its last words, what next."""
        end = self.poll() or Exit()
        output = "\n".join(self.tail())
        advice = diagnose.next_step(output)
        if advice is None and _shm_is_full():  # of which a killed rank says nothing
            advice = diagnose.MAKE_ROOM
        return LaunchError(
            f'The launcher of recipe "{self.recipe}" {describe(end)}.',
            recipe=self.recipe,
            command=shlex.join(self.argv),
            exit_status=end.returncode if end.signal is None else -end.signal,
            output=output,
            next_step=advice or f"Read its log, {self.log}.",
        )

    def describe_failure(self) -> str:
        """The same as text, for a log or a terminal."""
        return str(self.failure())

    def _start_all(
        self, command: Command, cwd: Path | None, stdio: Sequence[int]
    ) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        log = os.open(self.log, flags, 0o600)
        streams = (subprocess.DEVNULL, log, log)
        try:
            for index in range(command.copies):
                env = dict(command.env)
                if command.copies > 1:
                    env["STEER_INDEX"] = str(index)
                self._members.append(
                    _start_one(command.argv, env, stdio or streams, cwd)
                )
        finally:
            os.close(log)

    def _not_started(self, error: OSError) -> LaunchError:
        reason = f"{error.strerror}: {error.filename}" if error.filename else str(error)
        return LaunchError(
            f'The launcher of recipe "{self.recipe}" could not be started ({reason}).',
            recipe=self.recipe,
            command=shlex.join(self.argv),
            output=reason,
            next_step=diagnose.next_step(reason),
        )


def _shm_is_full() -> bool:
    try:
        room = os.statvfs("/dev/shm")
    except OSError:
        return False
    return room.f_bavail * room.f_frsize < _TOO_LITTLE_SHM


def _start_one(
    argv: tuple[str, ...], env: dict[str, str], streams: Sequence[int], cwd: Path | None
) -> _Member:
    # Its own session: Ctrl-C in the hub's terminal is for the hub to understand. No
    # PR_SET_PDEATHSIG: engines are to survive the hub.
    child = subprocess.Popen(
        argv,
        env=env,
        cwd=cwd,
        stdin=streams[0],
        stdout=streams[1],
        stderr=streams[2],
        start_new_session=True,
    )
    started = start_time(child.pid)
    assert started is not None  # our child: a zombie at least
    process = Process(child.pid, started)
    return _Member(process, Watch.on(process), child)
