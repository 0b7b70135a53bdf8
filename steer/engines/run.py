"""The engine's main thread: take a request, run it, answer, wait for the next.

Only this thread runs user code and calls MPI. It waits on its own socket, *work*, so
that a request wakes it directly. Its answer leaves by the same socket, except after
output: then it goes through the I/O thread, behind what was printed.

IPython is imported by the first cell that needs it (magics, results, displays), not
before: plain statements do without, and it is a quarter of an idle rank's memory.
"""

from __future__ import annotations

import collections
import contextlib
import importlib
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, NamedTuple

import zmq

from steer import shm, sockets
from steer.core.engine import Verdict
from steer.engines import frontend, here, nested
from steer.engines.eyes import Eyes, Failure, failure_of
from steer.engines.io import Wire
from steer.engines.namespace import Namespace
from steer.engines.output import Capture
from steer.engines.progress import Bars, Page
from steer.engines.shell import Shell
from steer.engines.taskrun import TaskRunner
from steer.engines.tracebacks import format_error
from steer.errors import ProtocolError
from steer.reference import Reference, resolve
from steer.wire import payload
from steer.wire.frames import decode, encode, pack, unpack
from steer.wire.messages import (
    ErrorInfo,
    Message,
    Output,
    Quit,
    Result,
    Status,
    Stream,
    Submit,
)

_SIGINT = int(signal.SIGINT)
# signal.getsignal makes enums of what goes in and comes out: 3 us, after each task.
_handler_of: Callable[[int], Any] = importlib.import_module("_signal").getsignal


class Outer(NamedTuple):
    """What belongs to code that waits while other code runs on top of it."""

    request: str
    page: Page
    spoke: bool


