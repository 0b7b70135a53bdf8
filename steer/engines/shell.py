"""Runs cells in the user's namespace: plain Python at once, everything else by IPython.

IPython's run_cell costs 130-270 us and its import 0.2 s; compile and exec cost 10 us.
So a silent cell that Python itself can compile never passes through IPython, which is
imported when the first other cell comes (`ipython.py`), or when there is time (`warm`).
What differs from run_cell(silent=True) is only the time: `display` and `get_ipython`
are there, figures come at the end, __future__ imports last, tracebacks find the lines.

Nothing is sent here and nothing is printed: errors and results are returned, displays
go to `on_display`. Whatever a cell raises, SystemExit and KeyboardInterrupt included,
is an outcome; a rank does not end by it.
"""

from __future__ import annotations
import __future__

import builtins
import contextlib
import functools
import keyword
import linecache
import operator
import re
import signal
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from types import CodeType
from typing import TYPE_CHECKING, Any

import msgspec

from steer.core.cellname import cell_name as cell_name
from steer.engines.namespace import Namespace
from steer.engines.surroundings import Surroundings
from steer.engines.tracebacks import Report, format_error, users_part

if TYPE_CHECKING:
    from steer.engines.ipython import SteerShell

OnDisplay = Callable[
    [str, dict[str, Any], dict[str, Any], dict[str, Any], bool], object
]
"""Gets kind ("display_data" or "clear_output"), data, metadata, transient, update."""

REMEMBERED_CELLS = 512
REMEMBERED_SOURCES = 10_000
LARGEST_REMEMBERED = 64 * 1024

STAYS = (
    "This rank goes on: exit and quit do not end an engine. To end engines, call "
    "client.shutdown() or `steer stop`."
)
_IPYTHONS = ("In", "Out", "exit", "quit", "get_ipython", "open")
"""Variables that IPython makes."""
_FEATURES = functools.reduce(
    operator.or_,
    (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names),
)
# A line that starts with a word that means nothing to Python may be a magic without its
# sign: `ls`, and `ls -l` too.
_WORD_FIRST = re.compile(r"\s*([A-Za-z_]\w*)(?:\s+[^=\s].*|\s*)")
_NO_MAGIC = {*keyword.kwlist, *keyword.softkwlist}


class CellOutcome(msgspec.Struct, frozen=True):
    """How a cell ended."""

    ok: bool
    execution_count: int
    result_data: dict[str, Any] | None = None
    """`data` and `metadata` by mime type: what the last expression gave."""
    error: Report | None = None


class _Plain(msgspec.Struct, frozen=True):
    """A cell that Python understands."""

    code: CodeType
    word: str
    """What it starts with, if that could be the name of a magic."""


