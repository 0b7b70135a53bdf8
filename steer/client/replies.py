"""What a cell gives back: its reply, what it printed and displayed, and how that is
shown.

The headings are ipyparallel's, because people's eyes and scripts know them:
`[stdout:ID]`, `[stderr:ID]`, `[output:ID]`, `Out[ID:n]: `.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Self

from steer.core.texts import collapse as collapse
from steer.ranks import RankSet

RICH = ("html", "markdown", "latex", "svg", "png", "jpeg", "json", "javascript")
_TYPES = {
    "html": "text/html", "markdown": "text/markdown", "latex": "text/latex",
    "svg": "image/svg+xml", "png": "image/png", "jpeg": "image/jpeg",
    "json": "application/json", "javascript": "application/javascript",
}  # fmt: skip
Action = Callable[[], None]
GROUPINGS = ("type", "engine", "order")


def _rich(name: str) -> Callable[[ExecuteReply], Any]:
    mime = _TYPES[name]

    def represent(reply: ExecuteReply) -> Any:
        found = reply.data.get(mime)
        if isinstance(found, str) and name in ("png", "jpeg"):
            return base64.b64decode(found)
        return found

    represent.__doc__ = f"The {mime} that came, or None."
    return represent


class ExecuteReply:
    """The reply of one engine to a cell."""

    def __init__(
        self, engine: int, count: int, data: Mapping[str, Any] | None, metadata: Any
    ) -> None:
        self.execution_count = count
        self.metadata = metadata
        self._engine = engine
        self._has_result = data is not None
        self.data: dict[str, Any] = dict((data or {}).get("data", {}))
        self._data_metadata: dict[str, Any] = dict((data or {}).get("metadata", {}))

    source = "python"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self.metadata:
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}"
            )
        return self.metadata[name]

    def __getitem__(self, key: str) -> Any:
        return self.metadata[key]

    def _content(self) -> dict[str, Any] | None:
        """What metadata call `execute_result`."""
        if not self._has_result:
            return None
        return {
            "data": self.data,
            "metadata": self._data_metadata,
            "execution_count": self.execution_count,
        }

    def _text(self) -> str:
        return str(self.data.get("text/plain", ""))

    def __repr__(self) -> str:
        text = self._text()
        text = text if len(text) <= 32 else f"{text[:29]}..."
        return f"<ExecuteReply[{self.execution_count}]: {text}>"

    def _out(self) -> str:
        """The result as a prompt shows it: multi-line text starts on its own line."""
        text = self._text()
        gap = "\n" if "\n" in text else ""
        return f"Out[{self._engine}:{self.execution_count}]: {gap}{text}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        if self._text():
            printer.text(self._out())

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Everything rich that came, for notebooks."""
        bundle = dict(self.data)
        if "text/plain" in bundle:
            bundle["text/plain"] = self._out()
        return bundle, self._data_metadata

    def display(self) -> None:
        """Show it."""
        if self._has_result:
            _show(self, self._out())

    _repr_html_ = _rich("html")
    _repr_markdown_ = _rich("markdown")
    _repr_latex_ = _rich("latex")
    _repr_svg_ = _rich("svg")
    _repr_png_ = _rich("png")
    _repr_jpeg_ = _rich("jpeg")
    _repr_json_ = _rich("json")
    _repr_javascript_ = _rich("javascript")


class Output(dict[str, Any]):
    """A rich display of one engine: "data", "metadata" and "transient"."""

    replaces = False
    """Whether it takes the place of an earlier one of the same display_id."""

    @classmethod
    def received(
        cls, data: dict[str, Any], metadata: Any, transient: Any, update: bool
    ) -> Self:
        """What travels as msgpack."""
        output = cls(data=data, metadata=metadata or {}, transient=transient or {})
        output.replaces = update
        return output

    def __repr__(self) -> str:
        data = self["data"]
        return str(data.get("text/plain", f"<{', '.join(data)}>"))

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return self["data"], self["metadata"]


def _show(thing: Any, text: str) -> None:
    """Display richly in IPython, print elsewhere."""
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        ipython.display.display(thing)
    else:
        sys.stdout.write(text + "\n")


def stream_of(name: str) -> Any:
    """Where text of that name goes here."""
    return sys.stdout if name == "stdout" else sys.stderr


def say(name: str, text: str) -> None:
    """Print it; what was said by the other stream comes before it, also in a file."""
    if text:
        stream_of("stderr" if name == "stdout" else "stdout").flush()
        stream_of(name).write(text)


def show_text(name: str, engine: int | None, text: str) -> None:
    """Print an engine's text under its heading; without one if there is no engine."""
    if text:
        heading = "" if engine is None else f"[{name}:{engine}]\n"
        end = "" if text.endswith("\n") else "\n"
        stream_of(name).write(f"{heading}{text}{end}")


def show_displays(engine: int | RankSet | None, outputs: Sequence[Output]) -> None:
    """Display rich output under the heading of an engine, or of all that gave it."""
    if outputs and engine is not None:
        sys.stdout.write(f"[output:{engine}]\n")
    for output in outputs:
        _show(output, repr(output))


def show_reply(reply: Any) -> None:
    """Display what a cell's last line gave."""
    if isinstance(reply, ExecuteReply):
        reply.display()


def show_outputs(
    metadata: Sequence[Mapping[str, Any]],
    replies: Sequence[Any],
    *,
    groupby: str,
    result_only: bool,
    single: bool,
) -> None:
    """Replay what engines printed and displayed; a single engine needs no headings."""
    if groupby not in GROUPINGS:
        raise ValueError(
            f"groupby must be one of 'type', 'engine', 'order', not {groupby!r}"
        )
    rows: list[list[Action]] = []
    for md, reply in zip(metadata, replies, strict=True):
        engine = None if single else md["engine_id"]
        row: list[Action] = []
        if not result_only:
            row = [
                partial(show_text, "stdout", engine, md["stdout"]),
                partial(show_text, "stderr", engine, md["stderr"]),
                partial(show_displays, engine, md["outputs"]),
            ]
        rows.append([*row, partial(show_reply, reply)])
    ordered: Iterable[Iterable[Action]] = rows
    if groupby == "type":
        ordered = zip(*rows, strict=True)
    elif groupby == "order":  # what was said engine by engine, then what was replied
        ordered = [*(row[:-1] for row in rows), [row[-1] for row in rows]]
    for actions in ordered:
        for action in actions:
            action()
