"""Every exception that Steer raises: one tree, a class for each reaction to it.

    SteerError
      UsageError              the call was wrong: fix the program (a ValueError too)
      NoEnginesRegistered     the call was right, nobody is here: start engines, or wait
      HubUnreachable          the connection to the hub is lost (a ConnectionError too)
      LaunchError             a job did not come up: .recipe .command .output .next_step
      ProtocolError           a message made no sense
        LocalProtocolError      because of this side
        RemoteProtocolError     because of the other side
      InternalError           a bug of ours; carries the story and asks to be reported
      TaskAborted             it was aborted before it started
      TaskTimeout             it did not start in time (a TimeoutError too)
      UnmetDependency
        ImpossibleDependency
          DependencyTimeout
          InvalidDependency
      DependencyError         a task whose result this one takes has failed
      TaskOverrun             it ran too long and was ended (a TimeoutError too)
      MPITaskError            a task of several ranks failed; an ExceptionGroup too
      NotYet                  a run has not done in time what it was asked for
      PlanError               what was planned for a point was not done, or failed
      TaskRejectError         an engine refuses a task, which goes to another
      RemoteError             user code raised on an engine: .ename .evalue .traceback
        (RemoteError and T)     it raised a T, which could travel: both names catch it
        EngineError             the engine died: .ranks .host .signal .exit_status
        CompositeError          several engines failed; an ExceptionGroup too
        AlreadyDisplayedError   stands for errors that were shown while they came

The names, and from RemoteError on the texts of `str`, `render_traceback` and
`print_traceback`, are ipyparallel's, because notebooks depend on them. New are: the
original type, the remote traceback as the cause, `except*`, and the folded form that
notebooks show. All of them survive pickling. TimeoutError is Python's own.
"""

from __future__ import annotations

import builtins
import functools
import io
import pickle
import re
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, Protocol, Self

from steer.ranks import RankSet, describe

TimeoutError = builtins.TimeoutError  # ipyparallel has this name here
EngineFacts = Mapping[str, Any]
"""engine_id, engine_uuid, method, and if known rank, size, host."""
Entry = tuple[str, str, str, EngineFacts | None]
"""How ipyparallel lists one engine's error: ename, evalue, traceback, engine_info."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class SteerError(Exception):
    """The root of all."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The usual way calls the class with args, which loses keyword arguments.
        return _restore, (type(self), self.args, dict(self.__dict__))


def _restore(
    cls: type[SteerError], args: tuple[Any, ...], facts: dict[str, Any]
) -> SteerError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(facts)
    return error


class UsageError(SteerError, ValueError):
    """The call was wrong."""


class NoEnginesRegistered(SteerError):
    """An operation needs engines and there are none."""

    def __init__(self, message: str = "") -> None:
        super().__init__(
            message
            or "No engines are connected. Start some with `steer start -n 4`, "
            "or wait with `client.wait_for_engines(4)`."
        )


class HubUnreachable(SteerError, ConnectionError):
    """The connection to the hub is lost or could not be made."""


class LaunchError(SteerError):
    """A job could not be started, or died before its engines were there."""

    def __init__(
        self,
        message: str,
        *,
        recipe: str = "",
        command: str = "",
        exit_status: int | None = None,
        output: str = "",
        next_step: str | None = None,
        transient: bool = False,
    ) -> None:
        super().__init__(message)
        self.recipe = recipe
        self.command = command
        self.exit_status = exit_status
        self.output = output
        self.next_step = next_step
        self.transient = transient

    def __str__(self) -> str:
        lines = [f"{self.args[0]} {self.next_step or ''}".rstrip()]
        if self.command:
            lines.append(f"The command was: {self.command}")
        if self.exit_status is not None:
            lines.append(f"Exit status: {self.exit_status}")
        if self.output:
            lines.append("Its last words:")
            lines += [f"    {line}" for line in self.output.splitlines()]
        return "\n".join(lines)


class ProtocolError(SteerError):
    """A message made no sense."""


class LocalProtocolError(ProtocolError):
    """This side was about to do what the protocol does not allow."""


class RemoteProtocolError(ProtocolError):
    """The other side did what the protocol does not allow."""


class InternalError(SteerError):
    """A bug in Steer."""

    def __init__(self, message: str = "", *, story: str = "") -> None:
        super().__init__(message)
        self.story = story

    def __str__(self) -> str:
        text = f"{self.args[0]} This is a bug in Steer; please report it".lstrip()
        if not self.story:
            return f"{text}."
        return f"{text} with what went before:\n{self.story}"


