"""The hub's shell: makes events of what comes, carries out what the core decides.

One thread, one `Loop`. What would block (the disk) has a thread of its own
(`journal.py`); what is slow to start (jobs) is a child process.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import zmq

from steer import shm, sockets
from steer.blackbox import Reader
from steer.core import events as ev
from steer.core.hub import RETURN_WITHIN, HubCore, request_of
from steer.core.nativestacks import Spy
from steer.core.sight import Outside
from steer.errors import InternalError, ProtocolError, SteerError
from steer.eventloop import Loop
from steer.hosts import kernel
from steer.hub.jobs import Jobs
from steer.hub.ledger import Ledger
from steer.hub.sight import Outsight
from steer.hub.spying import Spying
from steer.hub.steering import Steering
from steer.hub.steerlog import SteerLog
from steer.node.processes import Process
from steer.node.signals import send_all
from steer.node.sweep import sweep
from steer.node.watch import Exit, Watch, describe
from steer.wire.frames import MAX_FRAMES, decode, encode, pack
from steer.wire.messages import (
    Answer,
    ErrorInfo,
    Hello,
    Outcomes,
    RankTask,
    Refused,
    Register,
    Result,
    Store,
    Submit,
    TaskStatus,
)
from steer.wire.peers import parse_peer, peer_name

log = logging.getLogger("steer.hub")


class Shell:
    """Sockets, processes and files around one `HubCore`."""

    def __init__(
        self,
        context: zmq.Context[Any],
        sock: zmq.Socket[bytes],
        ledger: Ledger,
        jobs: Jobs,
        loop: Loop,
        cluster: str,
        restored: bool = False,
        respawn: bool = False,
    ) -> None:
        self.loop = loop
        self.sock = sock
        self.shelf = shm.Shelf()
        self.ledger = ledger
        self.jobs = jobs
        until = time.monotonic() + RETURN_WITHIN if restored else None
        self.core = HubCore(
            pid=os.getpid(),
            boot=kernel(),
            cluster=cluster,
            probe=self.shelf.probe(),
            restoring_until=until,
            began=time.time_ns() // 1000,  # bundles are never so many
            respawn=respawn,
        )
        self.watches: dict[str, Watch] = {}
        self.boxes: dict[str, Reader] = {}
        self._tick_at: float | None = None
        programs, journal = self.core.wheel.programs, ledger.journal
        log_of_runs = SteerLog(journal.folder, journal, programs.get)
        self.steering = Steering(self.core, loop, self._send, self.feed, log_of_runs)
        self.outsight = Outsight(self.core, loop, self.feed)
        self._do: dict[type, Callable[[Any], None]] = {
            ev.Send: self._send,
            ev.Watch: self._watch,
            ev.Unwatch: lambda action: self._unwatch(action.uuid),
            ev.Kill: self._kill,
            ev.KillJobs: self._kill_jobs,
            ev.Respawn: self._respawn,
            ev.Sweep: self._sweep,
            ev.Note: self._note,
            ev.NoteTasks: self.ledger.note_tasks,
            ev.Late: self._late,
            ev.Recall: self._recall,
            ev.Drop: lambda action: self.shelf.drop(action.store),
            ev.Look: self._look,
            ev.Say: lambda action: log.info("%s", action.text),
            ev.End: lambda action: self.loop.stop(),
            **self.steering.actions(),
            Outside: self.outsight.show,
            Spy: Spying(loop, self.feed).show,
        }
        loop.add_reader(sock, lambda: sockets.receive_all(sock, self._received))

    # -- events in, actions out

    def feed(self, event: ev.Event) -> None:
        """Give an event to the core and do what it says."""
        try:
            actions = self.core.handle(event, time.monotonic())
        except Exception as error:
            story = self.core.story.tell()
            raise InternalError(
                f"The hub failed at {event!r}: {error!r}.", story=story
            ) from error
        do = self._do
        for action in actions:
            do[type(action)](action)
        self.steering.settle()
        self._arm()

    def _arm(self) -> None:
        """Come back at the core's deadline. A timer too early does no harm."""
        due = self.core.deadline()
        if due is not None and (self._tick_at is None or due < self._tick_at):
            self._tick_at = due
            self.loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._tick_at = None
        self.feed(ev.Tick())

    def _received(self, frames: list[Any]) -> None:
        peer = frames[0]
        try:
            if len(frames) < 2 or len(frames) > MAX_FRAMES:
                raise ProtocolError(f"A message of {len(frames)} frames came.")
            message = decode(frames[1])
        except ProtocolError as error:
            self._refuse(peer, "", error)
            return
        frames = frames[2:]
        try:
            if isinstance(message, Submit | Result | Hello):
                message, frames = self._reach(peer, message, frames)
            elif frames and isinstance(message, RankTask | Outcomes):
                message, frames = self._reach_task(message, frames)
        except (ProtocolError, OSError) as error:
            self._refuse(peer, request_of(message), error)
            return
        self.steering.before(message)
        heard = ev.Heard(peer, message, frames)
        self.feed(heard)
        self.steering.heard(heard)
        self.steering.settle()
        if isinstance(message, Register) and message.uuid in self.watches:
            self._open_box(message)
            self.outsight.register(message)

    def _reach(
        self, peer: bytes, message: Submit | Result | Hello, frames: list[Any]
    ) -> tuple[Submit | Result | Hello, list[Any]]:
        """Get hold of shared memory before its owner can go away."""
        if isinstance(message, Hello):
            _, who = parse_peer(peer)
            self.core.shares[who] = shm.can_open(message.pid, message.probe)
        elif message.store is not None:
            try:
                store = self.shelf.adopt(message.store, frames)
            except (OSError, ValueError) as error:
                return self._unreachable(message, error)
            message = msgspec.structs.replace(message, store=store)
        return message, frames

    def _unreachable(
        self, message: Submit | Result, error: Exception
    ) -> tuple[Submit | Result, list[Any]]:
        why = f"The data of {message.id} was lost with its owner: {error}."
        if isinstance(message, Submit):
            raise ProtocolError(why)
        lost = msgspec.structs.replace(message, status="error", store=None)
        return lost, [pack(ErrorInfo("EngineError", why))]

    def _reach_task(
        self, message: RankTask | Outcomes, frames: list[Any]
    ) -> tuple[RankTask | Outcomes, list[Any]]:
        """The same for tasks; a value that is gone is a value lost."""
        replace = msgspec.structs.replace
        if isinstance(message, RankTask):
            if message.store is None:
                return message, frames
            return replace(message, store=self._adopt(message.store, frames)), frames
        if len(message.outcomes) != 1 or message.outcomes[0].store is None:
            return message, frames
        (outcome,) = message.outcomes
        assert outcome.store is not None
        try:
            kept = replace(outcome, store=self._adopt(outcome.store, frames))
        except ProtocolError as error:
            text = str(error).encode()
            kept = replace(outcome, status=TaskStatus.LOST, store=None, body=text)
            frames = []
        return replace(message, outcomes=(kept,)), frames

    def _adopt(self, store: Store, frames: list[Any]) -> Store:
        try:
            return self.shelf.adopt(store, frames)
        except (OSError, ValueError) as error:
            raise ProtocolError(
                f"The data of a task was lost with its owner: {error}."
            ) from None

    def _refuse(self, peer: bytes, request_id: str, error: Exception) -> None:
        """Say to a client that its message was none; the hub goes on."""
        role, who = parse_peer(peer)
        log.warning("from %s %s: %s", role, who, error)
        if role in ("out", "in"):
            answer = Refused(request_id, ErrorInfo("ProtocolError", str(error)))
            self._send(ev.Send((peer_name("in", who),), answer))

    # -- actions

    def _send(self, action: ev.Send) -> None:
        frames = [encode(action.message), *action.frames]
        for peer in action.peers:
            try:
                sockets.send(self.sock, [peer, *frames])
            except zmq.ZMQError as error:
                if error.errno != errno.EHOSTUNREACH:
                    raise
                self._missed(peer)

    def _missed(self, peer: bytes) -> None:
        """It is away; a client asks again when it is back, an engine is tried again."""
        role, who = parse_peer(peer)
        log.debug("%s of %s cannot be reached", role, who)
        if role == "work":
            self.loop.call_soon(lambda: self.feed(ev.Unreached(who)))

    def _watch(self, action: ev.Watch) -> None:
        if action.uuid in self.watches:
            return
        try:
            watch = Watch(action.pid, action.began)
        except ProcessLookupError:
            gone = ev.Died(action.uuid, "ended before it could be watched")
            self.loop.call_soon(lambda: self.feed(gone))
            return
        self.watches[action.uuid] = watch
        self.loop.add_reader(watch.fileno(), lambda: self._ended(action.uuid))

    def _ended(self, uuid: str) -> None:
        watch = self.watches.get(uuid)
        how = watch.how() if watch is not None else None
        self._unwatch(uuid)
        box = self.boxes.pop(uuid, None)
        running = box.running() if box is not None else None
        if box is not None:
            box.close()
        engine = self.core.registry.engines.get(uuid)
        text = describe(how or Exit()) + self.outsight.last_words(uuid)
        self.feed(ev.Died(uuid, text, running=running))
        self.outsight.ended(uuid)
        if engine is not None:
            self.steering.gone(engine.id)

    def _open_box(self, message: Register) -> None:
        """Map what the engine writes down, while there is an engine."""
        if message.box < 0 or message.uuid in self.boxes:
            return
        try:
            self.boxes[message.uuid] = Reader(message.pid, message.box)
        except (OSError, ValueError) as error:
            log.debug("no black box of %s: %s", message.uuid, error)

    def _unwatch(self, uuid: str) -> None:
        watch = self.watches.pop(uuid, None)
        if watch is not None:
            self.loop.remove_reader(watch.fileno())
            watch.close()

    def _kill(self, action: ev.Kill) -> None:
        send_all([Process(*process) for process in action.processes], action.signum)

    def _kill_jobs(self, action: ev.KillJobs) -> None:
        self.jobs.signal(action.signum, action.job)

    def _respawn(self, action: ev.Respawn) -> None:
        try:
            self.jobs.respawn(action.job)
        except SteerError as error:
            log.error("the engine was not started again: %s", error)

    def _sweep(self, action: ev.Sweep) -> None:
        sweep(action.names)

    def _note(self, action: ev.Note) -> None:
        request = self.core.fanout.requests.get(action.id)
        if request is not None:
            self.ledger.note(
                request, keep=request.client not in self.core.fanout.clients
            )

    def _late(self, action: ev.Late) -> None:
        self.ledger.late(action.engine, action.result, action.frames)
        self.shelf.drop(action.result.store)

    def saved(self, results: Sequence[tuple[str, int]]) -> None:
        """The journal has these; in the loop's thread."""
        self.feed(ev.Saved(tuple(results)))

    def _recall(self, action: ev.Recall) -> None:
        def found(parts: Sequence[tuple[Any, Sequence[Any]]]) -> None:
            self.feed(
                ev.Recalled(action.client, action.submit, action.frames, tuple(parts))
            )

        self.ledger.recall(action.submit, found)

    # -- questions

    def _look(self, action: ev.Look) -> None:
        def answer(content: Any) -> None:
            self._send(ev.Send((action.peer,), Answer(action.id), (pack(content),)))

        def refuse(error: Exception) -> None:
            info = ErrorInfo(type(error).__name__, str(error))
            self._send(ev.Send((action.peer,), Refused(action.id, info)))

        try:
            if action.what in self.jobs.verbs:
                answer(self.jobs.verbs[action.what](action.arguments))
            elif action.what == "deeds":
                self._look_for_deeds(str(action.arguments.get("run")), answer, refuse)
            else:
                self.ledger.look(action.what, action.arguments, answer, refuse)
        except (SteerError, KeyError, TypeError, ValueError) as error:
            refuse(error)

    def _look_for_deeds(
        self,
        run: str,
        answer: Callable[[Any], None],
        refuse: Callable[[Exception], None],
    ) -> None:
        soon = self.loop.call_soon
        self.steering.log.read(
            run,
            lambda content: soon(lambda: answer({"deeds": content})),
            lambda error: soon(lambda: refuse(error)),
        )
