"""What this rank measures at points, and the conditions it looks at.

A watch is a plan that recurs: at each of its points main evaluates an expression in the
frame of the loop. Without `on` its value is a number, or an array of which the least,
the mean and the most count; these go to the hub in bundles, some ten in a second
(`core/samples.py`), from the I/O thread, also when main comes to no more points.

With `on` it is a condition, and something happens when it becomes true:

    freeze      this rank holds, the others run until MPI stops them
    align       the hub is told, and stops all ranks a point or so later
    collective  all ranks ask each other whether it is true on one of them, and all hold
                at that very point; this costs them an Allreduce

When it is true all the time that is one event, not one at each point.
"""

from __future__ import annotations

import array
import builtins
import functools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from types import CodeType
from typing import Any, NamedTuple, Protocol

from steer.core.samples import Row, Thinned
from steer.engines import here, inframe
from steer.engines.namespace import Namespace
from steer.engines.planned import Planned
from steer.engines.points import Session
from steer.engines.run import Runner
from steer.errors import UsageError
from steer.wire.frames import pack
from steer.wire.messages import Fired, Message, Sample
from steer.wire.plans import Watch, decode_deed

SHOWN = 4
"""Names of a condition whose values are told when it is met."""
LONGEST = 24
"""Characters of such a value."""


class Engine(Protocol):
    """What the rank's engine does for its watches."""

    def freeze(self, why: str, *, together: bool = False) -> None:
        """Let main hold here when it has done what is due."""

    def communicator(self) -> Any:
        """Of the ranks that come to this point; nobody else uses it."""

    def send(self, message: Message, frames: Sequence[bytes] = ()) -> None:
        """To the hub; from the I/O thread."""

    def call_later(self, seconds: float, job: Callable[[], object]) -> None:
        """Do it in the I/O thread; from any thread."""


class Rank:
    """A rank whose program is steered."""

    def __init__(self, runner: Runner, session: Session) -> None:
        self.freeze = session.freeze
        self._session = session
        self._wire = runner.wire
        self._own: dict[int, Any] = {}
        """Communicators, by that of the family."""

    def communicator(self) -> Any:
        """A duplicate, because the program's may have messages under way. All ranks
        come here at the same point, so they may make it together."""
        comm = self._session.communicator()
        if comm is None:
            return here.aside
        if id(comm) not in self._own:
            self._own[id(comm)] = comm.Dup()
        return self._own[id(comm)]

    def send(self, message: Message, frames: Sequence[bytes] = ()) -> None:
        """To the hub; from the I/O thread."""
        self._wire.send(message, frames)

    def call_later(self, seconds: float, job: Callable[[], object]) -> None:
        """Do it in the I/O thread; from any thread."""
        loop = self._wire.loop
        loop.call_soon(lambda: loop.call_later(seconds, job) if seconds else job())


def attach(run: str, runner: Runner, session: Session, plans: Planned) -> Watches:
    """Let plans be watches too."""
    watches = Watches(run, runner.namespace, Rank(runner, session))
    plans.loaders["watch"] = watches.load
    plans.quiet.add("watch")
    return watches


class Watches:
    """What is watched on this rank."""

    def __init__(self, run: str, namespace: Namespace, engine: Engine) -> None:
        self.run = run
        self.namespace = namespace
        self.engine = engine
        self._bundles: dict[int, Thinned] = {}
        self._due = False
        """Whether bundles will be sent soon."""
        self._lock = threading.Lock()

    def load(self, plan: int, body: bytes) -> Callable[[int], None]:
        """Make what is to be done at points for such a plan."""
        watch = decode_deed("watch", body)
        assert isinstance(watch, Watch)
        expression = Expression(watch.expression, self.namespace)
        if watch.on:
            return Trigger(self, plan, watch, expression)
        return functools.partial(self._measure, plan, watch.period, _Steady(expression))

    def _measure(
        self, plan: int, period: float, expression: _Steady, point: int
    ) -> None:
        row, error = expression.row(point)
        with self._lock:
            self._bundles.setdefault(plan, Thinned()).add(row)
            late, self._due = not self._due, True
        if late:
            self.engine.call_later(period, self.flush)
        if error is not None:
            raise error

    def flush(self) -> None:
        """Send what there is; in the I/O thread."""
        with self._lock:
            bundles = {plan: rows.take() for plan, rows in self._bundles.items()}
            self._due = False
        for plan, rows in bundles.items():
            if rows:
                message = Sample(self.run, plan, rows[-1].point)
                self.engine.send(message, (pack(rows),))


