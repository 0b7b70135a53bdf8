"""What can happen to the hub, and what it can want done.

Events go into `HubCore.handle`, actions come out of it; the shell (`steer.hub.shell`)
makes the ones and carries out the others.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from steer.wire.messages import Message, Part, Result, Store, Submit


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something happened."""


class Action(msgspec.Struct, frozen=True, gc=False):
    """Something is to be done."""


# -- events


class Unreached(Event, frozen=True):
    """A message could not be sent to this engine: its work socket is not connected."""

    uuid: str


class Heard(Event, frozen=True):
    """A message came."""

    peer: bytes
    message: Message
    frames: Sequence[Any] = ()


class Died(Event, frozen=True):
    """A process that was watched is gone: an engine's or a client's."""

    uuid: str
    how: str
    """Ends a sentence: "was killed by SIGKILL"."""
    signal: str = ""
    status: int | None = None
    running: tuple[str, int] | None = None
    """The task that an engine ran; None if that is unknown."""


class JobBegan(Event, frozen=True):
    """A job's launcher runs."""

    job: str
    size: int
    command: str


class JobEnded(Event, frozen=True):
    """A job's launcher is gone; `text` says how, with the end of its log."""

    job: str
    how: str
    text: str
    status: int = 0
    """As shells have it: 128 and more for a signal; -1 if nobody knows."""


class Saved(Event, frozen=True):
    """The journal holds the results of these (request, engine) pairs."""

    results: tuple[tuple[str, int], ...]


class Recalled(Event, frozen=True):
    """What the journal knows about a request that came again."""

    client: str
    submit: Submit
    frames: Sequence[Any]
    parts: tuple[tuple[Part, Sequence[Any]], ...]


class SavedTasks(Event, frozen=True):
    """The journal holds all that was noted of this client up to this number."""

    client: str
    number: int


class Tick(Event, frozen=True):
    """The deadline has come."""


# -- actions


class Send(Action, frozen=True):
    """Send a message to some peers."""

    peers: tuple[bytes, ...]
    message: Message
    frames: Sequence[Any] = ()


class Watch(Action, frozen=True):
    """Report when this process ends."""

    uuid: str
    pid: int
    began: int


class Unwatch(Action, frozen=True):
    """It does not matter any more."""

    uuid: str


class Kill(Action, frozen=True):
    """Send a signal to these processes (pid, began)."""

    processes: tuple[tuple[int, int], ...]
    signum: int


class Respawn(Action, frozen=True):
    """Start an engine in the place of one that died, as its job did."""

    job: str


class KillJobs(Action, frozen=True):
    """Send a signal to the launchers of all jobs, or of one."""

    signum: int
    job: str = ""


class Sweep(Action, frozen=True):
    """Remove what a dead world left in shared memory."""

    names: tuple[str, ...]


class Note(Action, frozen=True):
    """The journal should hold this request as it is now (see `Fanout.requests`)."""

    id: str


class NoteTasks(Action, frozen=True):
    """The journal should hold how these tasks ended.

    Each is a tuple: its number, its status, when it started and how long it took, when
    it was submitted (by the core's clock), its name, its function, its value (bytes, or
    something with `frames` and `store`) or None, and what it printed or None. With
    `keep` nobody else will have them: SavedTasks is awaited.
    """

    client: str
    number: int
    engine: int
    uuid: str
    tasks: Sequence[tuple[Any, ...]]
    keep: bool = False
    again: bool = False
    """They were noted before, without large values."""


class Late(Action, frozen=True):
    """An answer to a request that this hub does not know: the journal may."""

    engine: int
    result: Result
    frames: Sequence[Any]


class Recall(Action, frozen=True):
    """Look a request up in the journal and come back with Recalled."""

    client: str
    submit: Submit
    frames: Sequence[Any]


class Drop(Action, frozen=True):
    """Nobody needs this shared memory any more."""

    store: Store


class Look(Action, frozen=True):
    """A question that needs the journal or the jobs; the shell answers it."""

    peer: bytes
    id: str
    what: str
    arguments: dict[str, Any]


class Say(Action, frozen=True):
    """Write a line into the log."""

    text: str


class End(Action, frozen=True):
    """All is done: the hub goes."""
