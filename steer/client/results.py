"""Results of requests that may still be under way.

An `AsyncResult` is a future of one or more requests (scatter sends one to each engine),
with a slot for each engine's answer. The I/O thread only files what comes, under the
future's own condition; unpickling happens in the thread that asks, when it asks.

A hub that is gone makes waiting calls raise `HubUnreachable`, but it does not fail the
result: a later `get()` waits on, and finds what came in the meantime.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, Future
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from steer.client.replies import ExecuteReply, Output, collapse, show_outputs
from steer.errors import TaskAborted, collect_exceptions, from_wire
from steer.ranks import RankSet
from steer.wire import payload
from steer.wire.frames import unpack
from steer.wire.messages import ErrorInfo, Kind, Part, Piece, Stream

if TYPE_CHECKING:
    from steer.client.client import Client

METADATA = (
    "msg_id", "submitted", "started", "completed", "received", "engine_id",
    "engine_uuid", "follow", "after", "status", "execute_input", "execute_result",
    "error", "stdout", "stderr", "outputs", "data", "label",
)  # fmt: skip
_UNSET: Any = object()
_SHARED = (type(None), bool, int, float, str, bytes)
"""Values that engines with equal answers may share: nobody can change them."""


def _when(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


class Slot:
    """One engine's part of a result."""

    __slots__ = (
        "completed", "count", "data", "engine", "frames", "outputs", "received",
        "request", "started", "status", "streams", "submitted", "value",
    )  # fmt: skip

    def __init__(self, request: str, engine: int, submitted: float) -> None:
        self.request = request
        self.engine = engine
        self.submitted = submitted
        self.status = ""
        self.frames: Sequence[Any] = ()
        self.started = self.completed = self.received = 0.0
        self.count = 0
        self.value: Any = _UNSET
        self.streams: dict[str, list[str]] = {}
        self.outputs: list[Output] = []
        self.data: dict[str, Any] = {}

    @property
    def msg_id(self) -> str:
        return f"{self.request}_{self.engine}"

    def text(self, stream: str) -> str:
        """What was printed so far; what was joined once is kept joined."""
        pieces = self.streams.get(stream)
        if not pieces:
            return ""
        if len(pieces) > 1:
            pieces[:] = ["".join(pieces)]
        return collapse(pieces[0])


class Request:
    """The sink of one request: files its answers into the result's slots."""

    def __init__(self, result: AsyncResult, slots: dict[int, Slot]) -> None:
        self.result = result
        self.slots = slots

    def part(self, part: Part, frames: list[Any]) -> None:
        now = time.time()
        with self.result._condition:
            for i, engine in enumerate(RankSet.parse(part.ranks)):
                slot = self.slots[engine]
                slot.frames = frames
                slot.started, slot.completed = part.started[i], part.completed[i]
                slot.received, slot.count = now, part.count
                slot.status = part.status
            self.result._condition.notify_all()

    def output(self, piece: Piece, frame: Any) -> None:
        engines = RankSet.parse(piece.ranks)
        slots = [self.slots[e] for e in engines if e in self.slots]
        with self.result._condition:
            if piece.stream is Stream.DISPLAY:
                output = Output(*unpack(frame))
                for slot in slots:
                    slot.outputs.append(output)
            elif piece.stream is Stream.DATA:
                for slot in slots:
                    slot.data.update(pickle.loads(frame))
            else:
                text = bytes(frame).decode(errors="replace")
                for slot in slots:
                    slot.streams.setdefault(piece.stream.value, []).append(text)
            self.result._condition.notify_all()

    def done(self) -> None:
        self.result._one_done()

    def refused(self, error: ErrorInfo) -> None:
        self.result._refuse(self, error)

    def notify(self) -> None:
        with self.result._condition:
            self.result._condition.notify_all()


