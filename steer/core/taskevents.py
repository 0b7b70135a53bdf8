"""What can happen to the task scheduler, and what it can want done.

Events go into `Scheduler.handle`, actions come out of it. A task is named by its client
and the client's number for it.
"""

from collections.abc import Mapping, Sequence

from steer.core.events import Action, Event
from steer.wire.messages import Needs, Outcome, Task, TaskOptions, TaskStatus

Key = tuple[str, int]


# -- events


class ClientHere(Event, frozen=True):
    """A client is there, again or for the first time."""

    client: str


class ClientGone(Event, frozen=True):
    """A client is gone; its unfinished work goes on, its outcomes are the journal's."""

    client: str


class Submitted(Event, frozen=True):
    """A client sent tasks."""

    client: str
    tasks: Sequence[Task]
    options: Mapping[int, TaskOptions] = {}
    needs: Sequence[Needs] = ()
    resent: bool = False


class Cancelled(Event, frozen=True):
    """A client does not want these tasks any more."""

    client: str
    ids: Sequence[int]
    running: bool = False


class Taken(Event, frozen=True):
    """All outcomes up to this bundle are with the client, or in the journal."""

    client: str
    number: int


class AllSent(Event, frozen=True):
    """A client has sent again all that it still wants."""

    client: str


class EngineHere(Event, frozen=True):
    """An engine may be given tasks, again or for the first time."""

    engine: int
    host: str = ""
    world: str = ""
    size: int = 1
    """Ranks of its world."""
    held: Sequence[Key] = ()
    """Tasks that it has, and those whose outcomes nobody has taken."""


class EngineGone(Event, frozen=True):
    """An engine died or left."""

    engine: int
    why: str
    """A sentence."""
    running: Key | None = None
    """What ran, if the engine's page tells."""


class Ended(Event, frozen=True):
    """An engine sent outcomes."""

    engine: int
    client: str
    outcomes: Sequence[Outcome]
    running: int = -1


class GivenBack(Event, frozen=True):
    """An engine's answer to TakeBack."""

    engine: int
    client: str
    ids: Sequence[int]
    kept: Sequence[int] = ()


class Seceded(Event, frozen=True):
    """A task waits for others; its engine may run something else."""

    engine: int
    client: str
    id: int


class Rejoined(Event, frozen=True):
    """A task that waited goes on."""

    engine: int
    client: str
    id: int


class Restored(Event, frozen=True):
    """After the hub was started anew: all engines that there were are back."""


class Tick(Event, frozen=True):
    """The deadline has come."""


# -- actions


class Give(Action, frozen=True):
    """Send these tasks to the engine, which runs them in this order."""

    engine: int
    client: str
    tasks: Sequence[Task]
    options: Mapping[int, TaskOptions]
    values: Mapping[int, Outcome]


class GiveRanks(Action, frozen=True):
    """Send the task to all these engines in one step; they are its ranks, in order."""

    engines: tuple[int, ...]
    client: str
    task: Task
    options: TaskOptions
    tag: int
    values: Mapping[int, Outcome]
    again: bool = False
    """Some of them have it."""


class Answer(Action, frozen=True):
    """Tell the client how these ended; `engine` is -1 if it was the hub's word."""

    client: str
    number: int
    engine: int
    outcomes: Sequence[Outcome]


class AnswerRanks(Action, frozen=True):
    """Tell the client how a task of several ranks ended."""

    client: str
    number: int
    id: int
    status: TaskStatus
    engines: tuple[int, ...]
    outcomes: tuple[Outcome, ...]


class TellBegun(Action, frozen=True):
    """Tell the client that this task runs."""

    client: str
    id: int


class TellUncancelled(Action, frozen=True):
    """Tell the client that these run already, and go on."""

    client: str
    ids: Sequence[int]


class Allow(Action, frozen=True):
    """Tell the client how much it may have sent."""

    client: str
    tasks: int
    size: int


class TakeBack(Action, frozen=True):
    """Ask the engine to give these back if they have not begun."""

    engine: int
    client: str
    ids: Sequence[int]


class InterruptRun(Action, frozen=True):
    """Interrupt this task on this engine, if it runs."""

    engine: int
    client: str
    id: int


class KillEngine(Action, frozen=True):
    """End this engine's process: a task on it has to end, and does not."""

    engine: int
    why: str


class UnstickRanks(Action, frozen=True):
    """A rank of this task failed: end what these others wait for."""

    engines: tuple[int, ...]
    client: str
    id: int


class Settle(Action, frozen=True):
    """The engine may forget these outcomes."""

    engine: int
    client: str
    ids: Sequence[int]
