"""A client's connection to its hub: one I/O thread that receives, and sending from any
thread.

Requests leave from the caller's own thread, on a socket of their own under a lock:
handing them to the I/O thread first would cost a wake-up, a tenth of the whole way.
Answers come to the I/O thread, which hands them to the request's `Sink`.

When the hub is gone, nothing is lost: requests stay, and are sent again when it is back
(`steer start --restore`). But nobody waits in the dark: after TROUBLE_AFTER seconds
`trouble` holds a HubUnreachable, everybody who waits is woken and raises it, and may
wait again later.
"""

from __future__ import annotations

import functools
import operator
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import zmq

from steer import shm, sockets
from steer.client.prompts import Prompts
from steer.client.undisturbed import Undisturbed
from steer.config import Connection
from steer.core.client import ClientCore, Pending, Sink, split_parts
from steer.errors import (
    HubUnreachable,
    NoEnginesRegistered,
    ProtocolError,
    SteerError,
    from_wire,
)
from steer.eventloop import Loop, Timer
from steer.hosts import kernel
from steer.node.processes import start_time
from steer.ranks import RankSet
from steer.wire.frames import decode, encode, pack, unpack
from steer.wire.messages import (
    VERSION,
    Abort,
    Answer,
    Ask,
    Begun,
    Goodbye,
    Hello,
    Insight,
    Joined,
    Kind,
    Left,
    Message,
    News,
    Notice,
    Outcomes,
    Outputs,
    Part,
    RankOutcomes,
    Refused,
    Release,
    Replies,
    Sample,
    Shutdown,
    Signal,
    Store,
    Typed,
    Uncancelled,
    Welcome,
    WhoAreYou,
    Window,
)
from steer.wire.peers import peer_name

if TYPE_CHECKING:
    from steer.client.steering import Steering
    from steer.client.tasks import Tasks

TROUBLE_AFTER = 2.0
"""Seconds without a hub after which waiting calls say so. A restart may take as
long."""

ALONE_AFTER = 10.0
"""Seconds without any engine after which those who wait for tasks hear so. Others may
be on their way meanwhile."""

ASK_TIMEOUT = 10.0

ONCE = frozenset({"start", "signal_job", "unstick"})
"""What is not asked again: a hub that went away may have done it already."""


class Question(NamedTuple):
    """What the hub was asked, until it answers."""

    future: Future[Any]
    message: Message
    frames: Sequence[bytes]

    @property
    def repeatable(self) -> bool:
        """Whether asking again does no harm."""
        message = self.message
        return not isinstance(message, Signal) and not (
            isinstance(message, Ask) and message.what in ONCE
        )


