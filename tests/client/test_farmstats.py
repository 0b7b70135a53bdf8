"""What a farm does now, from the hub's answer."""

from __future__ import annotations

from typing import Any

from steer.client.farmstats import of_answer
from steer.core import taskevents as ev
from steer.core.scheduler import Scheduler
from steer.core.taskstats import describe
from steer.ranks import RankSet
from steer.wire.messages import Outcome, Task, TaskStatus


def farm(engines: int, *clients: str) -> Scheduler:
    """A scheduler where each client has ten tasks, of which engine 0 has ended one."""
    core = Scheduler()
    for number in range(engines):
        core.handle(ev.EngineHere(number, "node1", f"w{number}"), 0.0)
    for client in clients:
        tasks = [Task(i, b"f", b"") for i in range(10)]
        core.handle(ev.ClientHere(client), 0.0)
        core.handle(ev.Submitted(client, tasks), 0.0)
    outcome = Outcome(0, TaskStatus.RAISED, b"", 1.0, 0.5)
    core.handle(ev.Ended(0, clients[0], [outcome]), 1.0)
    return core


def test_numbers_of_all_kinds() -> None:
    stats = of_answer(describe(farm(2, "a")), "a", 25, 1, 15)

    assert (stats.submitted, stats.ended, stats.unfinished) == (25, 1, 24)
    assert (stats.failed, stats.here) == (1, 15)
    assert stats.waiting + stats.held == 9
    assert stats.held == sum(e.tasks for e in stats.engines) > 0
    assert [e.engine for e in stats.engines] == [0, 1]
    assert stats.clients == 1


def test_in_words() -> None:
    text = str(of_answer(describe(farm(3, "a", "b")), "a", 25, 1, 15))

    first, second, *rest = text.splitlines()
    assert first.endswith("1 of 25 tasks have ended, 1 failed")
    assert "15 wait here, as the hub has enough" in second
    assert second.endswith("another client's are among them")
    assert rest[0].startswith("rank 0: ")


def test_many_engines_are_few_lines() -> None:
    told: dict[str, Any] = {
        "engines": [
            {"engine": k, "host": "n", "held": k % 50, "load": 0.0} for k in range(200)
        ],
        "clients": {},
        "ready": 0,
        "held": 7,
    }
    stats = of_answer(told, "a", 0, 0, 0)

    assert stats.idle == RankSet([0, 50, 100, 150])
    assert len(str(stats).splitlines()) < 25
    assert "ranks 0,50,100,150 are idle" in str(stats)
