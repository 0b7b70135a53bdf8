"""Every message that travels, its fields, and the version of the whole.

A message is one header frame; user objects follow as further frames, which only the two
ends open (`payload.py`). Messages are arrays in msgpack, so a new field may only be
added at the end, with a default; anything else raises VERSION.

Who speaks to whom::

    client --Hello, Submit, Abort, Signal, Typed, Ask, Release, Goodbye--> hub client
    <--Welcome, Joined, Left, Replies, Outputs, Answer, Refused, Notice, WhoAreYou-- hub
    engine --Register, Ready, Result, Output, Leaving--> hub engine <--Enrolled, Submit,
    Abort, Typed, Interrupt, Quit, Acknowledge, WhoAreYou-- hub

Targets are sets of engine ids, written `0-63,65`.
"""

import enum
from typing import Any, Literal

import msgspec

VERSION = 1

Kind = Literal["execute", "apply", "push", "pull", "clear", "complete", "inspect"]
Status = Literal["ok", "error", "aborted"]


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=True):
    """What every message is: immutable, checked when it is decoded, an array on the
    wire."""


class Fact(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A part of a message."""


class Store(Fact, frozen=True):
    """Frames that lie in shared memory instead of in the message.

    The memory has no name: `fd` is a descriptor of process `pid`, and whoever may look
    into that process opens it there. It goes away with its last holder, however that
    one ends.
    """

    pid: int
    fd: int
    size: int
    spans: tuple[tuple[int, int, int], ...]
    """For each such frame: its place among the frames, its offset, its size."""


class ErrorInfo(Fact, frozen=True):
    """An exception, as far as it can travel."""

    ename: str
    evalue: str
    traceback: tuple[str, ...] = ()
    pickled: bytes = b""


class EngineInfo(Fact, frozen=True):
    """An engine as clients know it."""

    id: int
    uuid: str
    pid: int
    host: str
    rank: int
    size: int
    world: str
    job: str = ""


class Part(Fact, frozen=True):
    """The same answer from some engines: `frames` of the message's frames belong to it.

    `started` and `completed` follow the order of `ranks`.
    """

    ranks: str
    status: Status
    frames: int
    started: tuple[float, ...]
    completed: tuple[float, ...]
    count: int = 0
    store: Store | None = None


class Stream(enum.StrEnum):
    """What an Output carries."""

    STDOUT = "stdout"
    STDERR = "stderr"
    DISPLAY = "display"
    """msgpack of (data, metadata, transient, update)."""
    DATA = "data"
    """A pickled dictionary from publish_data."""
    PROMPT = "prompt"
    """msgpack of (number, text or None, password): code waits in input(), or, without
    a text, no longer. The number is one of the request's on this engine."""
    PROGRESS = "progress"
    """msgpack of (bar, label, done, total or None): how far a loop is. A bar is one of
    the request's on this engine; when its loop is over another may take its place."""
    INSIGHT = "insight"
    """What the hub has found out about the request, as text; never on the wire."""


class Piece(Fact, frozen=True):
    """Output that some engines gave alike; one frame belongs to it."""

    id: str
    ranks: str
    stream: Stream


# -- from a client


class Hello(Message, frozen=True):
    """A client is there, again or for the first time."""

    version: int
    client: str
    pid: int
    began: int
    boot: str
    """Of its kernel, as in Register: whether the hub's host can watch its process."""
    probe: int = -1
    """A descriptor of shared memory that the hub tries to open, to learn whether it
    can."""
    sent: int = 0
    """Number of its latest request. What of them is unanswered follows, sent again: a
    first
    copy of one that comes later was long under way, and perhaps is answered already."""


class Submit(Message, frozen=True):
    """Work for some engines; goes to them as it is.

    Frames: the code for execute, otherwise what `payload.dumps` made of the arguments.
    """

    id: str
    kind: Kind
    targets: str
    silent: bool = True
    store_history: bool = False
    label: str = ""
    name: str = ""
    """What to call it in sentences: the function's name."""
    store: Store | None = None
    resent: bool = False
    submitted: float = 0.0
    joint: bool = False
    """A cell: it runs on all its engines or on none, and not before their last cell has
    ended on all ranks."""
    begun: bool = False
    """Sent again, to the rest: others have answered already."""


class Abort(Message, frozen=True):
    """Do not start these requests any more; all of this client's if there are none."""

    ids: tuple[str, ...]
    targets: str


class Signal(Message, frozen=True):
    """Send a signal to the engines' processes."""

    id: str
    targets: str
    signum: int
    about: str = ""
    """Only to those that have this request and have not answered it."""


class Typed(Message, frozen=True):
    """What a person typed at the prompt of that number; one frame, its text."""

    id: str
    targets: str
    number: int
    closed: str = ""
    """Why nobody can answer: the code gets EOFError with this sentence."""


class Shutdown(Message, frozen=True):
    """End engines, and the hub with its jobs too if `hub`."""

    id: str
    targets: str
    hub: bool = False


class Ask(Message, frozen=True):
    """A question to the hub; one frame, msgpack of a dictionary, holds its
    arguments."""

    id: str
    what: str


class Release(Message, frozen=True):
    """The client has taken what these engines' answers hold in shared memory."""

    id: str
    ranks: str


class Goodbye(Message, frozen=True):
    """The client leaves; its unfinished work goes on."""

    client: str


# -- to a client


class Welcome(Message, frozen=True):
    """The hub knows the client now."""

    version: int
    pid: int
    cluster: str
    shares: bool
    """Whether hub and client can open each other's shared memory."""
    probe: int
    engines: tuple[EngineInfo, ...]
    bundle: int = 0
    """The number of the last bundle of outcomes sent to it: what it has not got of
    them is lost."""


class Joined(Message, frozen=True):
    """Engines are there."""

    engines: tuple[EngineInfo, ...]


class Left(Message, frozen=True):
    """Engines are gone; `why` is one sentence each."""

    engines: tuple[int, ...]
    why: tuple[str, ...]


class Replies(Message, frozen=True):
    """Answers to one request from some of its engines; the frames follow part by
    part."""

    id: str
    parts: tuple[Part, ...]


class Outputs(Message, frozen=True):
    """What engines printed or displayed, a frame a piece."""

    pieces: tuple[Piece, ...]


class Answer(Message, frozen=True):
    """The answer to Ask, Signal or Shutdown; one frame, msgpack."""

    id: str


class Refused(Message, frozen=True):
    """Nothing was done, because of this."""

    id: str
    error: ErrorInfo


class Notice(Message, frozen=True):
    """Something happened to the cluster: one frame, msgpack of a dictionary."""

    what: str


class WhoAreYou(Message, frozen=True):
    """The hub does not know the sender: it was started anew. Introduce yourself
    again."""

    pid: int


# -- from an engine


class Register(Message, frozen=True):
    """A rank's process is there, before MPI is."""

    version: int
    uuid: str
    pid: int
    began: int
    """When the process started, in the kernel's ticks: with pid it names the process
    for good."""
    host: str
    boot: str
    """The kernel's boot id: whoever has the same sees the same processes."""
    job: str
    rank: int
    size: int
    engine: int = -1
    """The id it had before the hub was started anew."""
    ready: bool = False
    known: tuple[str, ...] = ()
    """Requests it has got and whose results the hub has not acknowledged."""
    holding: bool = False
    """Whether HeldTasks follow."""
    box: int = -1
    """The descriptor of its `steer.blackbox`."""
    turn: int = 0
    """How often it has registered. Tasks bear it: those of an earlier turn, which
    HeldTasks did not name, are not to be run."""
    page: int = -1
    """The descriptor of its telemetry page, if it can be steered (`steer.pages`)."""
    run: str = ""
    """The program that it runs: the name of a run."""
    dump: int = -1
    """The descriptor of the memory into which it writes its stack when it gets the
    signal for that, also while it holds the GIL (`steer.witness`)."""


class Ready(Message, frozen=True):
    """MPI is up on this rank; work may come."""

    uuid: str
    rank: int
    size: int
    library: str = ""
    segments: tuple[str, ...] = ()
    """Files of shared memory that MPI made, to be swept if the rank dies."""
    shares: bool = False
    problem: str = ""


class Result(Message, frozen=True):
    """The outcome of one request on this engine."""

    id: str
    status: Status
    started: float
    completed: float
    count: int = 0
    store: Store | None = None


class Output(Message, frozen=True):
    """Something this engine printed or displayed for a request."""

    id: str
    stream: Stream


class Leaving(Message, frozen=True):
    """The engine ends of its own will."""

    uuid: str
    why: str


# -- to an engine


class Enrolled(Message, frozen=True):
    """The engine has an id now."""

    engine: int
    hub: int
    probe: int
    """The hub's process, and a descriptor of shared memory to try."""


class Acknowledge(Message, frozen=True):
    """These results are safe: the engine may forget them."""

    ids: tuple[str, ...]


class Interrupt(Message, frozen=True):
    """Raise this signal in the engine's main thread (sent where no node can do it)."""

    signum: int


class Quit(Message, frozen=True):
    """End. What runs is interrupted."""

    why: str


class Ping(Message, frozen=True):
    """Are you there? Asked of engines whose process nobody can watch."""


class Pong(Message, frozen=True):
    """Yes."""


# -- tasks (docs/design/tasks.md)


class TaskStatus(enum.IntEnum):
    """How a task ended. Engines say the first four, the hub the others."""

    DONE = 0
    RAISED = 1
    RETRYABLE = 2
    """It raised what its options allow to try again."""
    UNMET = 3
    """It may not run on this engine; perhaps on another."""
    CANCELLED = 4
    LOST = 5
    """Its engine died."""
    TIMED_OUT = 6
    """It waited too long for others."""
    OVERRAN = 7
    """It ran longer than its limit, and was ended."""
    IMPOSSIBLE = 8
    INVALID = 9
    """It waits for a task that nobody knows."""
    DEPENDENCY = 10
    """One that it waits for failed."""
    REFUSED = 11


class Task(Fact, frozen=True):
    """One call: which function, and its pickled arguments."""

    id: int
    """The client's own number, counted up."""
    function: bytes
    body: bytes
    options: int = 0
    """The client's number for these options; 0 is TaskOptions()."""


class TaskOptions(Fact, frozen=True):
    """What many tasks have in common."""

    priority: int = 0
    retries: int = 0
    timeout: float | None = None
    """Seconds that it may run."""
    wait: float | None = None
    """Seconds that it may wait for others."""
    targets: str = ""
    """The engines that it may run on; all if empty."""
    ranks: int = 0
    """How many ranks run it together, with a communicator; 0 is a plain task."""
    retry_on: bytes = b""
    """Pickled exception classes; the engine decides whether one fits."""
    name: str = ""


class Dependency(Fact, frozen=True):
    """Unfinished tasks of the same client that have to end first."""

    ids: tuple[int, ...]
    all: bool = True
    success: bool = True
    failure: bool = False


class Needs(Fact, frozen=True):
    """What a task waits for, as far as its client does not have it yet."""

    id: int
    after: Dependency | None = None
    follow: Dependency | None = None
    """It runs where these ran."""
    where: tuple[int, ...] = ()
    """Engines where those of `follow` ran that have ended already."""
    values: tuple[int, ...] = ()
    """Their results are arguments; the body holds their places."""


class Outcome(Fact, frozen=True):
    """How one task ended on one engine."""

    id: int
    status: TaskStatus
    body: bytes = b""
    """The pickled value; an encoded ErrorInfo; or the hub's sentence in UTF-8."""
    started: float = 0.0
    took: float = 0.0
    store: Store | None = None


class Tasks(Message, frozen=True):
    """A bundle of tasks; `client` is empty on the way to the hub."""

    client: str
    tasks: tuple[Task, ...]
    options: dict[int, TaskOptions] = {}
    needs: tuple[Needs, ...] = ()
    values: dict[int, Outcome] = {}
    """On the way to an engine: the results that are arguments."""
    resent: bool = False
    turn: int = 0
    """On the way to an engine: of its Register."""


class Functions(Message, frozen=True):
    """Functions by digest; one frame each, sent once to whoever calls them."""

    digests: tuple[bytes, ...]


TAGS = 16_000
"""Tags of MPI that tasks get. Every library has twice as many: the ranks of a task meet
on a second one."""


class RankTask(Message, frozen=True):
    """A task for several ranks together, or one with large buffers, which follow as
    frames."""

    client: str
    task: Task
    options: TaskOptions = TaskOptions()
    needs: Needs | None = None
    engines: tuple[int, ...] = ()
    """The ranks of its communicator, in order; empty for a plain task."""
    tag: int = 0
    """Of Create_group: no other task under way has it."""
    store: Store | None = None
    resent: bool = False
    values: dict[int, Outcome] = {}
    """On the way to engines: the results that are arguments."""
    parts: tuple[int, ...] = ()
    """How many frames belong to the task's own arguments and to each of the values, in
    order; all to the arguments if empty. A value without frames is its body."""
    turn: int = 0


class Outcomes(Message, frozen=True):
    """A bundle of outcomes of one client's tasks on one engine."""

    client: str
    outcomes: tuple[Outcome, ...]
    engine: int = -1
    number: int = 0
    """Of the bundle for this client, counted up: Taken names it. 0 if more of the same
    bundle follows."""
    running: int = -1
    """From an engine: the task that it runs now, when it has run for a while."""


class RankOutcomes(Message, frozen=True):
    """How a task of several ranks ended on each of them, in order."""

    id: int
    status: TaskStatus
    engines: tuple[int, ...]
    outcomes: tuple[Outcome, ...]
    number: int = 0
    parts: tuple[int, ...] = ()
    """How many frames belong to each outcome; none if empty."""


class Cancel(Message, frozen=True):
    """A client does not want these any more; end them too if they run and
    `running`."""

    ids: tuple[int, ...]
    running: bool = False


class Uncancelled(Message, frozen=True):
    """These run already, and go on."""

    ids: tuple[int, ...]


class Begun(Message, frozen=True):
    """These run."""

    ids: tuple[int, ...]


class Window(Message, frozen=True):
    """So many tasks, of so many bytes, may a client have sent and not taken the
    outcome of."""

    tasks: int
    size: int


class Taken(Message, frozen=True):
    """The client has all bundles of outcomes up to this number."""

    number: int
    again: int = -1
    """After Welcome: so many tasks were sent again; the client wants no others that
    were sent before."""


class Settled(Message, frozen=True):
    """The client has these outcomes: the engine may forget them."""

    client: str
    ids: tuple[int, ...]


class Unsend(Message, frozen=True):
    """Give these back if they have not begun."""

    client: str
    ids: tuple[int, ...]


class Unsent(Message, frozen=True):
    """The answer to Unsend: these were given back, these have begun or ended."""

    client: str
    ids: tuple[int, ...]
    kept: tuple[int, ...] = ()


class InterruptTask(Message, frozen=True):
    """Raise KeyboardInterrupt in this task, if it is the one that runs."""

    client: str
    id: int


class Unstick(Message, frozen=True):
    """A rank of this task failed: end what the others wait for."""

    client: str
    id: int


class Seceded(Message, frozen=True):
    """This task waits for others, and its engine may run something else meanwhile."""

    client: str
    id: int


class Rejoined(Message, frozen=True):
    """This task goes on."""

    client: str
    id: int


class HeldTasks(Message, frozen=True):
    """After Register: the tasks that an engine has, and whose outcomes nobody took."""

    client: str
    ids: tuple[int, ...]
    more: bool = False
    """Whether one for another client follows."""


# -- steering (docs/design/steering.md)


class Steer(Message, frozen=True):
    """A client wants something done to a run; News with this id is the answer."""

    id: str
    run: str
    """Or one of its families: "sim/step". Empty: the only run that there is."""
    verb: str
    """`core/wheel.py` knows them: stop, go, step, plan, ..."""
    arguments: dict[str, Any] = {}
    who: str = ""
    resent: bool = False
    hub: int = 0
    """The process of the hub that it was first sent to: what that one has not got, it
    may do, and another one may not."""


class Watching(Message, frozen=True):
    """This client wants to hear News of a run, or (`on` is false) no more; of all runs
    if it names none. An Answer says what there is to know: `core/wheel.py`."""

    id: str
    run: str = ""
    on: bool = True
    who: str = ""


class News(Message, frozen=True):
    """What happened to a run: `core.roundevents.Tell`."""

    run: str
    family: str
    kind: str
    text: str
    """Sentences for people."""
    answers: tuple[str, ...] = ()
    """The requests (Steer) that have their answer with it."""
    point: int = 0
    ranks: str = ""
    facts: dict[str, Any] = {}


class RunBegan(Message, frozen=True):
    """The program begins on this rank."""

    run: str
    script: str = ""
    arguments: tuple[str, ...] = ()
    began: float = 0.0
    """Seconds since 1970."""
    keep: bool = False
    """Its ranks stay when it has ended, until somebody ends them."""
    waits: bool = False
    """It begins when it hears Begin: somebody has come to steer it."""
    stop_at: int = -1
    """It is to be stopped there; 0: at its first point; -1: not at all."""
    families: int = 0
    """So many FamilyBorn follow: a new hub asks for no more patience."""
    replay_of: str = ""
    """The journal that is replayed on it."""
    stop_label: str = ""
    """In which loop it is to be stopped; empty: the first that a rank comes to."""


class Begin(Message, frozen=True):
    """Somebody has come to steer the program that waits for that."""


class RunEnded(Message, frozen=True):
    """The program ended on this rank. With an error, its frames are kept there."""

    run: str
    status: int = 0
    error: str = ""
    """The end of a sentence: "failed with ZeroDivisionError: division by zero"."""
    kept: bool = False
    """This rank stays, to be looked into."""


class FamilyBorn(Message, frozen=True):
    """This rank came to its first point of a family."""

    run: str
    label: str
    """As on the page: "step", or with the world ranks of a communicator,
    "step@0,2"."""
    logical: bool = False
    members: str = ""
    """The world ranks that come to these points; all if empty."""
    before: dict[str, int] = {}
    """The other families that this rank has come to points of, and the last of each."""


class Rang(Message, frozen=True):
    """There is something new on this rank's page."""

    site: str = ""
    """If it holds: where in the program, `sim.py:40`."""
    warning: str = ""
    """If it holds: what makes communication unsafe there, "a receive from any source is
    open"."""
    why: str = ""
    """If it holds by itself: the condition that was met."""


class Inquire(Message, frozen=True):
    """A question about its program that a rank's I/O thread answers: "params"
    (`engines/planned.py`)."""

    number: int
    what: str
    body: bytes = b""


class Inquired(Message, frozen=True):
    """The answer."""

    number: int
    body: bytes = b""


class PlanHere(Message, frozen=True):
    """This rank knows what is to be done for a plan."""

    plan: int
    no: str = ""
    """Why it may not be done."""
    verb: str = ""
    text: str = ""
    """For a hub that is new."""
    strange: bool = False
    """It does not concern this rank, which has none of these parameters."""


class PlanDone(Message, frozen=True):
    """This rank did what was planned, at this point."""

    plan: int
    point: int
    error: str = ""
    seconds: float = 0.0


class Sample(Message, frozen=True):
    """Numbers that a watch took, up to a point: one frame, msgpack of rows. From a
    rank `core.samples.Row`, to clients `core.samples.Whole`."""

    run: str
    watch: int
    """The number of its plan."""
    point: int


class Fired(Message, frozen=True):
    """The condition of a watch was met on this rank."""

    run: str
    watch: int
    point: int
    why: str
    holds: bool
    """Whether the rank holds by itself; else all are to be stopped."""
    once: bool = False
    """It will not be looked at again."""


class PlanBody(Message, frozen=True):
    """What a plan is to do, known before its fence is armed."""

    plan: int
    verb: str
    body: bytes = b""
    text: str = ""
    """For people; a rank keeps it for a hub that is new."""


class PlanGone(Message, frozen=True):
    """Nothing will be done for this plan (any more)."""

    plan: int


class LookAt(Message, frozen=True):
    """What does main do now? Asked when a round waits for this rank."""

    number: int


class Looked(Message, frozen=True):
    """The answer to LookAt."""

    number: int
    blocked: bool = False
    """It waits in a call of MPI."""
    text: str = ""
    """What it is in: `Recv(source=0, tag=7)`; a native function if it is not
    blocked."""
    where: str = ""
    """The user's own line: `halo.py:61`."""
    waits_for: str = ""
    """Ranks of the world; empty if that is not known."""
    any_will_do: bool = False
    """One of these is enough."""
    point: int = 0
    """The last point that it came to, of any family."""
    held: bool = False
    finished: bool = False


class Wake(Message, frozen=True):
    """Look at your page again: a fence was moved."""


class Order(Message, frozen=True):
    """For the controller of an engine whose page the node cannot map: its own I/O
    thread (`core/orders.py`)."""

    what: str
    """The name of an action."""
    fields: dict[str, Any] = {}


class Ordered(Message, frozen=True):
    """What such a controller says."""

    what: str
    """The name of an event."""
    fields: dict[str, Any] = {}


# -- sight (docs/design/sight.md)


class Glance(Message, frozen=True):
    """A question about what a rank does, for its I/O thread."""

    number: int
    what: str
    """`engines/eyes.py` knows them: look, peek, watch, ..."""
    body: bytes = b""


class Glanced(Message, frozen=True):
    """The answer."""

    number: int
    """0: nobody asked; main has been in one call of MPI for long (`core/sight.py`)."""
    body: bytes = b""
    trouble: str = ""
    """Why there is no answer, and will be none."""


class Insight(Message, frozen=True):
    """Said unasked about a request of this client: why it is silent, or who waits for a
    rank that failed; one frame, msgpack of `core.sightings.Snapshot`."""

    id: str
    kind: Literal["verdict", "waiters"]
    ranks: str = ""
    """Those that failed."""


AnyMessage = (
    Hello | Submit | Abort | Signal | Typed | Shutdown | Ask | Release | Goodbye
    | Welcome | Joined | Left | Replies | Outputs | Answer | Refused | Notice
    | WhoAreYou
    | Register | Ready | Result | Output | Leaving
    | Enrolled | Acknowledge | Interrupt | Quit | Ping | Pong
    | Tasks | Functions | RankTask | Outcomes | RankOutcomes
    | Cancel | Uncancelled | Begun | Window | Taken | Settled
    | Unsend | Unsent | InterruptTask | Unstick | Seceded | Rejoined | HeldTasks
    | Steer | Watching | News | RunBegan | Begin | RunEnded | FamilyBorn | Rang
    | Inquire | Inquired | PlanHere | PlanDone
    | Sample | Fired | PlanBody | PlanGone | Wake | Order | Ordered | LookAt | Looked
    | Glance | Glanced | Insight
)  # fmt: skip