class TaskAborted(SteerError):
    """The task was aborted before it started."""


class TaskTimeout(SteerError, builtins.TimeoutError):
    """The task did not start in time."""


class UnmetDependency(SteerError):
    """What the task waits for has not happened."""


class ImpossibleDependency(UnmetDependency):
    """What the task waits for will never happen."""


class DependencyTimeout(ImpossibleDependency):
    """What the task waits for did not happen in time."""


class InvalidDependency(ImpossibleDependency):
    """The task waits for something that does not exist."""


class DependencyError(SteerError):
    """A task whose result this one takes has failed; its error is the cause."""


class TaskOverrun(SteerError, builtins.TimeoutError):
    """The task ran longer than its `timeout` and was ended."""


class NotYet(SteerError, builtins.TimeoutError):
    """What a run was asked for has not come about in time; it is still wanted."""


class PlanError(SteerError):
    """What was planned for a point was not done, or failed there on some ranks."""


class TaskRejectError(SteerError):
    """Raised by a task to be run on another engine."""


class RemoteTraceback(Exception):
    """The cause of a remote error: makes plain Python show the engine's traceback."""

    def __str__(self) -> str:
        title, text = self.args
        return f"{title}\n{_COLOUR.sub('', text)}"


class RemoteError(SteerError):
    """User code raised on an engine."""

    tb_limit = 4
    """CompositeError shows this many of its errors."""

    ename: str
    evalue: str
    traceback: str
    engine_info: EngineFacts | None
    pickled: bytes

    def __init__(
        self,
        ename: str,
        evalue: str,
        traceback: str | Iterable[str] = "",
        engine_info: EngineFacts | None = None,
    ) -> None:
        super().__init__(ename, evalue)
        _describe_remote(self, ename, evalue, traceback, engine_info, b"")

    def __reduce__(self) -> tuple[Any, ...]:
        # Not the object but what came over the wire: it survives everywhere.
        facts = (self.ename, self.evalue, self.traceback, self.engine_info)
        return _remote, (*facts, self.pickled)

    def __str__(self) -> str:
        return f"{_engine(self.engine_info)} {self.ename}: {self.evalue}"

    def __repr__(self) -> str:
        engine = (self.engine_info or {}).get("engine_id", "<unknown>")
        return f"<RemoteError[{engine}]:{self.ename}({self.evalue})>"

    def render_traceback(self) -> list[str]:
        """The engine's traceback, as lines."""
        lines = (self.traceback or "No traceback available").splitlines()
        return [_engine(self.engine_info), *lines]

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of the local traceback."""
        return self.render_traceback()

    def print_traceback(self, excid: int | None = None) -> None:
        """Print the engine's traceback."""
        sys.stdout.write("\n".join(self.render_traceback()) + "\n")


class EngineError(RemoteError):
    """An engine died with work to do, or is not there; says who, where and how."""

    def __init__(
        self,
        message: str = "",
        *,
        ranks: str = "",
        host: str = "",
        signal: str = "",
        exit_status: int | None = None,
        engine_info: EngineFacts | None = None,
    ) -> None:
        super().__init__("EngineError", message, "", engine_info)
        facts = engine_info or {}
        self.args = (message,)
        self.ranks = ranks or str(facts.get("rank", ""))
        self.host = host or str(facts.get("host", ""))
        self.signal = signal
        self.exit_status = exit_status

    def __reduce__(self) -> tuple[Any, ...]:
        return SteerError.__reduce__(self)

    def __str__(self) -> str:
        return self.evalue

    __repr__ = Exception.__repr__

    def render_traceback(self) -> list[str]:
        """There is none: the sentence says it all."""
        return [f"{_engine(self.engine_info)} {self.ename}: {self.evalue}"]


