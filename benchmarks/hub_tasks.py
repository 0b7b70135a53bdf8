"""What a no-op task costs the whole hub but for its sockets: wire, core and journal.

    python -m benchmarks.hub_tasks [--rounds 3] [--profile]

Simulated engines and one client that floods the hub, as in `scheduler_core`; here
messages are decoded and encoded, functions are looked after, and every task is written
into a journal on disk. CPU of the loop's thread and of the journal's are told apart.
"""

from __future__ import annotations

import argparse
import collections
import cProfile
import pstats
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from steer.core import events as ev
from steer.core.hub import HubCore
from steer.hub.journal import Journal
from steer.wire import messages as wire
from steer.wire.frames import decode, encode

BUNDLE = 500
TOOK = 5e-6
NOTES = 0.1
"""Seconds that the ledger gathers before it writes."""
DIGEST = b"f" * 16


class Hub:
    """A hub's core with its journal, and the world around it."""

    def __init__(self, engines: int, folder: str) -> None:
        def fail(error: Exception) -> None:
            raise error

        self.core = HubCore(pid=1, boot="here", cluster="x")
        self.journal = Journal(Path(folder) / "journal", on_error=fail)
        self.now = time.monotonic()
        self.spent = 0.0
        self.given: collections.deque[tuple[str, wire.Tasks]] = collections.deque()
        self.notes: list[ev.NoteTasks] = []
        self.answered = self.bundles = self.number = 0
        for engine in range(engines):
            self._join(f"e{engine}", 100 + engine)
        self.hear("ia", wire.Hello(wire.VERSION, "a", 50, 6, "here", -1, 0))
        self.hear("oa", wire.Functions((DIGEST,)), b"the function")

    def _join(self, uuid: str, pid: int) -> None:
        register = wire.Register(
            uuid=uuid, version=wire.VERSION, pid=pid, began=5, boot="here",
            host="node1", job="j", rank=0, size=1, engine=-1,
        )  # fmt: skip
        self.hear(f"c{uuid}", register)
        self.hear(f"c{uuid}", wire.Ready(uuid, 0, 1))

    def hear(self, peer: str, message: wire.Message, *frames: bytes) -> None:
        data = encode(message)
        began = time.thread_time()
        event = ev.Heard(peer.encode(), decode(data), frames)
        actions = self.core.handle(event, self.now)
        sent = [
            (action, encode(action.message))
            for action in actions
            if isinstance(action, ev.Send)
        ]
        self.spent += time.thread_time() - began
        for action in actions:
            if isinstance(action, ev.NoteTasks):
                self.notes.append(action)
        for action, encoded in sent:
            self._deliver(action.peers[0].decode(), decode(encoded))

    def _deliver(self, peer: str, message: Any) -> None:
        if isinstance(message, wire.Tasks):
            self.given.append((peer[1:], message))
        elif isinstance(message, wire.Outcomes):
            self.answered += len(message.outcomes)
            self.number = message.number or self.number

    def submit(self, first: int, count: int) -> None:
        """The client sends a bundle."""
        tasks = [
            wire.Task(i, DIGEST, b"%020d" % i) for i in range(first, first + count)
        ]
        self.hear("oa", wire.Tasks("", tuple(tasks)))

    def answer(self) -> None:
        """The engine that got its bundle first answers it."""
        uuid, bundle = self.given.popleft()
        done = wire.TaskStatus.DONE
        outcomes = tuple(
            wire.Outcome(t.id, done, b"v", 1.0, TOOK) for t in bundle.tasks
        )
        self.now += TOOK * len(outcomes) / 4
        self.bundles += 1
        self.hear(f"w{uuid}", wire.Outcomes("a", outcomes))

    def write(self) -> None:
        """What the ledger does every now and then."""
        notes, self.notes = self.notes, []
        if notes:
            self.journal.put_tasks(notes, 0.0, lambda: None)


def measure(engines: int, queued: int, through: int) -> tuple[float, float, float]:
    """Microseconds a task of the loop's thread and the journal's; tasks in a bundle."""
    with tempfile.TemporaryDirectory() as folder:
        hub = Hub(engines, folder)
        sent = 0
        while sent < queued:
            hub.submit(sent, BUNDLE)
            sent += BUNDLE
        while hub.given and hub.answered < engines:
            hub.answer()
        hub.write()
        hub.spent, hub.bundles, first = 0.0, 0, hub.answered
        cpu, wall = time.process_time() - time.thread_time(), time.monotonic()
        while hub.answered - first < through:
            before = hub.answered
            while hub.given and hub.answered - before < BUNDLE:
                hub.answer()
            hub.submit(sent, hub.answered - before)
            sent += hub.answered - before
            hub.hear("oa", wire.Taken(hub.number))
            if time.monotonic() - wall > NOTES:
                hub.write()
                wall = time.monotonic()
        hub.write()
        hub.journal.close(30)
        journal = time.process_time() - time.thread_time() - cpu
    count = hub.answered - first
    return hub.spent / count * 1e6, journal / count * 1e6, count / hub.bundles


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--through", type=int, default=50_000)
    parser.add_argument("--profile", action="store_true", help="of one round")
    given = parser.parse_args()
    if given.profile:
        profile = cProfile.Profile()
        profile.runcall(measure, 4, 10_000, given.through)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        return
    print("engines    queued   loop, us/task   journal, us/task   tasks/bundle")
    for engines, queued in ((4, 1000), (4, 10_000), (4, 100_000), (1000, 100_000)):
        found = [
            measure(engines, queued, max(given.through, 8 * engines))
            for _ in range(given.rounds)
        ]
        loop, journal, size = (statistics.median(x) for x in zip(*found, strict=True))
        print(
            f"{engines:7} {queued:9} {loop:15.2f} {journal:18.2f} {size:14.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
