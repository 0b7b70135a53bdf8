"""How a cell of ranks ends, in the messages that Jupyter has for it.

What last lines gave becomes one execute_result: of one rank as it is there, of several
folded. Errors become one error message: its name and text are those of the lowest rank
of the largest kind, its traceback is that of all, folded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from steer.client import folded
from steer.client.failures import Failures
from steer.client.rich import Gallery
from steer.errors import AlreadyDisplayedError, RemoteError, SteerError
from steer.magics.mistakes import Interrupted

if TYPE_CHECKING:
    from steer.client.asyncresult import AsyncResult

__all__ = ["CellFailed", "Given", "as_raised_there", "given"]

LEFT = "Restarting the kernel ends the ranks that still run."


class Given:
    """What the last lines of a cell gave; shown as Out[n]."""

    def __init__(self, data: dict[str, Any], metadata: dict[str, Any]) -> None:
        self.data = data
        self.metadata = metadata

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.data, self.metadata

    def __repr__(self) -> str:
        return str(self.data.get("text/plain", ""))


def given(result: AsyncResult) -> Given | None:
    """What a finished cell gave; rich things of several ranks are displayed."""
    replies = [result._reply(*place) for place in result._places]
    those = [reply for reply in replies if reply is not None and reply.data]
    if not those:
        return None
    if len(replies) == 1:
        return Given(those[0].data, those[0]._data_metadata)
    Gallery().show({}, folded.rich_results(result))
    text = folded.results(result, alone=True)
    if not text:
        return None
    plain, html = folded.joined([("result", text)])
    return Given({"text/plain": plain, "text/html": html}, {})


class CellFailed(Exception):
    """A cell failed on ranks; its class is named as the error was there."""

    lines: Sequence[str] = ()

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of our frames."""
        return list(self.lines)


def as_raised_there(
    error: SteerError | Interrupted, result: AsyncResult | None = None
) -> CellFailed:
    """The error that ends the cell, with what its ranks raised if they have ended."""
    lines: list[str] = []
    first: BaseException = error
    if result is not None and result.done():
        failures = Failures(len(result._places))
        errors = [(engine, r.value(engine)) for r, engine in result._failed()]
        for engine, raised in errors:
            failures.add(engine, raised)
        lines = failures.lines()
        if isinstance(error, AlreadyDisplayedError | RemoteError) and errors:
            first = errors[0][1]
    name = first.ename if isinstance(first, RemoteError) else type(first).__name__
    text = first.evalue if isinstance(first, RemoteError) else str(first)
    if isinstance(error, Interrupted) and result is not None and not result.done():
        text = f"{text} {LEFT}"
    if first is error or not lines:
        lines = [*lines, f"{name}: {text}"]
    failed: CellFailed = type(name, (CellFailed,), {"lines": lines})(text)
    return failed