class CompositeError(RemoteError, ExceptionGroup[Exception]):
    """Several engines failed, or one of several did.

    `exceptions` holds the engines' errors, `elist` ipyparallel's tuples of them.
    """

    def __new__(
        cls, message: str, elist: Iterable[Exception | Entry]
    ) -> CompositeError:
        """Take exceptions, or tuples as in `elist`; composite ones are taken apart."""
        errors: list[Exception] = []
        for entry in elist:
            if isinstance(entry, CompositeError):
                errors += entry.exceptions
            elif isinstance(entry, Exception):
                errors.append(entry)
            else:
                errors.append(RemoteError(*entry))
        return ExceptionGroup.__new__(cls, message, errors)

    def __init__(self, message: str, elist: Iterable[Exception | Entry]) -> None:
        # RemoteError's own facts have no meaning here, and ipyparallel has None there.
        nothing: Any = None
        self.ename = self.evalue = self.traceback = self.engine_info = nothing
        self.pickled = b""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, list(self.exceptions))

    def derive(self, excs: Sequence[Any]) -> Self:  # type: ignore[override]
        """The same for some of the errors: what `except*` and `split` make."""
        return type(self)(self.message, excs)

    @property
    def elist(self) -> list[Entry]:
        """ename, evalue, traceback and engine_info of each error."""
        return [_entry(error) for error in self.exceptions]

    def __str__(self) -> str:
        lines = [self.message]
        for ename, evalue, _, info in self.elist[: self.tb_limit]:
            lines.append(f"{_engine(info)}{ename}: {evalue}")
        more = len(self.exceptions) - self.tb_limit
        if more > 0:
            lines.append(f".... {more} more exceptions ...")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"CompositeError({len(self.exceptions)})"

    def summary(self) -> list[str]:
        """A line for each different error, with the ranks that have it."""
        return [
            f"{describe(ranks)}: {ename}: {evalue}" if ranks else f"{ename}: {evalue}"
            for ranks, (ename, evalue, _, _) in self._folded(with_traceback=False)
        ]

    def render_traceback(self, excid: int | None = None) -> list[str]:
        """The tracebacks of the first errors, or of the one asked for, as lines."""
        if excid is not None:
            return _block(_entry(self._error(excid)))
        lines: list[str] = []
        for entry in self.elist[: self.tb_limit]:
            lines += [*_block(entry), ""]
        more = len(self.exceptions) - self.tb_limit
        if more > 0:
            lines.append(f"... {more} more exceptions ...")
        return lines

    def render_folded(self) -> list[str]:
        """Like render_traceback, but equal tracebacks appear once, with their ranks."""
        folded = self._folded(with_traceback=True)
        lines: list[str] = []
        for ranks, entry in folded[: self.tb_limit]:
            who = None if len(ranks) < 2 else describe(ranks)
            lines += [*_block(entry, who), ""]
        more = sum(max(1, len(ranks)) for ranks, _ in folded[self.tb_limit :])
        if more > 0:
            lines.append(f"... {more} more exceptions ...")
        return lines

    def _render_traceback_(self) -> list[str]:
        return self.render_folded()

    def print_traceback(self, excid: int | None = None) -> None:
        """Print the tracebacks of the first errors, or of the one asked for."""
        sys.stdout.write("\n".join(self.render_traceback(excid)) + "\n")

    def raise_exception(self, excid: int = 0) -> NoReturn:
        """Raise one of the errors."""
        raise self._error(excid)

    def _error(self, excid: int) -> Exception:
        try:
            return self.exceptions[excid]
        except IndexError:
            raise IndexError(
                f"an exception with index {excid} does not exist"
            ) from None

    def _folded(self, *, with_traceback: bool) -> list[tuple[list[int], Entry]]:
        groups: dict[Any, tuple[list[int], Entry]] = {}
        for entry in self.elist:
            ename, evalue, traceback, info = entry
            key = (ename, evalue, traceback if with_traceback else "")
            ranks, _ = groups.setdefault(key, ([], entry))
            engine = (info or {}).get("engine_id")
            if isinstance(engine, int):
                ranks.append(engine)
        return list(groups.values())