class Expression:
    """Something that is evaluated in the frame of the loop."""

    def __init__(self, text: str, namespace: Namespace) -> None:
        self.text = text
        self._namespace = namespace
        try:
            self._code = compile(text.strip(), "<watch>", "eval", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            raise UsageError(f"{text!r} is no expression: {error}.") from None
        self._names = list(dict.fromkeys(_names(self._code)))

    def value(self) -> Any:
        """What it is now."""
        scope = self._scope()
        return eval(self._code, {"__builtins__": builtins, **scope})

    def told(self) -> str:
        """With the numbers that are in it: `residual < 1e-06 (residual = 9.2e-07)`."""
        shown = [
            f"{name} = {value!r}"
            for name, value in self._scope().items()
            if isinstance(value, bool | int | float | str)
            and len(repr(value)) <= LONGEST
        ]
        about = f" ({', '.join(shown[:SHOWN])})" if shown else ""
        return f"{self.text.strip()}{about}"

    def _scope(self) -> dict[str, Any]:
        frame = inframe.loops_frame()
        return inframe.look_up(self._names, self._namespace, frame)


def _names(code: CodeType) -> Iterator[str]:
    """All that code may want to know by name."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


class _Steady:
    """An expression that always has a row, and says each error once."""

    def __init__(self, expression: Expression) -> None:
        self._expression = expression
        self._told: set[str] = set()

    def row(self, point: int) -> tuple[Row, Exception | None]:
        """What it is at this point, and what is wrong with that."""
        try:
            return Row(point, *numbers(self._expression.value())), None
        except Exception as error:  # noqa: BLE001  the user's, whatever it is
            text = f"{type(error).__name__}: {error}"
            news = text not in self._told
            self._told.add(text)
            return Row(point, *(math.nan,) * 3), error if news else None


def numbers(value: Any) -> tuple[float, float, float]:
    """The least, the mean and the most of it, which are the same for one number."""
    if isinstance(value, list | tuple) and value:
        least, most = min(value), max(value)
        return float(least), float(sum(value) / len(value)), float(most)
    if getattr(value, "ndim", 0) and getattr(value, "size", 0):
        return float(value.min()), float(value.mean()), float(value.max())
    try:
        number = float(value)
    except (TypeError, ValueError):
        what = type(value).__name__
        if getattr(value, "size", 1) == 0 or value in ([], ()):
            raise UsageError("It is empty: there is no number in it.") from None
        raise UsageError(f"It is of type {what}, and not a number.") from None
    return number, number, number


def is_true(value: Any) -> bool:
    """Whether a condition is met; by an array, if it is by one of its elements."""
    if getattr(value, "ndim", 0) and hasattr(value, "any"):
        return bool(value.any())
    return bool(value)


class Seen(NamedTuple):
    """What a condition is, on this rank or on all."""

    met: bool
    why: str = ""


class Trigger:
    """A condition, and what happens when it is met."""

    def __init__(
        self, watches: Watches, plan: int, watch: Watch, expression: Expression
    ) -> None:
        self._watches = watches
        self._plan = plan
        self._watch = watch
        self._expression = expression
        self._met = False
        self._told: set[str] = set()

    def __call__(self, point: int) -> None:
        """Look at it."""
        error: Exception | None = None
        try:
            met = is_true(self._expression.value())
        except Exception as mistake:  # noqa: BLE001  the user's, whatever it is
            met = False
            text = f"{type(mistake).__name__}: {mistake}"
            error = None if text in self._told else mistake
            self._told.add(text)
        seen = Seen(met, self._expression.told() if met else "")
        together = self._watch.on == "collective"
        if together:  # also with an error: the others wait for this rank
            seen = self._ask_all(seen)
        if seen.met and not self._met:
            self._fire(point, seen.why, together)
        self._met = seen.met or (self._met and self._watch.once)
        if error is not None:
            raise error

    def _ask_all(self, seen: Seen) -> Seen:
        comm = self._watches.engine.communicator()
        mine = comm.rank if seen.met else comm.size
        first = _least(comm, mine)
        if first == comm.size:
            return Seen(False)
        text = self._expression.text.strip()
        return Seen(True, seen.why or f"{text} is true on rank {first}")

    def _fire(self, point: int, why: str, together: bool) -> None:
        engine = self._watches.engine
        holds = self._watch.on != "align"
        if holds:
            engine.freeze(why, together=together)
        fired = Fired(
            self._watches.run, self._plan, point, why, holds, self._watch.once
        )
        engine.call_later(0.0, lambda: engine.send(fired))


def _least(comm: Any, number: int) -> int:
    from mpi4py import MPI

    # Buffers: what mpi4py pickles makes a communicator at the first call.
    mine, least = array.array("i", [number]), array.array("i", [0])
    comm.Allreduce(mine, least, op=MPI.MIN)
    return least[0]
