"""The engine's I/O thread: the control socket, output, and answers while main is busy.

It never runs user code. Main and this thread share an `EngineCore` under one lock;
everything else that crosses between them goes through `Loop.call_soon`.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import zmq

from steer import shm, sockets
from steer.core.engine import EngineCore
from steer.core.taskoutput import SHOWN
from steer.engines.desk import Desk
from steer.engines.prompts import Prompts
from steer.errors import ProtocolError
from steer.eventloop import Loop, Timer
from steer.wire.frames import decode, encode
from steer.wire.messages import (
    Abort,
    Acknowledge,
    Begin,
    Enrolled,
    Glance,
    Inquire,
    Interrupt,
    LookAt,
    Message,
    Order,
    Output,
    Ping,
    PlanBody,
    PlanGone,
    Pong,
    Quit,
    Ready,
    Register,
    Stream,
    Typed,
    WhoAreYou,
)
from steer.wire.peers import peer_name

HUB_TIMEOUT = 3600.0
"""Seconds without a hub after which an engine ends; `steer start --restore` has as
long."""

INTERRUPTED_FOR = 0.5
"""Seconds that running code has to end after Quit interrupted it."""


class Listener(Protocol):
    """What there is besides, if the rank's program can be steered."""

    def heard(self, message: Message, frames: Sequence[Any]) -> None:
        """Plans come, and go."""

    def introduce(self) -> list[Message]:
        """What a hub has to know that knows this engine now."""


class Looker(Protocol):
    """Who answers questions about main."""

    def began(self) -> None:
        """The thread that answers has begun."""

    def heard(self, message: Glance) -> None:
        """The hub asks."""


