"""The result of one or more requests that may still be under way.

An `AsyncResult` is a future. Most are one request to all engines of a view; scatter and
map send one to each engine. A hub that is gone makes waiting calls raise
`HubUnreachable`, but it does not fail the result: a later `get()` waits on, and finds
what came in the meantime.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import operator
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, Future
from typing import TYPE_CHECKING, Any, Self

from steer.client import bars, showing
from steer.client.described import Described, Place
from steer.client.filed import About, Filed, State
from steer.client.metadata import FAILED, Metadata
from steer.client.prompts import Prompt
from steer.client.replies import ExecuteReply, show_outputs
from steer.client.requests import Request
from steer.errors import RemoteError, TaskAborted, collect_exceptions
from steer.ranks import RankSet
from steer.wire.messages import Kind

if TYPE_CHECKING:
    from steer.client.client import Client


class AsyncResult(Described, Future[Any]):
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
        requests: int = 1,
        owner: bool = True,
    ) -> None:
        super().__init__()
        self._client = client
        self._about = About(client, kind, label, code, self._condition)
        self._fname = fname
        self._single = single
        self._return_exceptions = return_exceptions
        self._requests: list[Filed] = []
        self._waiting = requests
        self._curious = 0
        """How many threads wait for less than the whole."""
        self._watchers: list[Callable[[list[showing.Event]], None]] = []
        self._parts: list[AsyncResult] = []
        self._bell: tuple[float, Callable[[], object]] | None = None
        self.insights: list[str] = []
        """What the hub said of it unasked: why it is silent, who waits for whom."""
        self.owner = owner
        self.ends_elsewhere = False
        """Whether somebody else shows what its last lines gave, and its errors: a
        kernel, whose protocol has messages of their own for these."""
        self.set_running_or_notify_cancel()

    # -- what comes, in the I/O thread

    def _add(self, submit: Callable[[Request], Any], engines: Sequence[int]) -> Request:
        """Send a request; its answers become further places."""
        request = Request(self, self._about, engines, time.time())
        self._requests.append(request)
        with self._condition:  # nobody may see it without its id
            request.id = submit(request).submit.id
        return request

    def _news(self) -> None:
        """Wake those who wait for less than the whole, and nobody else: it costs."""
        self._heard([])

    def _heard(self, events: list[showing.Event]) -> None:
        for watcher in self._watchers:
            watcher(events)
        if self._curious:
            self._condition.notify_all()

    def _look_at_parts(self) -> None:
        if self._parts:
            for part in list(self._parts):
                part._settle()
            self._parts = [part for part in self._parts if part._waiting]

    def _wake(self) -> None:
        for result in (self, *list(self._parts)):
            with result._condition:
                result._condition.notify_all()

    def _one_done(self) -> None:
        with self._condition:
            self._waiting -= 1
            finished = self._waiting == 0
        if finished:
            self._client._finished(self)
            self.set_result(None)

    def _settle(self) -> None:
        """Look whether a result made of others' places is finished."""
        raise NotImplementedError

    def _invoke_callbacks(self) -> None:
        # Those of tasks run where those of their futures do: they may ask for more.
        if self._done_callbacks and not all(r.together for r in self._requests):
            self._client.link.tasks.callbacks.put(self)
        else:
            self.call_back()

    def call_back(self) -> None:
        """Run the callbacks, in their thread."""
        super()._invoke_callbacks()  # type: ignore[misc]

    # -- its places

    @property
    def _places(self) -> list[Place]:
        return [(request, key) for request in self._requests for key in request.keys]

    @property
    def _engines(self) -> list[int]:
        """Those of its places, in order; -1 where it is not known."""
        engines = [request.engine_of(key) for request, key in self._places]
        return [-1 if engine is None else engine for engine in engines]

    def _states(self) -> list[str]:
        return [request.status(key) for request, key in self._places]

    @property
    def msg_ids(self) -> list[str]:
        """The ids of the messages, one for each engine or task."""
        return [request.msg_id(key) for request, key in self._places]

    # -- waiting

    def _await(
        self, ready: Callable[[], bool], timeout: float | None, *, curious: bool = True
    ) -> bool:
        """Wait until something is so; raise if there is nobody to make it so.

        What ranks ask meanwhile is asked here, if this is the main thread; the time
        that a person takes is not counted.
        """
        if timeout is not None and timeout < 0:
            timeout = None
        deadline = None if timeout is None else time.monotonic() + timeout
        prompts = self._client.link.prompts
        with prompts.attended(self._wake) as asks:
            while self._doze(
                lambda: ready() or (asks and bool(prompts)), deadline, curious
            ):
                if ready():
                    return True
                spent = prompts.ask()
                deadline = deadline and deadline + spent
        return False

    def _doze(
        self, ready: Callable[[], bool], deadline: float | None, curious: bool
    ) -> bool:
        with self._condition:
            self._curious += curious
            try:
                while not ready():
                    self._check_connection()
                    left = None if deadline is None else deadline - time.monotonic()
                    if left is not None and left <= 0:
                        return False
                    self._condition.wait(self._until_bell(left))
            finally:
                self._curious -= curious
        return True

    def ring_at(self, when: float | None, bell: Callable[[], object]) -> None:
        """Let whoever waits then call something, once: a thread that only waits for
        a time costs more than most cells."""
        self._bell = None if when is None else (when, bell)

    def _until_bell(self, left: float | None) -> float | None:
        """How long to wait; rings if it is time."""
        if self._bell is None:
            return left
        when, bell = self._bell
        before = when - time.monotonic()
        if before <= 0:
            self._bell = None
            bell()
            return left
        return before if left is None else min(left, before)

    def _check_connection(self) -> None:
        trouble = self._client.link.trouble
        if trouble is not None:
            raise trouble.with_traceback(None)

    def _finish(self, timeout: float | None) -> bool:
        return self._await(self.done, timeout, curious=False)

    def wait(self, timeout: float | None = -1, return_when: str | None = None) -> Any:
        """Whether it is ready; with `return_when`, sets of done and pending results."""
        if return_when is None:
            return self._finish(timeout)
        self._wait_when(timeout, return_when)
        parts = self.split()
        done = {part for part in parts if part.done()}
        return done, set(parts) - done

    def wait_until(self, ready: Callable[[], bool], timeout: float | None = -1) -> bool:
        """Whether it is ready, or `ready()` is true; looked at again after `wake()`."""
        return self._await(lambda: self.done() or ready(), timeout, curious=False)

    def wake(self) -> None:
        """Wake whoever waits; from a signal handler too."""
        self._wake()

    def _wait_when(self, timeout: float | None, return_when: str) -> None:
        match return_when:
            case "ALL_COMPLETED":
                self._finish(timeout)
            case "FIRST_COMPLETED":
                self._await(lambda: self.done() or any(self._states()), timeout)
            case "FIRST_EXCEPTION":
                self._await(lambda: self.done() or bool(self._failed()), timeout)
            case _:
                words = f"{ALL_COMPLETED}, {FIRST_COMPLETED} or {FIRST_EXCEPTION}"
                raise ValueError(f"return_when is {words}, not {return_when!r}")

    def _failed(self) -> list[Place]:
        if not any(request.failed for request in self._requests):
            return []
        return [(r, e) for r, e in self._places if r.status(e) in FAILED]

    @property
    def prompts(self) -> list[Prompt]:
        """What its ranks ask; whoever waits for a result in the main thread is
        asked."""
        return self._client.link.prompts.of([r.id for r in self._requests])

    @property
    def progress_bars(self) -> dict[int, list[State]]:
        """How far `steer.progress` loops are: label, done and total, by engine."""
        found: dict[int, list[State]] = {}
        for (request, key), engine in zip(self._places, self._engines, strict=True):
            its = dict(request.printed_by(key).bars)
            if its:
                found.setdefault(engine, []).extend(its[n] for n in sorted(its))
        return found

    def wait_for_output(self, timeout: float | None = -1) -> bool:
        """Whether all output is here: it comes before the answers."""
        return self._finish(timeout)

    @property
    def sent(self) -> bool:
        """Whether the arguments may be changed.

        In shared memory they are a copy from the first moment; on their way over the
        network they are the caller's own memory.
        """
        return self.done() or self._client.link.shares

    def wait_for_send(self, timeout: float | None = -1) -> None:
        """Wait until the arguments may be changed."""
        if not self.sent and not self._finish(timeout):
            raise TimeoutError("Still waiting to be sent")

    def ready(self) -> bool:
        """Whether all answers are here."""
        return self.done()

    def successful(self) -> bool:
        """Whether no engine failed; RuntimeError if that is not known yet."""
        if not self.done():
            raise RuntimeError("Cannot check successful() if not done.")
        return not self._failed()

    # -- values

    def _values(self) -> list[Any]:
        self._client._consumed(self)
        return [value for request in self._requests for value in request.made()]

    def _outcome(self, return_exceptions: bool) -> Any:
        values = self._values()
        if not return_exceptions:
            self._raise_any(values)
        return values[0] if self._single else self._joined(values)

    def _raise_any(self, values: Iterable[Any]) -> None:
        """Raise the errors of engines that are among these values."""
        failed = {id(r.value(engine)) for r, engine in self._failed()}
        errors = [value for value in values if id(value) in failed] if failed else ()
        if not errors:
            return
        for error in errors:
            error.__traceback__ = None  # it may have been raised before
        if self._single:
            raise errors[0]
        for error in errors:
            if not isinstance(error, RemoteError | TaskAborted):
                raise error  # the hub refused the request
        collect_exceptions(errors, self._fname)
        raise errors[0]  # all were aborted

    def _joined(self, values: list[Any]) -> Any:
        return values

    def get(
        self,
        timeout: float | None = None,
        return_exceptions: bool | None = None,
        return_when: str | None = None,
    ) -> Any:
        """The result; TimeoutError if it does not come in time."""
        chosen = (
            self._return_exceptions if return_exceptions is None else return_exceptions
        )
        if return_when == FIRST_EXCEPTION and not chosen:
            self._wait_when(timeout, return_when)
            self._raise_any([r.value(e) for r, e in self._failed()])
        if not self._finish(timeout):
            raise TimeoutError("Result not ready.")
        return self._outcome(chosen)

    def result(self, timeout: float | None = None) -> Any:
        """As Future's: the result, or its exception."""
        return self.get(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As Future's."""
        if not self._finish(timeout):
            raise TimeoutError("Result not ready.")
        try:
            self._outcome(self._return_exceptions)
        except Exception as error:  # noqa: BLE001  it is what was asked for
            return error
        return None

    @property
    def r(self) -> Any:
        """The result."""
        return self.get()

    def __await__(self) -> Generator[Any, None, Any]:
        import asyncio  # with ssl 30 ms and 3 MB that a script does not need

        yield from asyncio.wrap_future(self._completion()).__await__()
        return self.get()

    def _completion(self) -> Future[None]:
        """A future for asyncio: unpickling is not for its callbacks."""
        completion: Future[None] = Future()

        def complete(_: Any) -> None:
            if completion.set_running_or_notify_cancel():
                completion.set_result(None)

        self.add_done_callback(complete)
        return completion

    def cancel(self) -> bool:
        """Abort what has not started; a running cell needs `send_signal`."""
        if not self.done():
            self.abort()
        return False

    def abort(self) -> None:
        """Ask engines not to start this."""
        if self.done():
            raise RuntimeError("Can't abort, I am already done!")
        self._client.abort(self)

    def interrupt(self, signum: int = signal.SIGINT) -> RankSet:
        """Send a signal to the engines that run this, and do not start it on others;
        returns those that were sent it."""
        sent = []
        for request in self._requests:
            left = [key for key in request.keys if not request.status(key)]
            if left:
                sent.append(request.interrupt(left, signum))
        answers = [self._client.link.wait(answer) for answer in sent]
        ranks = (RankSet.parse(answer["signalled"]) for answer in answers)
        return functools.reduce(operator.or_, ranks, RankSet())

    def get_dict(self, timeout: float | None = -1) -> dict[int, Any]:
        """The results by engine id."""
        if not self._finish(timeout):
            raise TimeoutError("Result not ready.")
        counts = collections.Counter(self._engines)
        for engine, count in counts.items():
            if count > 1:
                raise ValueError(
                    f"Cannot build dict, {count} jobs ran on engine #{engine}"
                )
        self._outcome(self._return_exceptions)
        values = [request.value(key) for request, key in self._places]
        return dict(zip(self._engines, values, strict=True))

    @property
    def result_dict(self) -> dict[int, Any]:
        """The results by engine id."""
        return self.get_dict()

    # -- parts

    def split(self) -> tuple[AsyncResult, ...]:
        """A result for each engine."""
        return tuple(self._part([place], single=True) for place in self._places)

    def _part(self, places: Iterable[Place], *, single: bool) -> AsyncResult:
        part = PartialResult(
            self._client, self._about.kind, fname=self._fname, single=single,
            label=self._about.label, code=self._about.code, owner=False,
        )  # fmt: skip
        part._follow(places)
        return part

    @classmethod
    def join(cls, *results: AsyncResult) -> AsyncResult:
        """One result of many."""
        if not results:
            raise ValueError("Must specify at least one AsyncResult to join")
        places = [place for result in results for place in result._places]
        return results[0]._part(places, single=False)

    def __len__(self) -> int:
        return len(self._places)

    def __bool__(self) -> bool:
        return True  # `if result:` asks whether there is one

    def __iter__(self) -> Iterator[Any]:
        if self._single:
            raise TypeError("AsyncResults with a single result are not iterable.")
        return self._iterate()

    def _iterate(self) -> Iterator[Any]:
        for request, key in self._in_turn():
            value = request.value(key)
            if request.status(key) in FAILED and not self._return_exceptions:
                self._raise_at(value)
            yield value

    def _raise_at(self, error: Any) -> None:
        """Raise what iterating has come to."""
        self._raise_any([error])

    def _in_turn(self) -> Iterator[Place]:
        """Each place when it is its turn and it has answered."""
        for request, key in self._places:
            if not request.status(key):
                self._await(functools.partial(_is_in, request, key), None)
            yield request, key

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self._get_metadata(key, KeyError(key))
        if not isinstance(key, int | slice):
            raise TypeError(
                f"Invalid key type {type(key)}, must be 'int','slice', or 'str'"
            )
        values = self.get(return_exceptions=True)
        values = [values] if self._single else values
        chosen = values[key]
        if not self._return_exceptions:
            self._raise_any(chosen if isinstance(key, slice) else [chosen])
        return chosen

    # -- showing

    def display_outputs(
        self, groupby: str | None = None, result_only: bool = False
    ) -> None:
        """Print and display what the engines did, what is equal once.

        With "type", "engine" or "order" it is replayed engine by engine instead, under
        headings, as ipyparallel has it.
        """
        self._finish(None)
        together = all(request.together for request in self._requests)
        if groupby is None and together and not showing.is_one(self):
            showing.show(self, result_only=result_only)
            return
        places = self._places
        show_outputs(
            [Metadata(request, key) for request, key in places],
            [self._reply(request, key) for request, key in places],
            groupby=groupby or "type",
            result_only=result_only,
            single=self._single if groupby else showing.is_one(self),
        )

    def _reply(self, request: Filed, key: int) -> ExecuteReply | None:
        if self._about.kind != "execute" or request.status(key) != "ok":
            return None
        reply: ExecuteReply = request.value(key)
        return reply

    @contextlib.contextmanager
    def stream_output(
        self, fold: bool = True, progress_after: float = bars.PROGRESS_AFTER
    ) -> Iterator[Self]:
        """Show what comes while the block runs, what is equal once.

        Without `fold` everything is printed as it comes, under its engine's heading.
        After `progress_after` seconds a line says how far it is; -1 is never.
        """
        with showing.printing(self, fold=fold, progress_after=progress_after):
            yield self

    @contextlib.contextmanager
    def measure_progress(
        self, progress_after: float = bars.PROGRESS_AFTER
    ) -> Iterator[Self]:
        """Show only how far it is while the block runs, after so many seconds."""
        with showing.measuring(self, progress_after):
            yield self

    def wait_interactive(
        self,
        interval: float = 0.1,
        timeout: float | None = -1,
        widget: Any = None,
        return_when: str = ALL_COMPLETED,
    ) -> None:
        """Wait, and show on a terminal how far it is."""
        showing.wait_interactive(self, interval, timeout, return_when)

    def __repr__(self) -> str:
        state = "pending"
        if self.done():
            state = "failed" if self._failed() else "finished"
        return f"<{type(self).__name__}({self._fname}): {state}>"


def _is_in(request: Filed, key: int) -> bool:
    return bool(request.status(key))


class PartialResult(AsyncResult):
    """Some places of other results: what `split` and `join` make."""

    _followed: Sequence[Place] = ()

    def _follow(self, places: Iterable[Place]) -> None:
        self._followed = list(places)
        self._requests = list(dict.fromkeys(request for request, _ in self._followed))
        for request in self._requests:
            if (whole := request.result) is not None:
                whole._parts.append(self)
        self._settle()

    def _settle(self) -> None:
        with self._condition:
            self._news()
            finished = self.done() and self._waiting > 0
            if finished:
                self._waiting = 0
        if finished:
            self.set_result(None)

    def done(self) -> bool:
        """Whether all answers are here."""
        return all(self._states())

    @property
    def _places(self) -> list[Place]:
        return list(self._followed)

    def _values(self) -> list[Any]:
        return [request.value(key) for request, key in self._followed]


PartialResult.__name__ = "AsyncResult"  # what users read in its repr
