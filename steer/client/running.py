"""`steer run`: a program under mpiexec that can be steered, and is otherwise as ever.

    we ── Popen ──> hub ── mpiexec ──> ranks, each with the program on its main thread
     └── our descriptors 0, 1 and 2 ──┘

What the program prints comes straight from its launcher, what is typed goes there,
signals that we get are sent to the ranks, and we end with the program's status. If we
are killed all ends; if the hub is killed the program goes on, and gets another one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import queue
import select
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from steer.client.cluster import Cluster
from steer.client.found import State, look
from steer.client.starting import AlreadyRunning, restore_hub
from steer.client.stopping import wait_gone
from steer.config import ClusterFiles, Connection
from steer.errors import SteerError, UsageError
from steer.launch.job import Job
from steer.launch.script import Script
from steer.node.processes import Process
from steer.node.watch import Exit, Watch
from steer.ranks import RankSet

if TYPE_CHECKING:
    from steer.client.link import Link

PASSED_ON = (
    signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2
)  # fmt: skip
"""Signals that the ranks get as we do; Ctrl-C besides."""
PATIENCE = 5.0
"""Seconds in which a hub that lives answers."""
RESTORED_TOO_OFTEN = 10.0
"""Seconds that a restored hub has to live, or it is not restored again."""
MOST_NAMES = 1000
STOPPED = 128 + int(signal.SIGTERM)
"""The status of a program that was ended on purpose."""

Event = tuple[str, Any]


class _Asked(BaseException):
    """A signal came before there was a program to send it to."""

    def __init__(self, signum: int) -> None:
        self.signum = signum


def run_program(
    script: Script,
    named: bool,
    settings: Mapping[str, Any],
    *,
    quiet: bool = False,
    begun: Callable[[Cluster], object] = lambda cluster: None,
) -> int:
    """Run it to its end; its exit status. `settings` are those of a Cluster, `begun` is
    called when it is about to begin."""
    with _stdio() as streams, _Signals() as signals:
        cluster = None
        try:
            cluster, script = _start(script, named, settings, streams)
            for descriptor in streams:
                os.close(descriptor)
            streams.clear()
            link = cluster._connected()
            begun(cluster)
            return _Pilot(cluster, link, script, signals, quiet).attend()
        except _Asked as asked:
            return 128 + asked.signum
        finally:
            signals.ending()
            if cluster is not None:
                cluster.stop_cluster_sync()


# -- the start


def _start(
    script: Script, named: bool, settings: Mapping[str, Any], streams: list[int]
) -> tuple[Cluster, Script]:
    """Start the hub and the ranks under the first name that is free."""
    for name in _names(script.run, named):
        profile, folder = settings.get("profile") or "", settings.get("profile_dir")
        if not named and not _free(name, profile, folder):
            continue
        mine = msgspec.structs.replace(script, run=name)
        cluster = Cluster(
            cluster_id=name, shutdown_atexit=False, owner=os.getpid(), **settings
        )
        cluster._request = dataclasses.replace(
            cluster._request, program=mine.to_arguments(), stdio=tuple(streams)
        )
        try:
            cluster.start_cluster_sync()
        except AlreadyRunning:
            if named:
                raise
            continue
        return cluster, mine
    raise UsageError(f"There are too many runs named {script.run}; name it by --name.")


def _names(name: str, named: bool) -> Iterator[str]:
    yield name
    for number in range(2, 1 if named else MOST_NAMES):
        yield f"{name}-{number}"


def _free(name: str, profile: str, folder: Any) -> bool:
    files = ClusterFiles(profile, name, folder)
    return look(files).state is State.STALE


@contextlib.contextmanager
def _stdio() -> Iterator[list[int]]:
    """Descriptors that the launcher has for its 0, 1 and 2; closed at the end, unless
    the list is emptied before."""
    streams = [_input(), *map(_copy, (1, 2))]
    try:
        yield streams
    finally:
        for descriptor in streams:
            os.close(descriptor)


def _copy(descriptor: int) -> int:
    try:
        return os.dup(descriptor)
    except OSError:  # closed
        return os.open(os.devnull, os.O_RDWR)


def _input() -> int:
    """What is typed here goes on through a pipe: read by us, it is read in our
    session, with what that means for Ctrl-C and background jobs."""
    try:
        if not os.isatty(0):
            return os.dup(0)
        foreground = os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        foreground = False
    if not foreground:
        return os.open(os.devnull, os.O_RDONLY)
    reading, writing = os.pipe()
    threading.Thread(target=_pump, args=(writing,), daemon=True).start()
    return reading


def _pump(writing: int) -> None:
    with contextlib.suppress(OSError):
        while typed := os.read(0, 65536):
            while typed:
                typed = typed[os.write(writing, typed) :]
    os.close(writing)


class _Signals:
    """Signals, as events; before there is a program they end the start.

    Python runs handlers in the main thread, and a signal that comes just before that
    thread begins to wait on a queue does not end the wait. So another thread, which the
    signal's number comes to through a pipe, puts something into the queue.
    """

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._raises = True
        self._before: dict[int, Any] = {}
        self._bell = self._bell_before = -1

    def __enter__(self) -> _Signals:
        heard, self._bell = os.pipe()
        os.set_blocking(self._bell, False)
        self._bell_before = signal.set_wakeup_fd(self._bell, warn_on_full_buffer=False)
        threading.Thread(target=self._wake, args=(heard,), daemon=True).start()
        for signum in (signal.SIGINT, *PASSED_ON):
            ignored = signal.getsignal(signum) is signal.SIG_IGN  # as nohup has it
            if not ignored:
                self._before[signum] = signal.signal(signum, self._came)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        signal.set_wakeup_fd(self._bell_before)
        os.close(self._bell)

    def _wake(self, heard: int) -> None:
        while os.read(heard, 64):
            self.events.put(("heard", None))
        os.close(heard)

    def _came(self, signum: int, _: object) -> None:
        if not self._raises:
            self.events.put(("signal", signum))
        elif signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            raise _Asked(signum)

    def attend(self) -> None:
        """From now on they are events."""
        self._raises = False

    def ending(self) -> None:
        """What comes now cannot end it any faster."""
        self._raises = False


# -- while it runs


class _Pilot:
    """Looks after one run until it has ended."""

    def __init__(
        self,
        cluster: Cluster,
        link: Link,
        script: Script,
        signals: _Signals,
        quiet: bool,
    ) -> None:
        self._cluster = cluster
        self._link = link
        self._script = script
        self._events = signals.events
        self._quiet = quiet
        self._interrupts = 0
        self._status = 0
        """That of the launcher."""
        self._statuses: Mapping[str, int] = {}
        """How ranks have ended that did not end well, the first one first."""
        self._went_well = self._over = False
        self._told: set[str] = set()
        """The ranks of whose failure was told."""
        self._waits = script.wait
        self._jobs: list[Job] = []
        """Ours to look after, once there is no hub."""
        self._restored = -RESTORED_TOO_OFTEN
        link.listeners.append(self._on_notice)
        signals.attend()
        self._watch_hub()
        self._tell_how_to_attach()

    def attend(self) -> int:
        """Wait for the end of the program; its status."""
        if not self._is_running():
            self._events.put(("ended", None))
        while True:
            what, content = self._events.get()
            if what == "ended":
                return self._exit_status()
            if what == "signal" and self._on_signal(content):
                return 128 + int(content)
            if what == "hub" and content == Exit(returncode=0):
                return self._exit_status()  # it was stopped
            if what == "hub" and not self._bring_hub_back():
                self._go_on_without_hub()
            if what == "program":
                self._on_program(content)
            if what == "stuck":
                self._on_stuck(content)

    def _exit_status(self) -> int:
        """That of the first rank that did not end well, else the launcher's."""
        first = next(iter(self._statuses.values()), None)
        if first == STOPPED:  # from elsewhere: the hub ends, too, and has told us all
            connection = self._link.connection
            hub = Process(connection.hub_pid, connection.hub_began)
            wait_gone([hub], PATIENCE)
            self._say(f"{self._script.run} was stopped.")
        if first is None and self._went_well:
            return 0  # whatever became of the launcher after that
        return self._status if first is None else first

    # -- what happens

    def _on_notice(self, what: str, content: dict[str, Any]) -> None:
        if what == "job_ended":
            self._status = int(content.get("status", 0))
            self._events.put(("ended", None))
        elif what in ("program", "stuck"):
            self._events.put((what, content))

    def _on_program(self, run: Mapping[str, Any]) -> None:
        """It has begun, has ended, or has failed on a rank."""
        self._statuses = run["statuses"]
        self._waits = run["waits"]
        self._went_well = run["over"] and not run["lost"]
        name = shlex.quote(self._script.run)
        if not run["kept"] or self._over:
            return
        if run["over"]:
            self._over = True
            self._say(
                f"{self._script.run} has ended; its ranks stay. `steer attach {name}` "
                "looks into them, Ctrl-C ends them."
            )
            return
        for rank, how in run["lost"].items():
            if rank in self._told:
                continue
            self._told.add(rank)
            self._say(
                f"rank {rank} {how}, and stays to be looked into with `steer attach "
                f"{name}`; the others go on. Ctrl-C ends all."
            )

    def _on_stuck(self, told: Mapping[str, Any]) -> None:
        """Its ranks wait, and it is proved why. That one is slow is for those who look
        at it: all programs are a little out of balance."""
        if told["run"] != self._script.run or told["verdict"] == "IMBALANCE":
            return
        unstick = f"`steer attach {shlex.quote(self._script.run)} -c unstick`"
        if self._script.post_mortem:
            does = "ends it there, and its ranks stay to be looked into"
        else:
            does = (
                "raises KeyboardInterrupt there, which ends it unless it catches that "
                "(with --post-mortem its ranks would stay)"
            )
        self._say(
            f"{self._script.run} does not go on.\n{told['text']}\n"
            f" {unstick} {does}; Ctrl-C ends it."
        )

    def _on_signal(self, signum: int) -> bool:
        """Send it to the ranks; says whether this is the end of it all."""
        if signum == signal.SIGINT:
            self._interrupts += 1
            if self._over or self._waits or self._interrupts > 2:
                return True
            if self._interrupts == 2:
                signum = signal.SIGTERM
                self._say("sent SIGTERM; Ctrl-C once more kills the ranks.")
        elif self._over and signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            return True
        if self._jobs:
            for job in self._jobs:
                job.signal(signum)  # the launcher hands it on
            return False
        if not self._link.core.engines:
            return True
        # Of some we may not have heard yet that they are there; the hub has.
        everybody = str(RankSet(range(self._cluster.n or 1)))
        with contextlib.suppress(SteerError):
            self._link.wait(self._link.signal(signum, everybody), PATIENCE)
        return False

    # -- the hub

    def _is_running(self) -> bool:
        """Ask, also how it ended: that may have been told before we listened."""
        for run in self._link.wait(self._link.ask("runs"), PATIENCE)["runs"]:
            if run["run"] == self._script.run:
                self._events.put(("program", run))
        jobs = self._link.wait(self._link.ask("jobs"), PATIENCE)["jobs"]
        for job in jobs:
            self._status = job.get("status", 0)
        return any(job["running"] for job in jobs)

    def _watch_hub(self) -> None:
        """Have an event when the hub's process ends; it is a child of ours."""
        pid = Connection.read(self._cluster.cluster_file).hub_pid

        def wait() -> None:
            how = None
            with contextlib.suppress(ProcessLookupError):
                watch = Watch(pid)
                poller = select.poll()
                poller.register(watch.fileno(), select.POLLIN)
                poller.poll()
                how = watch.how()
                watch.close()
            self._events.put(("hub", how))

        threading.Thread(target=wait, daemon=True).start()

    def _bring_hub_back(self) -> bool:
        now = time.monotonic()
        if now - self._restored < RESTORED_TOO_OFTEN:
            return False
        self._restored = now
        try:
            self._cluster._reap()
            files = self._cluster._files
            self._cluster._hub = restore_hub(files, owner=os.getpid())
            self._link = self._cluster._connected()
            if self._on_notice not in self._link.listeners:
                self._link.listeners.append(self._on_notice)
            if not self._is_running():
                self._events.put(("ended", None))
        except (SteerError, OSError) as error:
            self._say(f"its hub was lost and did not come back: {error}")
            return False
        self._watch_hub()
        self._say("its hub was lost; there is a new one, and the program goes on.")
        return True

    def _go_on_without_hub(self) -> None:
        """Nobody can steer any more; the program is not to suffer from that."""
        self._say("it goes on, and cannot be steered any more.")
        connection = Connection.read(self._cluster.cluster_file)
        self._jobs = [Job.adopt(entry["job"]) for entry in connection.jobs]
        self._status = 1  # nobody will tell us how it ended
        mapped = {name for job in self._jobs for name in job.mapped()}

        def wait() -> None:
            poller = select.poll()
            left = {fd for job in self._jobs for fd in job.pidfds()}
            for fd in left:
                poller.register(fd, select.POLLIN)
            while left:
                for fd, _ in poller.poll():
                    poller.unregister(fd)
                    left.discard(fd)
            for job in self._jobs:
                job.sweep(mapped)
            self._events.put(("ended", None))

        threading.Thread(target=wait, daemon=True).start()

    # -- the terminal

    def _tell_how_to_attach(self) -> None:
        name = self._script.run
        if self._quiet or sys.stderr is None or not sys.stderr.isatty():
            return
        self._say(f"{name} runs; `steer attach {shlex.quote(name)}` takes the wheel.")

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed
            sys.stderr.write(f"steer: {text}\n")
            sys.stderr.flush()
