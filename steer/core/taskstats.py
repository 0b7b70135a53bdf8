"""What the task farm does at the moment, counted for those who ask."""

from __future__ import annotations

from typing import Any

from steer.core.scheduler import Scheduler
from steer.core.taskstate import Client, Engine, Place

NAMED = 1000
"""Tasks of one engine that are named, oldest first."""


def describe(scheduler: Scheduler, client: str = "") -> dict[str, Any]:
    """All engines, and all clients or one. It looks at engines and clients, not at all
    tasks: a hundred thousand may wait."""
    tables, dispatch = scheduler.tables, scheduler.dispatch
    ready = dispatch.plain.live + sum(pool.live for pool in dispatch.pools.values())
    ranks = sum(r.place is Place.READY for _, _, r in scheduler.gangs.queue)
    clients = {
        name: _client(facts)
        for name, facts in tables.clients.items()
        if not client or name == client
    }
    return {
        "engines": [_engine(engine) for engine in tables.engines.values()],
        "clients": clients,
        "ready": ready + ranks,
        "held": len({n for e in tables.engines.values() for n in e.held}),
        "restoring": scheduler.restoring.until is not None,
        "functions": len(tables.functions),
    }


def _client(client: Client) -> dict[str, Any]:
    return {
        "tasks": len(client.tasks),
        "submitted": client.submitted,
        "ended": client.ended,
        "failed": client.failed,
        "bytes": client.size,
        "allowed": client.allowed,
        "here": client.here,
    }


def _engine(engine: Engine) -> dict[str, Any]:
    held = list(engine.held.values())
    return {
        "engine": engine.id,
        "tasks": [f"{r.client}-t{r.task.id}" for r in held[:NAMED]],
        "held": len(held),
        "away": len(engine.away),
        "load": engine.load,
        "host": engine.host,
        "world": engine.world,
    }