class AsyncResult(Future[Any]):
    """What engines will answer, or have answered."""

    def __init__(
        self,
        client: Client,
        kind: Kind | str,
        *,
        fname: str = "unknown",
        single: bool = False,
        label: str = "",
        return_exceptions: bool = False,
        code: str | None = None,
    ) -> None:
        super().__init__()
        self._client = client
        self._kind = kind
        self._fname = fname
        self._single = single
        self._label = label
        self._return_exceptions = return_exceptions
        self._code = code
        self._slots: list[Slot] = []
        self._waiting = 0
        self.owner = True
        self.set_running_or_notify_cancel()

    # -- made of requests

    def _add(
        self,
        submit: Callable[[Request], Any],
        engines: Iterable[int],
        expected: int = 1,
    ) -> None:
        """Send a request whose answers fill further slots."""
        slots = {engine: Slot("", engine, time.time()) for engine in engines}
        self._slots += slots.values()
        request = Request(self, slots)
        with self._condition:
            pending = submit(request)
            for slot in slots.values():
                slot.request = pending.submit.id

    def _one_done(self) -> None:
        with self._condition:
            self._waiting -= 1
            finished = self._waiting == 0 and not self.done()
        if finished:
            self._client._finished(self)
            self.set_result(None)

    def _refuse(self, request: Request, error: ErrorInfo) -> None:
        now = time.time()
        with self._condition:
            for slot in request.slots.values():
                if not slot.status:
                    slot.status, slot.value = "error", from_wire(error)
                    slot.received = slot.completed = now
        self._one_done()

    # -- waiting

    def _await(self, ready: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until something is so; raise if there is nobody to make it so."""
        if timeout is not None and timeout < 0:
            timeout = None
        deadline = None if timeout is None else time.monotonic() + timeout
        link = self._client.link
        with self._condition:
            while not ready():
                if link.trouble is not None:
                    raise link.trouble
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._condition.wait(left)
        return True

    def _all_in(self) -> bool:
        return self.done()

    def wait(self, timeout: float | None = -1, return_when: str | None = None) -> Any:
        """Whether it is ready; with `return_when`, sets of done and pending results."""
        if return_when is None or return_when == ALL_COMPLETED:
            ready = self._await(self._all_in, timeout)
            return ready if return_when is None else self._split_by_done()
        if return_when not in (FIRST_COMPLETED, FIRST_EXCEPTION):
            raise ValueError(f"return_when is one of three words, not {return_when!r}")
        failed = ("error", "aborted") if return_when == FIRST_EXCEPTION else ()

        def ready_enough() -> bool:
            states = [slot.status for slot in self._slots]
            if return_when == FIRST_COMPLETED:
                return any(states)
            return all(states) or any(state in failed for state in states)

        self._await(ready_enough, timeout)
        return self._split_by_done()

    def _split_by_done(self) -> tuple[set[AsyncResult], set[AsyncResult]]:
        parts = self.split()
        done = {part for part in parts if part.done()}
        return done, set(parts) - done

    def wait_for_output(self, timeout: float | None = -1) -> bool:
        """Whether all output is here: it comes before the answers."""
        return self._await(self._all_in, timeout)

    def wait_for_send(self, timeout: float | None = -1) -> None:
        """Return when the arguments may be changed: at once, they are copied."""

    sent = True

    def ready(self) -> bool:
        """Whether all answers are here."""
        return self.done()

    def successful(self) -> bool:
        """Whether no engine failed; RuntimeError if that is not known yet."""
        if not self.done():
            raise RuntimeError("The result is not ready; wait() for it first.")
        return all(slot.status == "ok" for slot in self._slots)

    # -- values

    def _value(self, slot: Slot) -> Any:
        """The value or the exception of an engine, made once."""
        if slot.value is _UNSET:
            slot.value = self._make(slot)
            slot.frames = slot.frames if self._kind == "execute" else ()
        return slot.value

    def _make(self, slot: Slot) -> Any:
        if slot.status in ("error", "aborted"):
            info = unpack(slot.frames[0], type=ErrorInfo)
            return from_wire(info, self._engine_info(slot))
        if self._kind == "execute":
            body = slot.frames[0] if slot.frames else b""
            data = unpack(body) if body else None
            return ExecuteReply(slot.engine, slot.count, data, _Metadata(self, slot))
        if self._kind in ("apply", "pull"):
            for other in self._slots:
                if (
                    other.frames is slot.frames
                    and other.value is not _UNSET
                    and isinstance(other.value, _SHARED)
                ):
                    return other.value
            return payload.loads(slot.frames)
        return None

    def _engine_info(self, slot: Slot) -> dict[str, Any]:
        engine = self._client.link.core.engines.get(slot.engine)
        facts: dict[str, Any] = {
            "engine_id": slot.engine,
            "engine_uuid": engine.uuid if engine else "",
            "method": "execute" if self._kind == "execute" else "apply",
        }
        if engine is not None:
            facts |= {"rank": engine.rank, "size": engine.size, "host": engine.host}
        return facts

    def _values(self) -> list[Any]:
        return [self._value(slot) for slot in self._slots]

    def _outcome(self, return_exceptions: bool) -> Any:
        values = self._values()
        if self._single:
            if isinstance(values[0], Exception) and not return_exceptions:
                raise values[0]
            return values[0]
        if return_exceptions:
            return self._joined(values)
        errors = [v for v in values if isinstance(v, Exception)]
        if errors:
            aborted = all(isinstance(e, TaskAborted) for e in errors)
            if aborted and len(errors) == len(values):
                raise errors[0]
            collect_exceptions(_all_remote(values), self._fname)
        return self._joined(values)

    def _joined(self, values: list[Any]) -> Any:
        return values

    def get(
        self,
        timeout: float | None = None,
        return_exceptions: bool | None = None,
        return_when: str | None = None,
    ) -> Any:
        """The result; TimeoutError if it does not come in time."""
        if return_when == FIRST_EXCEPTION:
            self.wait(timeout, FIRST_EXCEPTION)
            failed = [s for s in self._slots if s.status in ("error", "aborted")]
            if failed and not return_exceptions:
                raise self._value(failed[0])
        if not self._await(self._all_in, timeout):
            raise TimeoutError("The result is not ready yet.")
        chosen = (
            self._return_exceptions if return_exceptions is None else return_exceptions
        )
        return self._outcome(chosen)

    def result(self, timeout: float | None = None) -> Any:
        """As Future's: the result, or its exception."""
        return self.get(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As Future's."""
        if not self._await(self._all_in, timeout):
            raise TimeoutError("The result is not ready yet.")
        try:
            self._outcome(False)
        except Exception as error:
            return error
        return None

    @property
    def r(self) -> Any:
        """The result."""
        return self.get()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._awaited().__await__()

    async def _awaited(self) -> Any:
        done: Future[None] = Future()
        self.add_done_callback(lambda _: done.set_result(None))
        await asyncio.wrap_future(done)
        return self.get()

    def cancel(self) -> bool:
        """Abort what has not started; a running cell needs `send_signal`."""
        if not self.done():
            self.abort()
        return False

    def abort(self) -> None:
        """Ask engines not to start this."""
        if self.done():
            raise RuntimeError("It cannot be aborted: it is done.")
        targets = str(RankSet(slot.engine for slot in self._slots))
        self._client.link.abort(sorted({s.request for s in self._slots}), targets)

    def get_dict(self, timeout: float | None = -1) -> dict[int, Any]:
        """The results by engine id."""
        results = self.get(None if timeout == -1 else timeout)
        engines = [slot.engine for slot in self._slots]
        if len(set(engines)) < len(engines):
            raise ValueError("An engine ran more than one of these; use get().")
        return dict(zip(engines, [results] if self._single else results, strict=True))

    @property
    def result_dict(self) -> dict[int, Any]:
        """The results by engine id."""
        return self.get_dict()

    # -- parts

    def split(self) -> list[AsyncResult]:
        """A result for each engine."""
        return [_Part(self, slot) for slot in self._slots]

    @staticmethod
    def join(*results: AsyncResult) -> AsyncResult:
        """One result of many."""
        return _Joined(results)

    def __len__(self) -> int:
        return len(self._slots)

    def __iter__(self) -> Iterator[Any]:
        if self._single:
            raise TypeError("A result of a single engine cannot be iterated; get() it.")
        return self._iterate()

    def _iterate(self) -> Iterator[Any]:
        for slot in list(self._slots):
            self._await(lambda slot=slot: bool(slot.status), None)  # type: ignore[misc]
            value = self._value(slot)
            if isinstance(value, Exception) and not self._return_exceptions:
                raise value
            yield value

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self._get_metadata(key, KeyError)
        if isinstance(key, int):
            value = self.get(return_exceptions=True)[key]
            return collect_exceptions(_all_remote([value]), self._fname)[0]
        if isinstance(key, slice):
            values = self.get(return_exceptions=True)[key]
            return collect_exceptions(_all_remote(values), self._fname)
        raise TypeError(f"A result is indexed by number, slice or name, not {key!r}.")

    # -- metadata

    def _get_metadata(self, name: str, error: type[Exception]) -> Any:
        if name not in METADATA:
            raise error(name)
        values = [_Metadata(self, slot)[name] for slot in self._slots]
        return values[0] if self._single else values

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._get_metadata(name, AttributeError)

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *METADATA]

    @property
    def metadata(self) -> Any:
        """What is known besides the values; a list unless there is one engine only."""
        every = [_Metadata(self, slot) for slot in self._slots]
        return every[0] if self._single else every

    @property
    def msg_ids(self) -> list[str]:
        """The engines' ids of the request."""
        return [slot.msg_id for slot in self._slots]

    @property
    def engine_id(self) -> Any:
        """Who runs it."""
        ids = [slot.engine for slot in self._slots]
        return ids[0] if self._single else ids

    # -- time

    @property
    def progress(self) -> int:
        """How many engines have answered."""
        return sum(1 for slot in self._slots if slot.status)

    @property
    def elapsed(self) -> float:
        """Seconds since it was sent, or that it took."""
        first = min(slot.submitted for slot in self._slots)
        last = max(slot.received for slot in self._slots)
        return (last if self.done() else time.time()) - first

    def _must_be_ready(self) -> None:
        if not self.done():
            raise TimeoutError("The result is not ready yet.")

    @property
    def serial_time(self) -> float:
        """Seconds of work, summed over engines."""
        self._must_be_ready()
        return sum(slot.completed - slot.started for slot in self._slots)

    @property
    def wall_time(self) -> float:
        """Seconds from the sending to the last answer."""
        self._must_be_ready()
        return self.elapsed

    def timedelta(
        self,
        start: Any,
        end: Any,
        start_key: Callable[..., Any] = min,
        end_key: Callable[..., Any] = max,
    ) -> float:
        """Seconds between two of the metadata's times."""
        first = start if isinstance(start, datetime) else start_key(start)
        last = end if isinstance(end, datetime) else end_key(end)
        span: timedelta = last - first
        return span.total_seconds()

    # -- showing

    def display_outputs(self, groupby: str = "type", result_only: bool = False) -> None:
        """Print and display what the engines did, under headings."""
        self.wait_for_output()
        every = [_Metadata(self, slot) for slot in self._slots]
        show_outputs(every, groupby, result_only)

    @contextlib.contextmanager
    def stream_output(self) -> Iterator[Self]:
        """Print what comes while the block runs, each line headed by its engine."""
        printer = _Printer(self)
        printer.start()
        try:
            yield self
        finally:
            printer.stop()

    def wait_interactive(
        self,
        interval: float = 0.1,
        timeout: float | None = -1,
        widget: Any = None,
        return_when: str = ALL_COMPLETED,
    ) -> None:
        """Wait, and show on a terminal how far it is."""
        seen = -1
        deadline = None if timeout in (None, -1) else time.monotonic() + timeout
        while not self.done() and seen < len(self):
            seen = self.progress
            sys.stderr.write(
                f"\r{seen}/{len(self)} engines after {self.elapsed:4.0f} s"
            )
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            if not self._await(lambda s=seen: self.done() or self.progress > s, left):  # type: ignore[misc]
                break
        sys.stderr.write(
            f"\r{self.progress}/{len(self)} engines after {self.elapsed:4.0f} s\n"
        )

    def __repr__(self) -> str:
        state = "finished" if self.done() else f"{self.progress}/{len(self)} pending"
        return f"<{type(self).__name__}({self._fname}): {state}>"


def _all_remote(values: Iterable[Any]) -> list[Any]:
    """Exceptions that are no RemoteError (aborts) raise by themselves."""
    out = list(values)
    for value in out:
        if isinstance(value, TaskAborted):
            raise value
    return out


class _Metadata(Mapping[str, Any]):
    """One engine's metadata, made when it is looked at."""

    def __init__(self, result: AsyncResult, slot: Slot) -> None:
        self._result, self._slot = result, slot

    def __getitem__(self, key: str) -> Any:
        slot, result = self._slot, self._result
        if key in ("stdout", "stderr"):
            return slot.text(key)
        if key in ("submitted", "started", "completed", "received"):
            return _when(getattr(slot, key))
        match key:
            case "msg_id":
                return slot.msg_id
            case "engine_id":
                return slot.engine
            case "engine_uuid":
                return result._engine_info(slot)["engine_uuid"]
            case "status":
                return slot.status or None
            case "label":
                return result._label
            case "execute_input":
                return result._code
            case "outputs" | "data":
                return getattr(slot, key)
            case "execute_result" | "error":
                value = result._value(slot) if slot.status else None
                wanted = ExecuteReply if key == "execute_result" else Exception
                return value if isinstance(value, wanted) else None
            case "follow" | "after":
                return []
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(METADATA)

    def __len__(self) -> int:
        return len(METADATA)

    def __repr__(self) -> str:
        return repr(dict(self))


class _Part(AsyncResult):
    """One engine's part of another result."""

    def __init__(self, whole: AsyncResult, slot: Slot) -> None:
        super().__init__(
            whole._client, whole._kind, fname=whole._fname, single=True,
            label=whole._label, code=whole._code,
        )  # fmt: skip
        self._slots = [slot]
        self._whole = whole
        whole.add_done_callback(lambda _: self._finish())

    def _finish(self) -> None:
        with self._condition:
            finished = not super().done()
        if finished:
            self.set_result(None)

    def done(self) -> bool:
        return bool(self._slots[0].status)

    def _await(self, ready: Callable[[], bool], timeout: float | None) -> bool:
        return self._whole._await(ready, timeout)


class _Joined(AsyncResult):
    """Some results as one."""

    def __init__(self, results: Sequence[AsyncResult]) -> None:
        first = results[0]
        super().__init__(first._client, first._kind, fname=first._fname)
        self._slots = [slot for result in results for slot in result._slots]
        self._waiting = len(results)
        for result in results:
            result.add_done_callback(lambda _: self._one_done())


class AsyncMapResult(AsyncResult):
    """The result of a map or a gather: the engines' parts as one sequence."""

    lengths: Sequence[int] | None = None
    join_parts: Callable[..., Any] = list

    def _joined(self, values: list[Any]) -> Any:
        return self.join_parts(values)

    def __len__(self) -> int:
        return sum(self.lengths) if self.lengths is not None else len(self._slots)

    def _iterate(self) -> Iterator[Any]:
        for part in super()._iterate():
            yield from part

    def __iter__(self) -> Iterator[Any]:
        return self._iterate()


class AsyncHubResult(AsyncResult):
    """A result that another client asked for, or this one in an earlier life."""

    def __init__(self, client: Client, msg_ids: Sequence[str], *, single: bool) -> None:
        super().__init__(client, "unknown", fname="get_result", single=single)
        for msg_id in msg_ids:
            request, _, engine = msg_id.rpartition("_")
            self._slots.append(Slot(request, int(engine), 0.0))
        requests = dict.fromkeys(slot.request for slot in self._slots)
        self._waiting = len(requests)
        for request in requests:
            question = client.link.ask("watch", id=request)
            question.add_done_callback(lambda f, r=request: self._fetch(f, r))  # type: ignore[misc]

    def _fetch(self, question: Future[Any], request: str) -> None:
        if question.exception() is not None:
            self._lost(request, question.exception())
            return
        ids = [slot.msg_id for slot in self._slots if slot.request == request]
        records = self._client.link.ask("fetch", msg_ids=ids)
        records.add_done_callback(lambda f: self._fill(f, request))

    def _fill(self, records: Future[Any], request: str) -> None:
        if records.exception() is not None:
            self._lost(request, records.exception())
            return
        found = {record["msg_id"]: record for record in records.result()["records"]}
        for slot in self._slots:
            if slot.request == request:
                self._take(slot, found.get(slot.msg_id))
        self._one_done()

    def _take(self, slot: Slot, record: Mapping[str, Any] | None) -> None:
        if record is None:
            slot.value = KeyError(f"The hub does not know a request {slot.msg_id}.")
            slot.status = "error"
            return
        self._kind = record["kind"] or self._kind
        self._label = record["label"] or ""
        self._code = record["execute_input"]
        slot.submitted = record["submitted"] or 0.0
        slot.started, slot.completed = (
            record["started"] or 0.0,
            record["completed"] or 0.0,
        )
        slot.received = record["received"] or 0.0
        slot.count = (record["result_content"] or {}).get("count", 0)
        slot.frames = [bytearray(f) for f in record["result_buffers"] or [b""]]
        for name in ("stdout", "stderr"):
            if record[name]:
                slot.streams[name] = [record[name]]
        slot.status = record["status"]

    def _lost(self, request: str, error: BaseException | None) -> None:
        for slot in self._slots:
            if slot.request == request:
                slot.value, slot.status = error, "error"
        self._one_done()


class _Printer:
    """Prints a result's output while it comes."""

    def __init__(self, result: AsyncResult) -> None:
        self._result = result
        self._shown: dict[tuple[int, str], int] = {}

    def start(self) -> None:
        import threading

        self._stop = False
        self._thread = threading.Thread(target=self._run, name="steer-stream-output")
        self._thread.start()

    def stop(self) -> None:
        with self._result._condition:
            self._stop = True
            self._result._condition.notify_all()
        self._thread.join()

    def _run(self) -> None:
        condition = self._result._condition
        while True:
            with condition:
                news = self._news()
                if not news:
                    if self._stop or self._result.done():
                        return
                    condition.wait()
            for engine, name, text in news:
                file = sys.stdout if name == "stdout" else sys.stderr
                file.write(
                    "".join(f"[{name}:{engine}] {line}\n" for line in text.splitlines())
                )

    def _news(self) -> list[tuple[int, str, str]]:
        found = []
        for slot in self._result._slots:
            for name in ("stdout", "stderr"):
                text = slot.text(name)
                shown = self._shown.get((slot.engine, name), 0)
                if len(text) > shown:
                    found.append((slot.engine, name, text[shown:]))
                    self._shown[slot.engine, name] = len(text)
        return found