class Runner:
    """What runs requests."""

    def __init__(
        self,
        work: zmq.Socket[bytes],
        wire: Wire,
        capture: Capture,
        namespace: Namespace,
    ) -> None:
        self.wire = wire
        self.core = wire.core
        self.capture = capture
        self.namespace = namespace
        self.request = ""
        self.started = 0.0
        """When what runs began (since 1970)."""
        self.ended = time.monotonic()
        """When something ended last."""
        self.failure: Failure | None = None
        """How the last request failed, if it did."""
        self.failed_before: Failure | None = None
        """How the one before it did."""
        self.mourned: tuple[Failure, BaseException] | None = None
        """The last failure with its frames, for who wants to look into them; of a cell,
        until another has gone well."""
        self._programs: tuple[Failure, BaseException] | None = None
        """What has ended the program, which is kept."""
        self.forked = False
        """Whether this is a child of the engine, which is not another engine."""
        self._sock = work
        self._shell = Shell(namespace, self._on_display)
        self._interruptible = self._interrupted = self._asked = False
        self._begun = self._interrupted_early = False
        self._spoke = False
        self._kinds: dict[str, Callable[[Submit, list[Any]], list[Any]]] = {
            "apply": self._apply,
            "push": self._push,
            "pull": self._pull,
            "clear": self._clear,
            "complete": self._complete,
            "inspect": self._inspect,
        }
        self.prompts = wire.prompts
        self.prompts.install(lambda body: self._speak(Stream.PROMPT, body))
        self.bars = Bars(wire.loop, wire.tell)
        self.desk = wire.desk
        self.tasks = TaskRunner(self, wire.desk)
        nested.current = nested.Nesting(self)
        self.eyes = wire.eyes = Eyes(self)
        self._submits: collections.deque[tuple[Submit, list[Any]]] = collections.deque()
        self._poller = zmq.Poller()
        self._poller.register(work, zmq.POLLIN)
        self._poller.register(self.desk.bell, zmq.POLLIN)
        self._over = False
        os.register_at_fork(after_in_child=self._in_child)
        self._handler = self._on_sigint
        signal.signal(signal.SIGINT, self._handler)
        self.eyes.install()

    # -- waiting

    def run(self) -> None:
        """Run requests and tasks until told to quit."""
        while not self.quits():
            if self._submits:
                self._take(*self._submits.popleft())
            elif self.tasks.run_some() or not self.desk.nothing_to_do():
                self._receive()
            else:
                self.pause()

    def quits(self) -> bool:
        """Whether this engine is to end."""
        return self._over or self.wire.quitting.is_set()

    def pause(self, seconds: float | None = None) -> None:
        """Wait until something comes, or the bell rings."""
        self._poller.poll(None if seconds is None else math.ceil(seconds * 1000))
        self.desk.awake()
        self._receive()

    def is_asked(self) -> bool:
        """Whether there is something to run."""
        return bool(self._submits)

    def run_asked(self, most: int = 1_000_000) -> None:
        """Run the requests that have come: while a program holds at a point."""
        programs = _handler_of(_SIGINT)
        if programs is not None:  # a library in C has its own, which cannot be put back
            signal.signal(signal.SIGINT, self._handler)
        self._shell.surroundings.for_cells()
        try:
            while self._submits and most > 0 and not self.quits():
                self._take(*self._submits.popleft())
                most -= 1
        finally:
            if self.wire.occupied:
                self._shell.surroundings.for_program()
            now = _handler_of(_SIGINT)
            ours = now is self._handler or _is_debuggers(now)
            if programs is not None and ours:  # else a cell has set it, for the program
                signal.signal(signal.SIGINT, programs)
        self.request = ""
        self.capture.begin("")  # what is printed now is the program's

    @contextlib.contextmanager
    def program(self) -> Iterator[None]:
        """The user's own program runs meanwhile: interrupts are its own, but for those
        that clients send, which are for what clients ask."""
        self.wire.occupied = self.namespace.in_use = True
        self.started = time.time()
        self._shell.surroundings.for_program()
        self.wire.loop.call_soon(self.eyes.attend)
        try:
            with self._user_code(asked=False):
                yield
        finally:
            self.wire.occupied = self.namespace.in_use = False
            self.ended = time.monotonic()
            self._shell.surroundings.for_cells()

    def _receive(self) -> None:
        """Take all that has come: copies of a task are told from each other here."""
        while not self._over:
            try:
                frames = sockets.receive(self._sock, zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = decode(frames[0])
            except ProtocolError:
                continue  # see Wire._heard
            if isinstance(message, Quit):
                self._over = True
            elif isinstance(message, Submit):
                self._submits.append((message, frames[1:]))
            else:
                self.desk.heard(message, frames[1:])

    def reply(self, message: Message, frames: Sequence[Any] = ()) -> None:
        """Send by the socket that woke us."""
        sockets.send(self._sock, [encode(message), *frames])

    def close(self, monitor: zmq.Socket[Any]) -> None:
        """Close the work socket and its monitor, which the wire has read."""
        sockets.unmonitor(self._sock, monitor)
        self._sock.close()

    def _in_child(self) -> None:
        """After a fork there is no I/O thread: nobody hears what is asked and told."""
        here.current = None
        self.forked = True
        self.prompts.end()

    def _on_sigint(self, signum: int, frame: FrameType | None) -> None:
        """Interrupt user code, and only that: our own steps are never cut in half.

        Again too, if the user's code has caught the first one and goes on. One that
        comes before a request's code has begun is raised when it begins.
        """
        if self.tasks.on_sigint(frame):
            return
        by_client, self.wire.by_client = self.wire.by_client, False
        if self.core.running is not None and not self._begun:
            self._interrupted_early = True
            return
        if by_client and not self._asked:
            return
        if self._interruptible and (not self._interrupted or self._is_users(frame)):
            self._interrupted = True
            raise KeyboardInterrupt

    def was_interrupted(self) -> None:
        """User code has been interrupted by another way."""
        self._interrupted = True

    def take_interrupts(self) -> None:
        """Have interrupts again, whatever the code that ran has done to them."""
        if _handler_of(_SIGINT) is not self._handler:
            signal.signal(signal.SIGINT, self._handler)

    def _is_users(self, frame: FrameType | None) -> bool:
        """Whether a cell is on the stack, rather than our description of its error."""
        while frame is not None and frame.f_code is not Runner._run.__code__:
            if frame.f_globals is self.namespace.variables:
                return True
            frame = frame.f_back
        return False

    @contextlib.contextmanager
    def _user_code(self, asked: bool = True) -> Iterator[None]:
        outer = self._interruptible, self._asked  # a program that holds meanwhile
        self._interruptible, self._asked, self._interrupted = True, asked, False
        self._begun = True
        try:
            if self._interrupted_early:
                self._interrupted = True
                raise KeyboardInterrupt
            yield
        finally:
            self._interruptible, self._asked = outer
            self._interrupted = False

    # -- one request

    def _take(self, submit: Submit, frames: list[Any]) -> None:
        with self.wire.lock:
            verdict = self.core.submit(submit.id)
            held = self.core.held.get(submit.id)
        match verdict:
            case Verdict.RUN:
                self._run(submit, frames)
            case Verdict.ABORT:
                error = ErrorInfo("TaskAborted", "Task aborted before it started.")
                now = time.time()
                result = Result(submit.id, "aborted", now, now)
                self._answer(result, [pack(error)])
            case Verdict.SEND_AGAIN:
                assert held is not None
                self._send(*held)
            case Verdict.IGNORE:
                pass

    def _run(self, submit: Submit, frames: list[Any]) -> None:
        outer, self._begun = self._begun, False
        self.begin(submit.id)
        since = self.started  # of what runs meanwhile: this may be inside of it
        started = self.started = time.time()
        self.failed_before, self.failure = self.failure, None
        status: Status = "ok"
        count = 0
        reply: list[Any]
        try:
            if submit.kind == "execute":
                status, count, reply = self._execute(submit, frames)
            else:
                whole = shm.take(submit.store, frames)
                reply = self._kinds[submit.kind](submit, whole)
        except BaseException as error:  # noqa: BLE001  whatever user code raises
            status, reply = "error", [pack(self.describe(error))]
        if status == "ok" and submit.kind in ("execute", "apply"):
            self.mourned = self._programs  # and let go of what a cell's frames held
        self.namespace.settle()
        completed = time.time()
        self.started = since
        self.ended = time.monotonic()
        self.finish()
        store, reply = self._share(reply)
        result = Result(submit.id, status, started, completed, count, store)
        self._answer(result, reply)
        self._begun, self._interrupted_early = outer, False

    def begin(self, request: str) -> None:
        """What is printed and asked from now on belongs to this request."""
        self.request = request
        self._spoke = False
        self.capture.begin(request)
        self.prompts.begin(request)
        self.bars.begin(request)

    def finish(self) -> bool:
        """The request is over; says whether output of it is on its way."""
        self.prompts.end()
        self._say_rest(self.request)
        return self._spoke or self.capture.spoke

    def follow(self, request: str) -> None:
        """Begin one of many short requests; `finish` or `pass_over` ends it."""
        self.request = request
        self._spoke = False
        self.capture.follow(request)
        self.prompts.begin(request)
        self.bars.begin(request)

    def may_pass_over(self) -> bool:
        """Whether a short request has no output, as far as is known without asking the
        kernel."""
        silent = not (self._spoke or self.capture.waiting or self.capture.spoke)
        return silent and not self.bars.used

    def suspend(self) -> Outer:
        """What runs waits for others, whose output and questions are their own."""
        page = self.bars.lay_aside()
        return Outer(self.request, page, self.finish())

    def resume(self, outer: Outer) -> None:
        """What was suspended goes on."""
        self.begin(outer.request)
        self.bars.take_up(outer.page)
        self._spoke = outer.spoke

    def _share(self, reply: list[Any]) -> tuple[Any, list[Any]]:
        return self.wire.shelf.put(reply) if self.wire.shares else (None, reply)

    def _say_rest(self, request_id: str) -> None:
        """Post what was printed and not sent yet, so that the answer comes behind
        it."""
        self._spoke |= self.bars.used
        for name, text in self.capture.end():
            self._spoke = True
            output = Output(request_id, Stream(name))
            self.wire.post(output, (text.encode(),))
        for body in self.bars.end():
            self.wire.post(Output(request_id, Stream.PROGRESS), (body,))

    def _answer(self, result: Result, frames: Sequence[Any]) -> None:
        with self.wire.lock:
            self.core.done(result, frames)
        self._send(result, frames)

    def _send(self, result: Result, frames: Sequence[Any]) -> None:
        if self._spoke or self.capture.spoke:
            self.wire.post(result, frames)
        else:
            self.reply(result, frames)

    # -- kinds of requests

    def _execute(
        self, submit: Submit, frames: list[Any]
    ) -> tuple[Status, int, list[Any]]:
        code = bytes(frames[0]).decode()
        with self._user_code():
            outcome = self._shell.run(
                code, silent=submit.silent, store_history=submit.store_history
            )
        count = outcome.execution_count
        if outcome.error is not None:
            return "error", count, [pack(self._info(outcome.error))]
        data = outcome.result_data
        return "ok", count, [pack(data) if data is not None else b""]

    def _apply(self, submit: Submit, frames: list[Any]) -> list[Any]:
        function, args, kwargs = payload.loads(frames)
        evaluate = self.namespace.evaluate
        if isinstance(function, Reference):
            function = evaluate(function.name)
        function = self.namespace.bind(function)
        args = resolve(args, evaluate)
        kwargs = resolve(kwargs, evaluate)
        with self._user_code():
            value = function(*args, **kwargs)
        return payload.dumps_result(value, submit.name)

    def _push(self, submit: Submit, frames: list[Any]) -> list[Any]:
        values = payload.loads(frames)
        self.namespace.push(resolve(values, self.namespace.evaluate))
        return [b""]

    def _pull(self, submit: Submit, frames: list[Any]) -> list[Any]:
        names = payload.loads(frames)
        with self._user_code():
            value = self.namespace.pull(names)
        return payload.dumps_result(value, str(names))

    def _clear(self, submit: Submit, frames: list[Any]) -> list[Any]:
        self.namespace.clear()
        return [b""]

    def _complete(self, submit: Submit, frames: list[Any]) -> list[Any]:
        with self._user_code():
            return [pack(frontend.complete(self._shell.warm(), *unpack(frames[0])))]

    def _inspect(self, submit: Submit, frames: list[Any]) -> list[Any]:
        with self._user_code():
            return [pack(frontend.inspect(self._shell.warm(), *unpack(frames[0])))]

    # -- errors and displays

    def describe(self, error: BaseException) -> ErrorInfo:
        """An exception, as it travels."""
        return self._info(format_error(error), error)

    def _info(self, error: Any, raised: BaseException | None = None) -> ErrorInfo:
        raised = raised if raised is not None else error.exception
        self._keep(raised)
        return ErrorInfo(
            error.ename,
            _encodable(error.evalue),
            tuple(map(_encodable, error.traceback)),
            payload.dumps_error(raised),
        )

    def mourn(self, error: BaseException) -> None:
        """Keep the error that ended the program, for who wants to look into it."""
        self._keep(error)
        self._programs = self.mourned

    def _keep(self, error: BaseException) -> None:
        self.failure = failure_of(error, time.time())
        self.mourned = self.failure, error

    def _on_display(
        self,
        kind: str,
        data: dict[str, Any],
        metadata: dict[str, Any],
        transient: dict[str, Any],
        update: bool,
    ) -> None:
        """Send a display.

        `clear_output` would clear what other ranks have printed: nothing is sent, which
        also keeps an empty output from being shown.
        """
        if kind == "clear_output":
            return
        self._speak(Stream.DISPLAY, pack((data, metadata, transient, update)))

    def _speak(self, stream: Stream, body: bytes) -> None:
        """Send something behind the text printed before it."""
        for name, text in self.capture.drain():
            self.wire.post(Output(self.request, Stream(name)), (text.encode(),))
        self._spoke = True
        self.wire.post(Output(self.request, stream), (body,))

    def publish(self, values: dict[str, Any]) -> None:
        """Send data for the request that runs, to become `AsyncResult.data`."""
        self._spoke = True
        body = b"".join(payload.dumps(values, payload.pickle_whole))
        self.wire.post(Output(self.request, Stream.DATA), (body,))


def _is_debuggers(handler: Any) -> bool:
    """Whether pdb has left it there, as it does at `continue`."""
    bdb = sys.modules.get("bdb")
    owner = getattr(handler, "__self__", None)
    return bdb is not None and isinstance(owner, bdb.Bdb)


def _encodable(text: str) -> str:
    """The text as it can travel: file names may hold halves of characters."""
    return text.encode(errors="backslashreplace").decode()
