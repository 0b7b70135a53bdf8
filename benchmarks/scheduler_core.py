"""What the task scheduler's core costs the hub for each no-op task.

    python -m benchmarks.scheduler_core [--rounds 5] [--wire]

Simulated engines answer every bundle as one; clients send bundles of 500 and take what
was answered. Counted is CPU time of the core alone: submit, dispatch, outcome, and the
word that the client has it. `--wire` adds decoding and encoding of what goes
through the hub (one of each, on each of the four hops).
"""

from __future__ import annotations

import argparse
import collections
import gc
import statistics
import time

from steer.core import taskevents as ev
from steer.core.scheduler import Scheduler
from steer.wire.frames import decode, encode
from steer.wire.messages import Outcome, Outcomes, Task, Tasks, TaskStatus

BUNDLE = 500
TOOK = 5e-6


class Round:
    """A scheduler, its engines, and one client that floods it."""

    def __init__(self, engines, wire=False):
        self.core = Scheduler(tasks=10_000_000, size=1 << 40)
        self.wire = wire
        self.now = 0.0
        self.spent = 0.0
        self.given = collections.deque()
        self.answered = self.taken = 0
        self.messages = 0
        for number in range(engines):
            self.feed(ev.EngineHere(number, f"h{number // 64}", f"w{number}"))

    def feed(self, event):
        began = time.process_time()
        actions = self.core.handle(event, self.now)
        self.spent += time.process_time() - began
        for action in actions:
            if isinstance(action, ev.Give):
                self.given.append(action)
                if self.wire:
                    self.out(Tasks(action.client, tuple(action.tasks)))
            elif isinstance(action, ev.Answer):
                self.answered += len(action.outcomes)
                self.taken = action.number
                if self.wire:
                    message = Outcomes("", tuple(action.outcomes), 0, action.number)
                    self.out(message)

    def out(self, message):
        began = time.process_time()
        encode(message)
        self.spent += time.process_time() - began

    def into(self, message):
        if not self.wire:
            return message
        data = encode(message)
        began = time.process_time()
        message = decode(data)
        self.spent += time.process_time() - began
        return message

    def submit(self, ids):
        tasks = tuple([Task(i, b"f" * 16, b"%020d" % i) for i in ids])
        tasks = self.into(Tasks("", tasks)).tasks
        self.feed(ev.Submitted("c", tasks))

    def answer(self):
        """The engine that got its bundle first answers it."""
        give = self.given.popleft()
        outcomes = [Outcome(t.id, TaskStatus.DONE, b"v", 1.0, TOOK) for t in give.tasks]
        self.now += TOOK * len(outcomes) / len(self.core.tables.engines)
        message = self.into(Outcomes("c", tuple(outcomes)))
        self.messages += 1
        self.feed(ev.Ended(give.engine, "c", message.outcomes))

    def take(self):
        self.feed(ev.Taken("c", self.taken))


def measure(engines, queued, through, wire):
    """Microseconds of CPU a task with so many queued all the time."""
    run = Round(engines, wire)
    next_id = 0

    def more(n):
        nonlocal next_id
        run.submit(range(next_id, next_id + n))
        next_id += n

    for _ in range(0, queued, BUNDLE):
        more(min(BUNDLE, queued))
    while run.answered < engines:  # each engine its first, unmeasured task
        run.answer()
    more(BUNDLE)  # now each engine has as much as it gets
    run.take()
    gc.collect()
    run.spent, run.messages, first = 0.0, 0, run.answered
    while run.answered - first < through:
        before = run.answered
        while run.given and run.answered - before < BUNDLE:
            run.answer()
        more(run.answered - before)
        run.take()
    count = run.answered - first
    return run.spent / count * 1e6, count / run.messages


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--through", type=int, default=20_000)
    parser.add_argument("--wire", action="store_true")
    given = parser.parse_args()
    print("engines    queued   us/task (median, least-most)   tasks/bundle")
    for engines, queued in (
        (4, 1_000), (4, 10_000), (4, 100_000), (4, 1_000_000),
        (64, 10_000), (64, 100_000), (1000, 100_000), (1000, 1_000_000),
    ):  # fmt: skip
        results = [
            measure(engines, queued, max(given.through, 4 * engines), given.wire)
            for _ in range(given.rounds)
        ]
        costs = [cost for cost, _ in results]
        size = statistics.median([bundle for _, bundle in results])
        print(
            f"{engines:7} {queued:9}   {statistics.median(costs):6.2f} "
            f"({min(costs):.2f}-{max(costs):.2f}) {size:22.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