class MPITaskError(SteerError, ExceptionGroup[Exception]):
    """A task of several ranks failed on some of them.

    `exceptions` are the failed ranks' errors; `ranks` says of each rank of the task's
    communicator on which engine it was and how it ended.
    """

    def __new__(
        cls,
        message: str,
        errors: Sequence[Exception],
        ranks: Sequence[tuple[int, str]] = (),
    ) -> MPITaskError:
        """Take the errors, and for each rank its engine and how it ended."""
        return ExceptionGroup.__new__(cls, message, errors)

    def __init__(
        self,
        message: str,
        errors: Sequence[Exception],
        ranks: Sequence[tuple[int, str]] = (),
    ) -> None:
        self.ranks = tuple(ranks)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, list(self.exceptions), self.ranks)

    def derive(self, excs: Sequence[Any]) -> Self:  # type: ignore[override]
        """The same for some of the errors: what `except*` and `split` make."""
        return type(self)(self.message, excs, self.ranks)

    @classmethod
    def of(
        cls, name: str, told: Sequence[tuple[int, int, BaseException | None]]
    ) -> MPITaskError:
        """Of what became of each: its rank, its engine, its error or None.

        Those that only waited for one that failed come last, and are told apart.
        """
        causes: dict[int, Exception] = {}
        waited: dict[int, Exception] = {}
        ranks = []
        for rank, engine, error in told:
            ended = "ok" if error is None else f"{type(error).__name__}: {error}"
            ranks.append((engine, ended))
            if error is not None:
                one = error if isinstance(error, Exception) else RuntimeError(ended)
                one.add_note(f"on rank {rank} of {len(told)}, engine {engine}")
                (waited if isinstance(one, TaskAborted) else causes)[rank] = one
        if not causes:
            causes, waited = waited, {}
        message = (
            f"{name or 'The task'} failed on {describe(RankSet(causes))} of {len(told)}"
        )
        if waited:
            message += f", for which {describe(RankSet(waited))} waited"
        errors = [*causes.values(), *waited.values()]
        return cls(message, errors, ranks)


class AlreadyDisplayedError(RemoteError):
    """Ends a cell whose errors were shown while they came."""

    def __init__(self, original_error: CompositeError | int) -> None:
        if isinstance(original_error, int):
            self.n = original_error
        else:
            self.n = len(original_error.exceptions)
        super().__init__("AlreadyDisplayedError", f"{self.n} errors")
        self.original_error = original_error
        self.args = (original_error,)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.original_error,)

    def __str__(self) -> str:
        return f"{self.n} errors"

    def __repr__(self) -> str:
        return f"<AlreadyDisplayedError({self.n} errors)>"

    def render_traceback(self) -> list[str]:
        """Only how many there were."""
        return [str(self)]


NoEngines = NoEnginesRegistered
KernelError = IPythonError = SteerError  # ipyparallel's names for its upper classes


def collect_exceptions(
    results: Mapping[Any, Any] | Iterable[Any], method: str = "unspecified"
) -> list[Any]:
    """Give the results back as a list, or raise CompositeError for their errors."""
    values = list(results.values() if isinstance(results, Mapping) else results)
    errors = [value for value in values if isinstance(value, RemoteError)]
    if errors:
        raise CompositeError(f"one or more exceptions raised in: {method}", errors)
    return values


# -- from the wire


