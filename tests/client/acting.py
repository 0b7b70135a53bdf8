"""A link with engines behind it, all in this process, speaking the real messages.

Every request is encoded and decoded, runs in a dictionary per engine, and is answered
through the real `ClientCore` in a thread of the link's own. A test can hold answers
back, let them go one by one, cut the connection, and let engines die.
"""

from __future__ import annotations

import contextlib
import functools
import io
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from steer.client.client import Client
from steer.client.prompts import Prompts
from steer.config import Connection
from steer.core.client import ClientCore, Pending, Sink
from steer.errors import CompositeError, HubUnreachable, ProtocolError
from steer.ranks import RankSet
from steer.reference import Reference, resolve
from steer.wire import payload
from steer.wire.frames import decode, encode, pack, unpack
from steer.wire.messages import (
    EngineInfo,
    ErrorInfo,
    Left,
    Outputs,
    Part,
    Piece,
    Replies,
    Stream,
    Submit,
    Typed,
)

Outcome = tuple[str, int, list[Any]]
"""Status, execution count, frames."""


class ActingLink:
    """What `Client` needs of a `Link`."""

    def __init__(self, n: int = 4) -> None:
        self.connection = Connection(cluster_id="acting", host="here", ipc="ipc://none")
        self.core = ClientCore("00c0ffee")
        self.trouble: Exception | None = None
        self.shares = True
        self.typed: list[tuple[Typed, bytes]] = []
        self.prompts = Prompts(lambda message, text: self.typed.append((message, text)))
        self.changed = threading.Condition()
        self.notices: list[tuple[str, dict[str, Any]]] = []
        self.gone: dict[int, str] = {}
        self.jobs: list[dict[str, Any]] = []
        self.aborted: list[tuple[tuple[str, ...], str]] = []
        self.signals: list[tuple[int, str]] = []
        self.records: dict[str, dict[str, Any]] = {}
        self.watched: list[Future[Any]] = []
        self.submits: list[Submit] = []
        self.spaces: dict[int, dict[str, Any]] = {}
        self.counts: dict[int, int] = {}
        self.held: list[Callable[[], None]] = []
        self.hold = False
        self.split_answers = False
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.join(range(n))

    # -- what tests do

    def join(self, engines: Iterable[int]) -> None:
        """Let engines come."""
        infos = [
            EngineInfo(e, f"uuid-{e}", 1000 + e, "node1", e, 4, "w") for e in engines
        ]
        for info in infos:
            self.spaces[info.id] = {}
        self.core.joined(infos)
        self._notify()

    def leave(self, engine: int, why: str) -> None:
        """Let an engine die: what it owes fails."""
        self.core.left(Left((engine,), (why,)))
        self.gone[engine] = why
        self._notify()
        error = ErrorInfo("EngineError", why)
        for pending in list(self.core.pending.values()):
            if engine in pending.missing:
                frames = [pack(error)]
                part = Part(str(engine), "error", 1, (0.0,), (0.0,))
                self._work.put(
                    lambda p=pending, f=frames, a=part: self._deliver(p, [(a, f)])
                )

    def notice(self, what: str, **content: Any) -> None:
        """Let the hub say something."""
        self.notices.append((what, content))
        self._notify()

    def release(self) -> None:
        """Let go of all answers held back."""
        self.hold = False
        held, self.held = self.held, []
        for answer in held:
            self._work.put(answer)

    def release_one(self) -> None:
        """Let go of the oldest."""
        self._work.put(self.held.pop(0))

    def cut(self) -> None:
        """Lose the hub."""
        self.trouble = HubUnreachable("The hub is gone.")
        for pending in list(self.core.pending.values()):
            pending.sink.notify()
        for future in self.watched:
            future.set_exception(self.trouble)
        self.watched.clear()
        self._notify()

    def mend(self) -> None:
        """Have it back."""
        self.trouble = None
        self._notify()

    def settled(self) -> None:
        """Return when everything put in before is done."""
        done = threading.Event()
        self._work.put(done.set)
        assert done.wait(10)

    # -- what the client calls

    def submit(
        self, kind: Any, targets: Iterable[int], frames: Sequence[Any], sink: Sink,
        **options: Any,
    ) -> Pending:  # fmt: skip
        with self._lock:
            pending = self.core.submit(
                kind, targets, frames, sink, submitted=1.5, **options
            )
        submit = decode(encode(pending.submit))
        assert isinstance(submit, Submit)
        self.submits.append(submit)
        whole = [bytes(frame) for frame in frames]
        self._work.put(lambda: self._act(submit, whole, pending))
        return pending

    def ask(self, what: str, **arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if self.trouble is not None:
            future.set_exception(self.trouble)
            return future
        arguments = unpack(pack(arguments))
        if what == "watch":
            self.watched.append(future)
        else:
            self._work.put(lambda: self._answer(future, what, arguments))
        return future

    def finish_watched(self) -> None:
        for future in self.watched:
            self._work.put(lambda f=future: f.set_result({}))
        self.watched = []

    def wait(self, future: Future[Any], timeout: float | None = 10.0) -> Any:
        return future.result(timeout)

    def abort(self, ids: Sequence[str], targets: str) -> None:
        self.aborted.append((tuple(ids), targets))

    def signal(self, signum: int, targets: str) -> Future[Any]:
        self.signals.append((signum, targets))
        future: Future[Any] = Future()
        future.set_result(None)
        return future

    def shutdown(self, targets: str, *, hub: bool) -> Future[Any]:
        return self.signal(-1 if hub else -2, targets)

    def close(self) -> None:
        if self._thread.is_alive():
            self._work.put(None)
            self._thread.join(10)

    # -- inside

    def _notify(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def _run(self) -> None:
        while (job := self._work.get()) is not None:
            job()

    def _answer(
        self, future: Future[Any], what: str, arguments: dict[str, Any]
    ) -> None:
        try:
            future.set_result(unpack(pack(self._known(what, arguments))))
        except ProtocolError as error:
            future.set_exception(error)

    def _known(self, what: str, arguments: dict[str, Any]) -> Any:
        records = self.records
        match what:
            case "queue":
                owed: dict[int, list[str]] = {e: [] for e in self.core.engines}
                for name, pending in self.core.pending.items():
                    for engine in pending.missing:
                        owed[engine].append(f"{name}_{engine}")
                return {"engines": list(owed.items())}
            case "tasks":
                return {"engines": [], "ready": 0}
            case "status":
                return {
                    "pending": [i for i in arguments["ids"] if i in self.core.pending]
                }
            case "fetch":
                found = [records[i] for i in arguments["msg_ids"] if i in records]
                return {"records": found}
            case "query":
                return {"records": list(records.values())}
            case "history":
                return {"msg_ids": list(records)}
            case "jobs":
                return {"jobs": self.jobs}
            case "purge":
                self.records.clear()
                return {"purged": 1}
        raise ProtocolError(f"The hub has no answer to {what!r}.")

    def _act(self, submit: Submit, frames: list[Any], pending: Pending) -> None:
        printed: list[tuple[int, Stream, bytes]] = []
        outcomes = [
            (engine, self._outcome(submit, frames, engine, printed))
            for engine in RankSet.parse(submit.targets)
            if engine in self.core.engines
        ]
        for engine, stream, text in printed:
            piece = Piece(submit.id, str(engine), stream)
            message = decode(encode(Outputs((piece,))))
            assert isinstance(message, Outputs)
            for its, one, frame in self.core.outputs(message, [text]):
                its.sink.output(one, frame)
        for part, whole in self._parts(outcomes):
            answer = lambda p=part, w=whole: self._deliver(pending, [(p, w)])  # noqa: E731
            if self.hold:
                self.held.append(answer)
            else:
                answer()

    def _parts(
        self, outcomes: list[tuple[int, Outcome]]
    ) -> list[tuple[Part, list[Any]]]:
        """Equal answers as one part, as the hub merges them."""
        alike: dict[Any, list[int]] = {}
        for engine, (status, count, frames) in outcomes:
            key = (status, count, tuple(bytes(f) for f in frames))
            alike.setdefault((key, engine if self.split_answers else -1), []).append(
                engine
            )
        parts = []
        for ((status, count, frames), _), engines in alike.items():
            times = tuple(10.0 + e for e in engines), tuple(12.0 + e for e in engines)
            part = Part(str(RankSet(engines)), status, len(frames), *times, count)
            parts.append((part, list(frames)))
        return parts

    def _deliver(self, pending: Pending, parts: list[tuple[Part, list[Any]]]) -> None:
        frames = [frame for _, its in parts for frame in its]
        message = decode(encode(Replies(pending.submit.id, tuple(p for p, _ in parts))))
        assert isinstance(message, Replies)
        with self._lock:
            found, news = self.core.replies(message, frames)
        if found is None:
            return
        for part, its in news:
            found.sink.part(part, its)
        if news and not found.missing:
            found.sink.done()

    def _outcome(
        self,
        submit: Submit,
        frames: list[Any],
        engine: int,
        printed: list[tuple[int, Stream, bytes]],
    ) -> Outcome:
        space = self.spaces[engine]
        space["rank"] = engine
        space["publish"] = lambda values: printed.append(
            (engine, Stream.DATA, b"".join(payload.dumps(values, payload.pickle_whole)))
        )
        space["show"] = lambda *what: printed.append(
            (engine, Stream.DISPLAY, pack(what))
        )
        out = io.StringIO()
        space["print"] = functools.partial(print, file=out)
        try:
            return self._ran(submit, frames, engine)
        except Exception as error:  # noqa: BLE001  it is what an engine does
            info = ErrorInfo(
                type(error).__name__, str(error), ("Traceback", str(error)),
                payload.dumps_error(error),
            )  # fmt: skip
            return "error", self.counts.get(engine, 0), [pack(info)]
        finally:
            if out.getvalue():
                printed.insert(0, (engine, Stream.STDOUT, out.getvalue().encode()))

    def _ran(self, submit: Submit, frames: list[Any], engine: int) -> Outcome:
        space = self.spaces[engine]

        def evaluate(name: str) -> Any:
            return eval(name, space)

        match submit.kind:
            case "execute":
                return self._executed(bytes(frames[0]).decode(), submit, engine)
            case "apply":
                f, args, kwargs = payload.loads(frames)
                f = evaluate(f.name) if isinstance(f, Reference) else f
                value = f(*resolve(args, evaluate), **resolve(kwargs, evaluate))
                return "ok", 0, payload.dumps(value)
            case "push":
                space.update(payload.loads(frames))
            case "pull":
                names = payload.loads(frames)
                one = isinstance(names, str)
                value = evaluate(names) if one else [evaluate(n) for n in names]
                return "ok", 0, payload.dumps(value)
            case "clear":
                space.clear()
        return "ok", 0, [b""]

    def _executed(self, code: str, submit: Submit, engine: int) -> Outcome:
        self.counts[engine] = count = self.counts.get(engine, 0) + 1
        *lines, last = code.splitlines()
        exec("\n".join(lines), self.spaces[engine])
        try:
            value = eval(last, self.spaces[engine])
        except SyntaxError:
            exec(last, self.spaces[engine])
            value = None
        if value is None or submit.silent:
            return "ok", count, [b""]
        return (
            "ok",
            count,
            [pack({"data": {"text/plain": repr(value)}, "metadata": {}})],
        )


@contextlib.contextmanager
def acting(n: int = 4) -> Iterator[tuple[Client, ActingLink]]:
    """A client with engines that act in this process."""
    link = ActingLink(n)
    try:
        yield Client.over(link), link
    finally:
        link.close()


@contextlib.contextmanager
def raises_composite(text: str) -> Iterator[None]:
    """Expect a CompositeError with this in its text; pytest's `match` sees less."""
    with pytest.raises(CompositeError) as caught:
        yield
    assert text in str(caught.value)


def record(msg_id: str, value: Any = None, **fields: Any) -> dict[str, Any]:
    """Give a record as the journal has it."""
    request, _, engine = msg_id.rpartition("_")
    return {
        "msg_id": msg_id, "request": request, "engine_id": int(engine),
        "kind": "apply", "status": "ok", "label": "mine", "submitted": 5.0,
        "started": 6.0, "completed": 8.0, "received": 9.0, "stdout": "hi\n",
        "stderr": None, "execute_input": None, "result_content": {"count": 3},
        "result_buffers": payload.dumps(value), "header": {"name": "abs"},
        "buffers": payload.dumps_call(abs, [-5], {}),
    } | fields  # fmt: skip
