"""What this rank is to do at points, without stopping: the engine's side of plans.

The I/O thread takes the bodies of plans, and says so; main does at a point what is due
there. Bodies are opened by main, because a pickle may import the user's modules, and
only main runs users' code.

An error in what a user planned is told, and the program goes on: it is not the
program's. KeyboardInterrupt and SystemExit are meant for the program, and reach it.

What `set` does is in `declared`; code runs in the frame of the loop (`inframe`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from steer.core import page
from steer.core.page import Words
from steer.engines import declared, inframe
from steer.engines.namespace import Namespace
from steer.engines.shell import cell_name, remember_source
from steer.engines.tracebacks import format_error
from steer.errors import SteerError, UsageError
from steer.wire import payload
from steer.wire.plans import Call, Changes, Code, decode_deed

Do = Callable[[int], object]
"""Does at a point, which it is given, what was planned."""
Load = Callable[[int, bytes], Do]
"""Makes that of a plan's number and body."""
Tell = Callable[[int, int, str, float], object]
"""Plan, point, what went wrong, seconds."""

OLD = 64
"""Plans later, one that was never prepared will not be any more."""


class _Kept(msgspec.Struct):
    """A plan."""

    verb: str
    text: str
    load: Callable[[], Do]
    do: Do | None = None
    applied: bool = False
    said: str = ""
    """What went wrong the last time: what recurs says it once."""
    gone: bool = False


class Planned:
    """The plans of this rank."""

    def __init__(
        self, words: Words, namespace: Namespace, rank: Callable[[], int], tell: Tell
    ) -> None:
        self._words = words
        self._namespace = namespace
        self._rank = rank
        """The id of this engine."""
        self._tell = tell
        self._kept: dict[int, _Kept] = {}
        self.loaders: dict[str, Load] = {
            "set": self._set,
            "code": self._code,
            "call": self._call,
        }
        """By verb; others may add theirs."""
        self.quiet: set[str] = set()
        """Verbs that are said to be done only if they fail: there are too many."""

    # -- in the I/O thread

    def take(self, plan: int, verb: str, body: bytes, text: str = "") -> str:
        """Have what is to be done for a plan; says why it may not be, if so."""
        self._sweep(plan)
        kept = _Kept(verb, text, lambda: self._load(plan, verb, body))
        self._kept.setdefault(plan, kept).gone = False
        return self._try(body) if verb == "set" else ""

    def concerns(self, verb: str, body: bytes) -> bool:
        """Whether the program has any of the parameters that are to be changed."""
        return verb != "set" or declared.has_some(_names(body))

    def _try(self, body: bytes) -> str:
        try:
            changes = decode_deed("set", body)
            if isinstance(changes, Changes) and changes.unchecked:
                return ""
            return declared.try_change(self._changes(body))
        except SteerError as error:
            return str(error)

    def forget(self, plan: int) -> None:
        """Nothing will be done for it any more."""
        kept = self._kept.get(plan)
        if kept is not None:
            kept.gone = True  # main may be about to do it once more

    def answer(self, what: str, body: bytes) -> bytes:
        """What users ask: "params" are the parameters that there are."""
        return msgspec.msgpack.encode(declared.describe())

    def known(self) -> list[tuple[int, str, str]]:
        """The plans that are to be done yet: number, verb, text."""
        on_page, kept = self._on_page(), list(self._kept.items())
        return [(plan, k.verb, k.text) for plan, k in kept if plan in on_page]

    def _sweep(self, newest: int) -> None:
        """Forget what is over: those that no family's page has."""
        on_page = self._on_page()
        for plan, kept in list(self._kept.items()):
            over = kept.applied or kept.gone or plan <= newest - OLD
            if over and plan not in on_page:
                del self._kept[plan]

    def _on_page(self) -> set[int]:
        words = self._words
        bases = map(page.family_base, range(words[page.Head.FAMILIES]))
        return {words[slot] for base in bases for slot in page.plan_bases(base)}

    # -- on main, at a point

    def has(self, plan: int) -> bool:
        """Whether it is known what to do."""
        return plan in self._kept

    def apply(self, plan: int, point: int) -> None:
        """Do it, and say how it went."""
        kept = self._kept[plan]
        began = time.perf_counter()
        error = ""
        try:
            if kept.do is None:
                kept.do = kept.load()
            kept.do(point)
        except SteerError as mistake:
            error = str(mistake)
        except Exception as mistake:  # noqa: BLE001  the user's, whatever it is
            error = _describe(mistake)
            _show(mistake, point)
        except KeyboardInterrupt:
            error = "KeyboardInterrupt"
            raise
        finally:
            again, kept.applied = kept.applied, True
            known, kept.said = kept.said, error
            if error != known if again else error or kept.verb not in self.quiet:
                self._tell(plan, point, error, time.perf_counter() - began)

    # -- what there is to do

    def _load(self, plan: int, verb: str, body: bytes) -> Do:
        return self.loaders[verb](plan, body)

    def _set(self, plan: int, body: bytes) -> Do:
        mine = self._changes(body)
        return lambda point: declared.change(mine)

    def _changes(self, body: bytes) -> dict[str, Any]:
        """What changes on this rank."""
        changes = decode_deed("set", body)
        assert isinstance(changes, Changes)
        for part in changes.parts:
            if part.ranks and (no := declared.must_be_uniform(part.values)):
                raise UsageError(no)
        return changes.on(self._rank())

    def _code(self, plan: int, body: bytes) -> Do:
        code = decode_deed("code", body)
        assert isinstance(code, Code)
        name = cell_name(code.source)
        compiled = compile(code.source, name, "exec", dont_inherit=True)
        remember_source(name, code.source)

        def do(point: int) -> None:
            with inframe.bound(self._namespace, inframe.loops_frame()):
                exec(compiled, self._namespace.variables)

        return do

    def _call(self, plan: int, body: bytes) -> Do:
        call = decode_deed("call", body)
        assert isinstance(call, Call)
        function, args, kwargs = payload.loads([call.pickled])

        def do(point: int) -> None:
            with inframe.bound(self._namespace, inframe.loops_frame()):
                self._namespace.bind(function)(*args, **kwargs)

        return do


def _names(body: bytes) -> set[str]:
    """The parameters that somebody wants to change, on whichever ranks."""
    changes = decode_deed("set", body)
    assert isinstance(changes, Changes)
    return {name for part in changes.parts for name in part.values}


def _describe(error: Exception) -> str:
    report = format_error(error)
    return f"{report.ename}: {report.evalue}" if report.evalue else report.ename


def _show(error: Exception, point: int) -> None:
    """Print it where the program's own errors appear."""
    headline = f"At point {point}, in what was planned:"
    sys.stderr.write("\n".join([headline, *format_error(error).traceback, ""]))