class WireError(Protocol):
    """What travels of an exception: `ErrorInfo` of steer.wire."""

    @property
    def ename(self) -> str: ...  # noqa: D102  the names say it
    @property
    def evalue(self) -> str: ...  # noqa: D102
    @property
    def traceback(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def pickled(self) -> bytes: ...  # noqa: D102


def from_wire(info: WireError, engine_info: EngineFacts | None = None) -> Exception:
    """Make the exception to raise here of what came from an engine or the hub.

    What user code raised is a RemoteError and, where possible, of its own type too.
    What Steer itself says of a request is of the class that it names.
    """
    own = _OWN.get(info.ename)
    if own is not None and not info.traceback and not info.pickled:
        if own is EngineError:
            return EngineError(info.evalue, engine_info=engine_info)
        return own(info.evalue)
    text = "\n".join(info.traceback)
    return _remote(info.ename, info.evalue, text, engine_info, info.pickled)


_OWN: dict[str, type[SteerError]] = {
    cls.__name__: cls
    for cls in (
        UsageError, NoEnginesRegistered, HubUnreachable, LaunchError, InternalError,
        ProtocolError, LocalProtocolError, RemoteProtocolError, TaskAborted,
        TaskTimeout, UnmetDependency, ImpossibleDependency, DependencyTimeout,
        InvalidDependency, DependencyError, TaskOverrun, TaskRejectError, EngineError,
    )
}  # fmt: skip


def _remote(
    ename: str,
    evalue: str,
    traceback: str,
    engine_info: EngineFacts | None,
    pickled: bytes,
) -> Exception:
    original = _unpickle(pickled)
    if isinstance(original, EngineError):
        original.engine_info = original.engine_info or engine_info
        return original
    error = None if original is None else _as_remote(original)
    if error is not None:
        _describe_remote(error, ename, evalue, traceback, engine_info, pickled)
        return error
    error = RemoteError(ename, evalue, traceback, engine_info)
    error.pickled = pickled
    if original is not None:
        original.__cause__, error.__cause__ = error.__cause__, original
    return error


def _describe_remote(
    error: RemoteError,
    ename: str,
    evalue: str,
    traceback: str | Iterable[str],
    engine_info: EngineFacts | None,
    pickled: bytes,
) -> None:
    error.ename = ename
    error.evalue = evalue
    error.traceback = traceback if isinstance(traceback, str) else "\n".join(traceback)
    error.engine_info = engine_info
    error.pickled = pickled
    if error.traceback:
        error.__cause__ = RemoteTraceback(_title(engine_info), error.traceback)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == "mpi4py.MPI" and module not in sys.modules:
            # Its import begins MPI in this process, of which files may be left.
            raise pickle.UnpicklingError(f"{module} is not loaded here")
        return super().find_class(module, name)


def _unpickle(pickled: bytes) -> BaseException | None:
    if not pickled:
        return None
    try:
        error = _Unpickler(io.BytesIO(pickled)).load()
    except Exception:  # noqa: BLE001  users' classes run here; the texts still tell all
        return None
    return error if isinstance(error, BaseException) else None


# These mean something to the one who catches them here: a rank's KeyboardInterrupt must
# not end the client's program, a StopIteration must not end its loop.
_NOT_HERE = (StopIteration, StopAsyncIteration, BaseExceptionGroup)


def original(info: WireError, engine_info: EngineFacts | None = None) -> BaseException:
    """The exception as it was raised, with the remote traceback as its cause; where it
    cannot be unpickled, a RemoteError."""
    found = _unpickle(info.pickled)
    if not isinstance(found, Exception) or isinstance(found, RemoteError):
        return from_wire(info, engine_info)
    found.__cause__ = RemoteTraceback(_title(engine_info), "\n".join(info.traceback))
    return found


def _as_remote(original: BaseException) -> RemoteError | None:
    """The same exception as a RemoteError too; None where that cannot be."""
    if not isinstance(original, Exception) or isinstance(original, _NOT_HERE):
        return None
    if isinstance(original, RemoteError):
        return None
    try:
        kind: Any = type(original)  # mypy finds classes not hashable
        cls = _both(kind)
        error: RemoteError = cls.__new__(cls)
        _copy_fields(original, error)
        error.__dict__.update(original.__dict__)
    except Exception:  # noqa: BLE001  clashing layouts, __new__ or __setattr__ of users
        return None
    return error


@functools.lru_cache(maxsize=256)
def _both(cls: Any) -> type[RemoteError]:
    # Named after RemoteError: its text names the other type.
    body = {"__module__": __name__, "__qualname__": "RemoteError"}
    return types.new_class(
        "RemoteError", (RemoteError, cls), {}, lambda names: names.update(body)
    )


def _copy_fields(source: BaseException, target: BaseException) -> None:
    """Copy what an exception keeps outside its dictionary: `errno`, `lineno`, slots."""
    fields = (types.MemberDescriptorType, types.GetSetDescriptorType)
    for cls in type(source).__mro__:
        for name, field in vars(cls).items():
            if not isinstance(field, fields) or name.startswith("__"):
                continue
            try:
                field.__set__(target, field.__get__(source))
            except (AttributeError, TypeError):
                continue  # not set there, or cannot be set: characters_written


# -- texts


def _engine(info: EngineFacts | None) -> str:
    if not info or "engine_id" not in info:
        return "[Engine Exception]"
    return f"[{info['engine_id']}:{info.get('method')}]"


def _title(info: EngineFacts | None) -> str:
    info = info or {}
    if "rank" in info and "host" in info:
        return f"rank {info['rank']} of {info.get('size', '?')} on {info['host']}"
    if "engine_id" in info:
        return f"engine {info['engine_id']}"
    return "an engine"


def _entry(error: BaseException) -> Entry:
    if isinstance(error, RemoteError):
        return error.ename, error.evalue, error.traceback, error.engine_info
    return type(error).__name__, str(error), "", getattr(error, "engine_info", None)


def _block(entry: Entry, who: str | None = None) -> list[str]:
    ename, evalue, traceback, info = entry
    method = (info or {}).get("method")
    title = f"{_engine(info)}:" if who is None else f"[{who}:{method}]:"
    if not traceback:
        return [title, f"{ename}: {evalue}"]
    return [title, *traceback.splitlines()]