class Link:
    """The connection of one client."""

    def __init__(self, connection: Connection, timeout: float = ASK_TIMEOUT) -> None:
        self.connection = connection
        self.client = uuid.uuid4().hex[:8]
        self.core = ClientCore(self.client)
        self.trouble: SteerError | None = None
        self.shares = False
        self.welcome: Future[Welcome] = Future()
        self._bundle = 0
        self.changed = threading.Condition()
        """Notified when engines join or leave, the hub says something, or is gone."""
        self.notices: list[tuple[str, dict[str, Any]]] = []
        self.gone: dict[int, str] = {}
        """Why engines left."""
        self.listeners: list[Callable[[str, dict[str, Any]], None]] = []
        self.prompts = Prompts(self._send_typed)
        self._tasks: Tasks | None = None
        self._steering: Steering | None = None
        self._window: Window | None = None
        self._left_alone = 0.0
        """When the last engine left."""
        self._lock = threading.Lock()
        self._questions: dict[str, Question] = {}
        self._shelf = shm.Shelf()
        self._probe = self._shelf.probe()
        self._context: zmq.Context[Any] = zmq.Context()
        url, keys = connection.endpoint()
        self._where = (url, keys)
        self._out = sockets.dealer(
            self._context, peer_name("out", self.client), url, keys
        )
        self._out_monitor = sockets.monitor(self._out)
        self._out.connect(url)
        self._links: set[str] = set()
        self._loop = Loop()
        self._cut_timer: Timer | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="steer-client-io")
        self._thread.daemon = True  # a program that forgets to close must still end
        self._thread.start()
        self._wait(self.welcome, timeout)

    # -- sending, from any thread

    def submit(
        self,
        kind: Kind,
        targets: Iterable[int],
        frames: Sequence[Any],
        sink: Sink,
        *,
        silent: bool = True,
        store_history: bool = False,
        label: str = "",
        name: str = "",
        joint: bool = False,
    ) -> Pending:
        """Send a request; its answers go to the sink, perhaps before this returns."""
        self._check_open()
        store, rest = self._shelf.put(frames) if self.shares else (None, list(frames))
        with Undisturbed(), self._lock:
            pending = self.core.submit(
                kind, targets, rest, sink,
                submitted=time.time(), silent=silent, store_history=store_history,
                label=label, name=name, store=store, joint=joint,
            )  # fmt: skip
            sockets.send(self._out, [encode(pending.submit), *rest])
        return pending

    def ask(self, what: str, **arguments: Any) -> Future[Any]:
        """Ask the hub; the future gives what msgpack makes of the answer."""
        return self.question(lambda id: Ask(id, what), pack(arguments))

    def abort(self, ids: Sequence[str], targets: str) -> None:
        """Ask for requests not to be started; they then fail as TaskAborted."""
        self._send(Abort(tuple(ids), targets))

    def signal(self, signum: int, targets: str, about: str = "") -> Future[Any]:
        """Send a signal to engines' processes; to those that run a request, if one is
        named."""
        return self.question(lambda id: Signal(id, targets, signum, about))

    def shutdown(self, targets: str, *, hub: bool) -> Future[Any]:
        """End engines, or the whole cluster."""
        return self.question(lambda id: Shutdown(id, targets, hub))

    def wait(self, future: Future[Any], timeout: float | None = ASK_TIMEOUT) -> Any:
        """The result of a question, or why it does not come."""
        return self._wait(future, timeout)

    def new_id(self) -> str:
        """An id for a request."""
        with self._lock:
            return self.core.new_id()

    def question(self, make: Callable[[str], Message], *frames: bytes) -> Future[Any]:
        """Send a question with an id of its own; the future gives its Answer."""
        self._check_open()
        future: Future[Any] = Future()
        with Undisturbed(), self._lock:
            question = self.core.new_id()
            message = make(question)
            self._questions[question] = Question(future, message, frames)
            sockets.send(self._out, [encode(message), *frames])
        if self.trouble is not None:
            self._fail_questions(self.trouble)
        return future

    def _send(self, message: Message, *frames: Any) -> None:
        self._check_open()
        with Undisturbed(), self._lock:
            sockets.send(self._out, [encode(message), *frames])

    def _send_typed(self, message: Typed, text: bytes) -> None:
        """Send what a person typed; in the I/O thread too, which must not fail."""
        with Undisturbed(), self._lock:
            if not self._closed:
                sockets.send(self._out, [encode(message), text])

    def _check_open(self) -> None:
        if self._closed:
            raise HubUnreachable("This client is closed; make a new one.")

    def _wait(self, future: Future[Any], timeout: float | None) -> Any:
        try:
            return future.result(timeout)
        except TimeoutError:
            if future.done():
                raise
            raise HubUnreachable(
                self._explain(f"did not answer in {timeout:g} s")
            ) from None

    # -- tasks

    @property
    def tasks(self) -> Tasks:
        """What becomes of tasks; made when the first is wanted."""
        from steer.client.tasks import Tasks

        with self._lock:
            if self._tasks is None:
                self._tasks = Tasks(self)
                self._loop.call_soon(self._begin_tasks)
            return self._tasks

    def _begin_tasks(self) -> None:
        assert self._tasks is not None
        if self.welcome.done():
            self._tasks.welcome(self.connection.hub_pid, self._bundle)
        if self._window is not None:
            self._tasks.heard(self._window, [])

    # -- steering

    @property
    def steering(self) -> Steering:
        """What is asked of runs, and what is heard of them."""
        from steer.client.steering import Steering

        with self._lock:
            if self._steering is None:
                self._steering = Steering(self)
            return self._steering

    def steer(self, run: str, verb: str, /, **arguments: Any) -> Future[News]:
        """Have something done to a run; the future gives the news that answers."""
        self._check_open()
        return self.steering.steer(run, verb, **arguments)

    def send_out(self, message: Message, frames: Sequence[Any] = ()) -> None:
        """Send on the socket of requests, in order, from any thread."""
        with Undisturbed(), self._lock:
            if not self._closed:
                sockets.send(self._out, [encode(message), *frames])

    @property
    def alone(self) -> SteerError | None:
        """Why tasks will hardly come to run: all engines have been gone for a while."""
        if self.core.engines or not self.gone:
            return None
        if time.monotonic() - self._left_alone < ALONE_AFTER:
            return None
        why = list(self.gone.values())[-1]
        return NoEnginesRegistered(
            f"No engine is left: {why} What waits goes on when others come, with "
            "`steer engines` or `cluster.start_engines()`."
        )

    def _wake_tasks(self) -> None:
        if self._tasks is not None:
            self._tasks.wake()

    def call_soon(self, job: Callable[[], object]) -> None:
        """Do it in the I/O thread."""
        self._loop.call_soon(job)

    def call_later(self, seconds: float, job: Callable[[], object]) -> None:
        """Do it after some seconds; in the I/O thread."""
        self._loop.call_later(seconds, job)

    def has(self, request: str) -> bool:
        """Whether some ranks owe the answer to a request."""
        with self._lock:
            return request in self.core.pending

    def share(self, frames: Sequence[Any]) -> tuple[Store | None, list[Any]]:
        """Put large frames where other processes of this host find them."""
        return self._shelf.put(frames) if self.shares else (None, list(frames))

    def unshare(self, store: Store | None) -> None:
        """Nobody needs these any more."""
        self._shelf.drop(store)

    # -- the end

    def close(self) -> None:
        """Leave; what is under way goes on without us."""
        if self._closed:
            return
        if self._tasks is not None:
            self._tasks.tell_taken()
        self._send(Goodbye(self.client))
        self._closed = True
        if self._cut_timer is not None:  # nobody is there to take our last words
            self._out.linger = 0
        self._loop.call_soon(self._loop.stop)
        self._thread.join(5.0)
        with self._lock:
            sockets.unmonitor(self._out, self._out_monitor)
            self._out.close()
            for pending in self.core.pending.values():
                self._shelf.drop(pending.submit.store)
        os.close(self._probe)
        self._context.term()
        self.trouble = closed = HubUnreachable("This client was closed.")
        self._fail_questions(closed)
        if self._steering is not None:
            self._steering.trouble(closed)
        if self._tasks is not None:
            self._tasks.close(closed)

    # -- the I/O thread

    def _run(self) -> None:
        sock = self._in = sockets.dealer(
            self._context, peer_name("in", self.client), *self._where
        )
        monitors = {"in": sockets.monitor(sock), "out": self._out_monitor}
        for name, monitor in monitors.items():
            sockets.watch_link(
                self._loop,
                monitor,
                functools.partial(self._on_link, name),
                functools.partial(self._on_cut, name),
            )
        self._loop.add_reader(
            sock, lambda: sockets.receive_all(sock, self._heard_frames)
        )
        self._on_cut("in")  # until it is linked, it is cut off
        sock.connect(self._where[0])
        try:
            self._loop.run()
        except BaseException as error:  # a bug of ours: nobody may wait for ever
            failed = HubUnreachable(f"The client's I/O thread failed: {error!r}")
            self._troubled(failed)
            if self._tasks is not None:
                self._tasks.close(failed)
            raise
        finally:
            sockets.unmonitor(sock, monitors["in"])
            sock.close()
            self._loop.close()

    def _heard_frames(self, frames: list[Any]) -> None:
        try:
            message = decode(frames[0])
        except ProtocolError:
            return  # news of a newer hub, for which we have no use
        self._heard(message, frames[1:])

    def _heard(self, message: Message, frames: list[Any]) -> None:
        match message:
            case Replies():
                self._on_replies(message, frames)
            case Outputs():
                with self._lock:
                    pieces = self.core.outputs(message, frames)
                for pending, piece, frame in pieces:
                    pending.sink.output(piece, frame)
                if self._tasks is not None:
                    self._tasks.printed(message, frames)
            case Answer():
                self._resolve(message.id, unpack(frames[0]) if frames else None)
            case Refused():
                self._on_refused(message)
            case Joined():
                self.core.joined(message.engines)
                self._notify()
            case Left():
                self.core.left(message)
                self.gone.update(zip(message.engines, message.why, strict=True))
                self._notify()
                if not self.core.engines:
                    self._left_alone = time.monotonic()
                    self._loop.call_later(ALONE_AFTER, self._wake_tasks)
                self._wake_tasks()
            case Insight():
                with self._lock:
                    silent = self.core.pending.get(message.id)
                if silent is not None:
                    silent.sink.insight(message, unpack(frames[0]))
            case News() | Sample():
                if self._steering is not None:
                    self._steering.heard(message, frames)
            case Notice():
                self._on_notice(message.what, unpack(frames[0]))
            case Outcomes() | RankOutcomes() | Begun() | Uncancelled():
                if self._tasks is not None:
                    self._tasks.heard(message, frames)
            case Window():
                self._window = message
                if self._tasks is not None:
                    self._tasks.heard(message, frames)
            case WhoAreYou():
                self._introduce()
            case Welcome():
                self._on_welcome(message)
            case _:
                pass

    def _on_replies(self, message: Replies, frames: list[Any]) -> None:
        taken = [
            (part, whole)
            for part, its in split_parts(message, frames)
            if (whole := _take(part, its)) is not None
        ]
        message = msgspec.structs.replace(message, parts=tuple(p for p, _ in taken))
        with self._lock:
            pending, news = self.core.replies(message, [f for _, w in taken for f in w])
        if pending is not None:
            for part, whole in news:
                pending.sink.part(part, whole)
            if news and not pending.missing:
                self._shelf.drop(pending.submit.store)
                pending.sink.done()
        self._release(message)

    def _release(self, message: Replies) -> None:
        """Say what need not lie in shared memory for us any more."""
        lent = [RankSet.parse(part.ranks) for part in message.parts if part.store]
        if lent:
            ranks = functools.reduce(operator.or_, lent)
            self._in_send(Release(message.id, str(ranks)))

    def _on_refused(self, message: Refused) -> None:
        with self._lock:
            pending = self.core.refused(message.id)
        if pending is not None:
            self._shelf.drop(pending.submit.store)
            pending.sink.refused(message.error)
            return
        asked = self._questions.pop(message.id, None)
        error = from_wire(message.error)
        if asked is not None:
            asked.future.set_exception(error)
        elif self._steering is not None and self._steering.refused(message.id, error):
            pass
        elif not self.welcome.done():  # another version of Steer, for example
            self.welcome.set_exception(from_wire(message.error))

    def _resolve(self, question: str, content: Any) -> None:
        asked = self._questions.pop(question, None)
        if asked is not None:
            asked.future.set_result(content)

    def _on_notice(self, what: str, content: dict[str, Any]) -> None:
        self.notices.append((what, content))
        for listener in list(self.listeners):
            listener(what, content)
        self._notify()

    def _notify(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def _in_send(self, message: Message, frames: Sequence[Any] = ()) -> None:
        sockets.send(self._in, [encode(message), *frames])

    def _introduce(self) -> None:
        pid = os.getpid()
        with self._lock:
            sent, again = self.core.sent, self.core.again()
            asked = [q for q in self._questions.values() if q.repeatable]
        began = start_time(pid) or 0
        self._in_send(
            Hello(VERSION, self.client, pid, began, kernel(), self._probe, sent)
        )
        for submit, frames in again:
            self._in_send(submit, frames)
        for question in asked:
            self._in_send(question.message, question.frames)
        for steered in self._steering.again() if self._steering is not None else ():
            self._in_send(steered)

    def _on_welcome(self, message: Welcome) -> None:
        self.connection = self.connection.replace(hub_pid=message.pid)
        self._bundle = message.bundle
        self.shares = message.shares and shm.can_open(message.pid, message.probe)
        self.core.engines = {}
        self.core.joined(message.engines)
        if not self.welcome.done():
            self.welcome.set_result(message)
        self.trouble = None
        if self._tasks is not None:
            self._tasks.welcome(message.pid, message.bundle)
        self._notify()

    # -- the hub comes and goes

    def _on_link(self, name: str) -> None:
        """Introduce us: what was on either way when it was cut may be lost."""
        self._links.add(name)
        if len(self._links) == 2:
            self._stop_timer()
            self._introduce()

    def _stop_timer(self) -> None:
        if self._cut_timer is not None:
            self._cut_timer.cancel()
            self._cut_timer = None

    def _on_cut(self, name: str) -> None:
        self._links.discard(name)
        self._stop_timer()
        self._cut_timer = self._loop.call_later(TROUBLE_AFTER, self._lost)

    def _lost(self) -> None:
        self._troubled(HubUnreachable(self._explain("is gone or cannot be reached")))

    def _explain(self, what: str) -> str:
        connection = self.connection
        return (
            f"The hub of cluster {connection.cluster_id or 'default'!r} (process "
            f"{connection.hub_pid} on {connection.host}) {what}. "
            "Engines and results are kept: `steer start --restore` brings it back."
        )

    def _troubled(self, error: SteerError) -> None:
        self.trouble = error
        self._fail_questions(error)
        if self._steering is not None:
            self._steering.trouble(error)
        if not self.welcome.done():
            self.welcome.set_exception(error)
        with self._lock:
            waiting = list(self.core.pending.values())
        for pending in waiting:
            pending.sink.notify()
        if self._tasks is not None:
            self._tasks.wake()
        self._notify()

    def _fail_questions(self, error: SteerError) -> None:
        while self._questions:
            _, asked = self._questions.popitem()
            if not asked.future.done():
                asked.future.set_exception(error)


def _take(part: Part, frames: list[Any]) -> list[Any] | None:
    """The frames of an answer; None if its hub is gone: the next one gives it again."""
    try:
        return shm.take(part.store, frames)
    except FileNotFoundError:
        return None
