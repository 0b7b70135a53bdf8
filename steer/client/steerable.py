"""The verbs of steering as methods of views: `rc[:].stop()`, when a program runs there.

They are those of `Run` and concern the whole run, whatever the view's targets are: a
stop is one of all ranks. They are looked up in the table when they are used, so that
who steers nothing does not load it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steer.client.client import Client


class Steerable:
    """What a view has of it."""

    client: Client

    if not TYPE_CHECKING:  # or every mistaken name would be one of Any

        def __getattr__(self, name: str) -> Any:
            if not name.startswith("_"):
                from steer.client.verbs import VERBS

                if name in VERBS:
                    return getattr(_run_of(self.client), name)
            kind = type(self).__name__
            raise AttributeError(f"{kind!r} object has no attribute {name!r}")

    def __dir__(self) -> Iterable[str]:
        from steer.client.verbs import VERBS

        return [*super().__dir__(), *VERBS]


def _run_of(client: Client) -> Any:
    from steer.client.run import Run

    return client.run or Run.of(client)
