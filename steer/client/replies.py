"""What a cell gives back: its reply, and what it printed and displayed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_OVERWRITTEN = re.compile(r"[^\n]*\r(?=[^\n])")


def collapse(text: str) -> str:
    """The text as a terminal would leave it: a carriage return writes the line anew."""
    if "\r" not in text:
        return text
    return _OVERWRITTEN.sub("", text.replace("\r\n", "\n"))


class ExecuteReply:
    """The reply of one engine to a cell."""

    def __init__(
        self, engine: int, count: int, data: Mapping[str, Any] | None, metadata: Any
    ) -> None:
        self.engine_id = engine
        self.execution_count = count
        self.data: Mapping[str, Any] = (data or {}).get("data", {})
        self.data_metadata: Mapping[str, Any] = (data or {}).get("metadata", {})
        self.metadata = metadata

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self.metadata:
            raise AttributeError(name)
        return self.metadata[name]

    def __getitem__(self, key: str) -> Any:
        return self.metadata[key]

    def _text(self) -> str:
        return str(self.data.get("text/plain", ""))

    def __repr__(self) -> str:
        text = self._text()
        text = text if len(text) <= 32 else f"{text[:29]}..."
        return f"<ExecuteReply[{self.execution_count}]: {text}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        text = self._text()
        if text:
            printer.text(f"Out[{self.engine_id}:{self.execution_count}]: {text}")

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Everything rich that came, for notebooks."""
        return dict(self.data), dict(self.data_metadata)


class Output:
    """A rich display of one engine."""

    def __init__(
        self, data: Mapping[str, Any], metadata: Any, transient: Any, update: bool
    ) -> None:
        self.data = data
        self.metadata = metadata
        self.transient = transient
        self.update = update

    def __repr__(self) -> str:
        return str(self.data.get("text/plain", f"<{', '.join(self.data)}>"))

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return dict(self.data), dict(self.metadata)


def _show(thing: Any) -> None:
    """Display richly in IPython, print elsewhere."""
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        ipython.display.display(thing)
    else:
        sys.stdout.write(f"{thing!r}\n")


def _say(text: str, name: str, engine: int) -> None:
    if text:
        file = sys.stdout if name == "stdout" else sys.stderr
        file.write(
            f"[{name}:{engine}]\n{text if text.endswith(chr(10)) else text + chr(10)}"
        )


def _show_rich(engine: int, outputs: Sequence[Output]) -> None:
    if outputs:
        sys.stdout.write(f"[output:{engine}]\n")
        for output in outputs:
            _show(output)


def _show_reply(reply: Any) -> None:
    if isinstance(reply, ExecuteReply) and reply.data:
        text = f"Out[{reply.engine_id}:{reply.execution_count}]: {reply._text()}"
        sys.stdout.write(text + "\n")


def show_outputs(
    metadata: Sequence[Mapping[str, Any]], groupby: str, result_only: bool
) -> None:
    """Replay what engines printed and displayed, grouped as ipyparallel does."""
    if groupby not in ("type", "engine", "order"):
        raise ValueError(f"groupby is 'type', 'engine' or 'order', not {groupby!r}")
    steps: list[list[Any]] = [[] for _ in range(4)]
    for md in metadata:
        engine = md["engine_id"]
        one: Iterable[Any] = (
            (_say, md["stdout"], "stdout", engine),
            (_say, md["stderr"], "stderr", engine),
            (_show_rich, engine, md["outputs"]),
            (_show_reply, md["execute_result"]),
        )
        for step, action in zip(steps, one, strict=True):
            step.append(action)
    if result_only:
        steps = steps[2:]
    if groupby == "type":
        ordered = [action for step in steps for action in step]
    else:
        ordered = [action for actions in zip(*steps, strict=True) for action in actions]
    for function, *arguments in ordered:
        function(*arguments)
