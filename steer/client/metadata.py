"""What is known about work in one place, besides the value, under ipyparallel's
names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from steer.client.replies import ExecuteReply

if TYPE_CHECKING:
    from steer.client.filed import Filed

METADATA = (
    "msg_id", "submitted", "started", "completed", "received", "engine_id",
    "engine_uuid", "follow", "after", "status", "execute_input", "execute_result",
    "error", "stdout", "stderr", "outputs", "data", "label",
)  # fmt: skip
FAILED = ("error", "aborted")
TIMES = ("submitted", "started", "completed", "received")


class Metadata(Mapping[str, Any]):
    """What is known about a request on one engine, or about a task."""

    def __init__(self, request: Filed, key: int) -> None:
        self._request, self._key = request, key

    def __getitem__(self, name: str) -> Any:
        request, key = self._request, self._key
        if name in TIMES:
            return _when(request.times(key)[TIMES.index(name)])
        match name:
            case "msg_id":
                return request.msg_id(key)
            case "engine_id":
                return request.engine_of(key)
            case "engine_uuid":
                return request.engine_info(key)["engine_uuid"]
            case "status":
                return request.status(key) or None
            case "label":
                return request.about.label or None
            case "execute_input":
                return request.about.code
            case "stdout" | "stderr":
                return request.text(key, name)
            case "outputs":
                return request.printed_by(key).displays
            case "data":
                return dict(request.printed_by(key).data)
            case "execute_result":
                return self._execute_result()
            case "error":
                return self._error()
            case "follow" | "after":
                return list(getattr(request, name))
        raise KeyError(name)

    def _execute_result(self) -> dict[str, Any] | None:
        reply = self._value()
        return reply._content() if isinstance(reply, ExecuteReply) else None

    def _error(self) -> BaseException | None:
        """As `execute_result`, of those that failed."""
        if self._request.status(self._key) not in FAILED:
            return None
        error: BaseException = self._value()
        return error

    def _value(self) -> Any:
        if not self._request.status(self._key):
            return None
        return self._request.value(self._key)

    def __getattr__(self, name: str) -> Any:
        if name in METADATA:
            return self[name]
        raise AttributeError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(METADATA)

    def __len__(self) -> int:
        return len(METADATA)

    def __repr__(self) -> str:
        return repr(dict(self))


def _when(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