class Shell:
    """The one who runs cells in this process."""

    def __init__(self, namespace: Namespace, on_display: OnDisplay) -> None:
        self._namespace = namespace
        self._on_display = on_display
        self._ipython: SteerShell | None = None
        self._flags = 0
        self._cells: OrderedDict[tuple[str, int], _Plain | None] = OrderedDict()
        self.surroundings = Surroundings(_names(self.get_ipython), self.warm)

    def warm(self) -> SteerShell:
        """Have IPython ready."""
        if self._ipython is None:
            with _no_interrupts():  # half an import of IPython would stay for ever
                from steer.engines.ipython import make

                with self._namespace.program_first(_IPYTHONS):
                    self._ipython = make(self._namespace, self._on_display)
                self._ipython.compile.flags |= self._flags
        self._ipython.follow(self._namespace.variables)
        return self._ipython

    def get_ipython(self) -> SteerShell:
        """What user code gets by this name."""
        return self.warm()

    def run(
        self, code: str, *, silent: bool = True, store_history: bool = False
    ) -> CellOutcome:
        """Run a cell to its end."""
        if silent:
            cell = self._find_plain(code)
            if cell is not None:
                return self._run_plain(cell)
        return self._run_in_ipython(code, silent, store_history)

    # -- plain Python

    def _find_plain(self, source: str) -> _Plain | None:
        ipython = self._ipython
        if ipython is not None:
            if ipython.ast_transformers:
                return None
            self._flags = ipython.compile.flags & _FEATURES
        key = (source, self._flags)
        if key in self._cells:
            self._cells.move_to_end(key)
            cell = self._cells[key]
        else:
            cell = self._compile(source)
            if len(source) <= LARGEST_REMEMBERED:
                self._cells[key] = cell
            if len(self._cells) > REMEMBERED_CELLS:
                self._cells.popitem(last=False)
        if cell is None or (cell.word and self._means_nothing(cell.word)):
            return None
        return cell

    def _compile(self, source: str) -> _Plain | None:
        name = cell_name(source)
        try:
            code = compile(source, name, "exec", self._flags, dont_inherit=True)
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
            return None
        if features := code.co_flags & _FEATURES:
            self._flags |= features
            if self._ipython is not None:
                self._ipython.compile.flags |= features
        remember_source(name, source)
        word = _WORD_FIRST.fullmatch(source)
        if word is None or word[1] in _NO_MAGIC:
            return _Plain(code, "")
        return _Plain(code, word[1])

    def _means_nothing(self, word: str) -> bool:
        if word in ("exit", "quit"):
            return True
        return word not in self._namespace.variables and not hasattr(builtins, word)

    def _run_plain(self, cell: _Plain) -> CellOutcome:
        error: BaseException | None = None
        ipython = self._ipython
        try:
            if ipython is not None:
                ipython.events.trigger("pre_execute")
            exec(cell.code, self._namespace.variables)
        except BaseException as raised:  # noqa: BLE001  # the user's, all of it
            error = raised
        ipython = self._ipython  # which the cell may have called for
        if ipython is None:
            return self._outcome(error, 1)
        ipython.shown.clear()
        try:
            ipython.events.trigger("post_execute")
        except BaseException as raised:  # noqa: BLE001
            error = error or raised
        if error is None and ipython.shown:
            error = ipython.shown[0]
        return self._outcome(error, ipython.execution_count)

    # -- the rest

    def _run_in_ipython(
        self, code: str, silent: bool, store_history: bool
    ) -> CellOutcome:
        ipython = self.warm()
        count = ipython.execution_count
        error: BaseException | None
        try:
            error = ipython.run(code, silent=silent, store_history=store_history)
        except BaseException as raised:  # noqa: BLE001  # an interrupt at a bad moment
            error = raised
        return self._outcome(error, count, ipython.take_result())

    def _outcome(
        self,
        error: BaseException | None,
        count: int,
        result: dict[str, Any] | None = None,
    ) -> CellOutcome:
        if error is None:
            return CellOutcome(True, count, result)
        self._remember(error)
        report = format_error(error)
        if report.ename == "UsageError":  # of a magic: its text says it all
            text = f"{report.ename}: {report.evalue}"
            report = Report(report.ename, report.evalue, [text], error)
        return CellOutcome(False, count, result, report)

    def _remember(self, error: BaseException) -> None:
        tb = users_part(error.__traceback__)
        if tb is not None:
            error.__traceback__ = tb
        sys.last_type, sys.last_value = type(error), error
        sys.last_traceback = error.__traceback__
        if sys.version_info >= (3, 12):
            sys.last_exc = error


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """An interrupt in here comes at the end.

    To block the signal would not do: the kernel then gives it to any other thread that
    does not block it, and Python raises it in the main thread all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda signum, _: came.append(signum))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)


class _Leave:
    """`exit` and `quit`, for code that does not pass through IPython."""

    def __call__(self, code: object = None) -> None:
        sys.stdout.write(f"{STAYS}\n")

    def __repr__(self) -> str:
        return STAYS


_sources: OrderedDict[str, None] = OrderedDict()


def remember_source(name: str, source: str) -> None:
    """Let tracebacks and `inspect` find the lines of a cell."""
    lines = [f"{line}\n" for line in source.splitlines()]
    # Without a time: checkcache leaves such an entry alone.
    linecache.cache[name] = (len(source), None, lines, name)
    _sources[name] = None
    _sources.move_to_end(name)
    if len(_sources) > REMEMBERED_SOURCES:
        oldest, _ = _sources.popitem(last=False)
        linecache.cache.pop(oldest, None)


def _names(get_ipython: Callable[[], object]) -> dict[str, Any]:
    """The names that builtins have where IPython is."""

    def display(*objects: Any, **options: Any) -> Any:
        """Show objects in their richest form."""
        get_ipython()
        from IPython.display import display as display_now

        return display_now(*objects, **options)  # type: ignore[no-untyped-call]

    return {
        "display": display, "get_ipython": get_ipython,
        "exit": _Leave(), "quit": _Leave(),
    }  # fmt: skip
