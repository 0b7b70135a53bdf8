"""Short questions to a hub, over a link that is made for them and closed again."""

from __future__ import annotations

from typing import Any, NamedTuple

from steer.client.link import Link
from steer.config import Connection
from steer.errors import SteerError

__all__ = ["There", "ask_to_end", "what_is_there"]

PATIENCE = 5.0
"""Seconds in which a hub that lives answers."""


def ask_to_end(connection: Connection) -> None:
    """Ask a hub to end its cluster; it has heard it when this returns."""
    link = Link(connection, PATIENCE)
    try:
        link.wait(link.shutdown("", hub=True), PATIENCE)
    finally:
        link.close()


class There(NamedTuple):
    """What a hub says of its cluster."""

    engines: int
    """How many work now."""
    runs: list[dict[str, Any]]
    """The programs that run on them."""


def what_is_there(connection: Connection) -> There | None:
    """Ask a hub; None if it does not answer."""
    try:
        link = Link(connection, PATIENCE)
    except SteerError:
        return None
    try:
        runs = link.wait(link.ask("runs"), PATIENCE)["runs"]
        return There(len(link.core.engines), runs)
    except SteerError:
        return None
    finally:
        link.close()
