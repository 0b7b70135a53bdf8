"""Short questions to a hub, over a link that is made for them and closed again."""

from __future__ import annotations

from steer.client.link import Link
from steer.config import Connection
from steer.errors import SteerError

__all__ = ["ask_to_end", "count_engines"]

PATIENCE = 5.0
"""Seconds in which a hub that lives answers."""


def ask_to_end(connection: Connection) -> None:
    """Ask a hub to end its cluster; it has heard it when this returns."""
    link = Link(connection, PATIENCE)
    try:
        link.wait(link.shutdown("", hub=True), PATIENCE)
    finally:
        link.close()


def count_engines(connection: Connection) -> int | None:
    """How many engines work now; None if the hub does not answer."""
    try:
        link = Link(connection, PATIENCE)
    except SteerError:
        return None
    try:
        return len(link.core.engines)
    finally:
        link.close()