class Wire:
    """The I/O thread and what it holds."""

    def __init__(
        self,
        context: zmq.Context[Any],
        url: str,
        keys: sockets.Keys | None,
        work: zmq.Socket[Any],
        register: Callable[[], Register],
        uuid: str,
        *,
        hub_timeout: float = HUB_TIMEOUT,
    ) -> None:
        self.core = EngineCore()
        self.lock = threading.Lock()
        self.loop = Loop()
        self.shelf = shm.Shelf()
        self.prompts = Prompts()
        self.desk = Desk(self)
        self._ready: Ready | None = None
        self._prints = ("", 0)
        """The task that printed last, and how much."""
        self.shares = False
        self.quitting = threading.Event()
        self.occupied = False
        """Whether main runs a program, beside what it is asked for."""
        self.by_client = False
        """Whether a client has sent the interrupt that is on its way."""
        self.steered: Listener | None = None
        self.eyes: Looker | None = None
        self._context = context
        self._work = work
        self._links: set[str] = set()
        self._place = (peer_name("control", uuid), url, keys)
        self._register = register
        self._hub_timeout = hub_timeout
        self._main = threading.main_thread().ident
        self._leave_timer: Timer | None = None
        self.thread = threading.Thread(target=self._run, name="steer-io")
        # A daemon: an engine that dies of an error in main must not hang on its wire.
        self.thread.daemon = True

    # -- for main

    def start(self) -> None:
        """Begin."""
        self.thread.start()

    def stop(self) -> None:
        """Send what is left and end the thread."""
        self.loop.call_soon(self.loop.stop)
        self.thread.join(2.0)

    def post(self, message: Message, frames: Sequence[Any] = ()) -> None:
        """Send from any thread, in order, through the control socket."""
        self.loop.call_soon(lambda: self.send(message, frames))

    def ready(self, message: Ready) -> None:
        """Say that MPI is up, as soon as the hub knows us; main goes on at once."""
        self.loop.call_soon(lambda: self._say_ready(message))

    def emit(self, request_id: str, name: str, text: str) -> None:
        """Send printed text; in the loop's thread."""
        if "/t" in request_id and not self._may_print(request_id, len(text)):
            return
        self.send(Output(request_id, Stream(name)), (text.encode(),))

    def _may_print(self, task: str, size: int) -> bool:
        """Whether the hub would hand this on: it stops after so much, and says so."""
        if task != self._prints[0]:
            self._prints = (task, 0)
        before = self._prints[1]
        self._prints = (task, before + size)
        return before <= SHOWN

    def tell(self, request_id: str, body: bytes) -> None:
        """Send how far a loop is; in the loop's thread."""
        self.send(Output(request_id, Stream.PROGRESS), (body,))

    def watch_parent(self, pid: int, on_end: Callable[[], None]) -> None:
        """Call when the process that started us ends; before `start`."""
        fd = os.pidfd_open(pid)
        self.loop.add_reader(fd, on_end)

    # -- in the thread

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
        if self.eyes is not None:
            self.eyes.began()
        self._sock = sockets.dealer(self._context, *self._place)
        monitors = {"control": sockets.monitor(self._sock), "work": self._work}
        for name, monitor in monitors.items():
            sockets.watch_link(
                self.loop,
                monitor,
                functools.partial(self._on_link, name),
                functools.partial(self._on_cut, name),
            )
        self.loop.add_reader(self._sock, self._readable)
        self._on_cut("control")
        self._sock.connect(self._place[1])
        try:
            self.loop.run()
        finally:
            sockets.unmonitor(self._sock, monitors["control"])
            self._sock.close()

    def send(self, message: Message, frames: Sequence[Any] = ()) -> None:
        """Send through the control socket; in the loop's thread."""
        sockets.send(self._sock, [encode(message), *frames])

    def _readable(self) -> None:
        sockets.receive_all(self._sock, self._heard)

    def _heard(self, frames: list[Any]) -> None:
        try:
            message = decode(frames[0])
        except ProtocolError:
            return  # the hub does not send garbage; a newer one may send news
        match message:
            case WhoAreYou():
                self._introduce()
            case Enrolled():
                self._on_enrolled(message)
            case Acknowledge():
                with self.lock:
                    dropped = self.core.acknowledge(message.ids)
                for result in dropped:
                    self.shelf.drop(result.store)
            case Abort():
                with self.lock:
                    self.core.abort(message.ids)
            case Interrupt():
                self._on_interrupt(message.signum)
            case Typed():
                self.prompts.typed(message, frames[1:])
            case Glance():
                if self.eyes is not None:
                    self.eyes.heard(message)
            case Ping():
                self.send(Pong())
            case Quit():
                self._quit()
            case PlanBody() | PlanGone() | Inquire() | Begin() | LookAt() | Order():
                if self.steered is not None:
                    self.steered.heard(message, frames[1:])
            case _:
                self.desk.heard(message, frames[1:])

    def _say_ready(self, message: Ready) -> None:
        """Before Enrolled the hub would not know whose word this is."""
        self._ready = message
        if self.core.engine >= 0:
            ready = msgspec.structs.replace(message, shares=self.shares)
            self.send(ready)

    def _on_enrolled(self, message: Enrolled) -> None:
        self.shares = shm.can_open(message.hub, message.probe)
        with self.lock:
            again = self.core.enrolled(message.engine, message.hub)
        for result, frames in again:
            self.send(result, frames)
        self.desk.send_again()
        for request, body in self.prompts.open():  # perhaps lost with a hub
            self.send(Output(request, Stream.PROMPT), (body,))
        if self._ready is not None:
            self._say_ready(self._ready)
        for told in self.steered.introduce() if self.steered is not None else ():
            self.send(told)

    def interrupt(self, signum: int) -> None:
        """Raise a signal in the main thread."""
        assert self._main is not None
        signal.pthread_kill(self._main, signum)

    def _on_interrupt(self, signum: int) -> None:
        """A client interrupts what clients have asked for; not a program."""
        if signum == signal.SIGINT:
            if self.occupied and not self._is_busy():
                return
            self.by_client = True
        self.interrupt(signum)

    def _is_busy(self) -> bool:
        with self.lock:
            return bool(self.core.running or self.desk.core.running)

    def _quit(self) -> None:
        self.quitting.set()
        if self._is_busy() or self.occupied:
            self.interrupt(signal.SIGINT)
            self.loop.call_later(INTERRUPTED_FOR, lambda: os._exit(0))

    # -- the hub comes and goes

    def _on_link(self, name: str) -> None:
        """Introduce us, as soon as the hub can reach both of our sockets."""
        self._links.add(name)
        if len(self._links) == 2:
            self._stop_timer()
            self._introduce()

    def _introduce(self) -> None:
        self.desk.introduce(self._register())

    def _on_cut(self, name: str) -> None:
        self._links.discard(name)
        self._stop_timer()
        self._leave_timer = self.loop.call_later(self._hub_timeout, self._abandoned)

    def _stop_timer(self) -> None:
        if self._leave_timer is not None:
            self._leave_timer.cancel()

    def _abandoned(self) -> None:
        """The hub did not come back: nobody will ever ask for this rank again."""
        if not self.occupied:  # a program needs no hub to come to its end
            os._exit(75)
        self._leave_timer = self.loop.call_later(self._hub_timeout, self._abandoned)
