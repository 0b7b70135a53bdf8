"""Where our own commands' log lines go; the library itself never sets a handler.

Loggers are `steer.hub`, `steer.engine`, `steer.client`, `steer.launch`. A person reads
plain lines; a file that a program reads has a JSON object a line, each with what the
process is (host, session, rank), so that a thousand ranks' files can be put together.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from typing import IO, Any

from steer.errors import UsageError
from steer.hosts import host_name

LEVELS = ("debug", "info", "warning", "error", "critical")


def configure(
    level: str = "info",
    *,
    stream: IO[str] | None = None,
    as_json: bool = False,
    **facts: Any,
) -> logging.Handler:
    """Send what `steer` logs to a stream, stderr if None; `facts` go into JSON lines.

    Configuring again replaces what was configured before. Returns the handler.
    """
    if level.lower() not in LEVELS:
        raise UsageError(f"There is no log level {level!r}; use {', '.join(LEVELS)}.")
    root = logging.getLogger("steer")
    for handler in list(root.handlers):
        if isinstance(handler.formatter, _Ours):
            root.removeHandler(handler)
    fresh = logging.StreamHandler(sys.stderr if stream is None else stream)
    fresh.setFormatter(Lines({"host": host_name()} | facts) if as_json else Plain())
    root.addHandler(fresh)
    root.setLevel(level.upper())
    root.propagate = False  # a line must not come twice if somebody configures the root
    return fresh


class _Ours(logging.Formatter):
    """Marks the handlers that `configure` has made."""


class Plain(_Ours):
    """`2026-01-01 12:00:00,123 INFO steer.hub: text`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")


class Lines(_Ours):
    """A JSON object a line."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self._facts = dict(facts)

    def format(self, record: logging.LogRecord) -> str:
        """One object, on one line whatever the text is."""
        entry = {
            "time": self._time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            **self._facts,
            "text": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)

    @staticmethod
    def _time(record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{seconds}.{int(record.msecs):03d}Z"
