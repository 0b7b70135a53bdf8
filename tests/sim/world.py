"""A cluster in the simulated network: real cores and ledger, simulated shells.

What the shells do (`steer.hub.shell`, `steer.engines.io` and `.run`,
`steer.client.link`) is done here without sockets and processes; where those change,
this has to follow. Shared memory is a dictionary of who holds what, so that a store
dropped twice or never is seen.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec

from steer.core import events as ev
from steer.core.client import ClientCore, split_parts
from steer.core.engine import EngineCore, Verdict
from steer.core.hub import RETURN_WITHIN, HubCore
from steer.core.sight import Outside
from steer.core.sightings import Report
from steer.hub import ledger as ledger_module
from steer.hub.ledger import Ledger
from steer.ranks import RankSet
from steer.testing.net import Freezable, Net, Pipe
from steer.wire.frames import decode, encode, pack
from steer.wire.messages import (
    VERSION,
    Abort,
    Acknowledge,
    Begun,
    Enrolled,
    ErrorInfo,
    Functions,
    Glance,
    Glanced,
    Goodbye,
    Hello,
    Insight,
    InterruptTask,
    Joined,
    Left,
    Message,
    Outcomes,
    Output,
    Outputs,
    Ping,
    Pong,
    Quit,
    RankOutcomes,
    RankTask,
    Ready,
    Refused,
    Register,
    Release,
    Replies,
    Result,
    Settled,
    Store,
    Stream,
    Submit,
    Tasks,
    Uncancelled,
    Unsend,
    Unstick,
    Welcome,
    WhoAreYou,
    Window,
)
from steer.wire.peers import parse_peer, peer_name

from .tasks import ClientSide, EngineSide

BOOT = "boot"
CHECK_EVERY = 20
"""Events between two checks of the hub's invariants: they look at all requests."""

Item = tuple[Message, Sequence[Any]]


class Memory:
    """Who holds which shared memory: (pid, fd) to frames."""

    def __init__(self) -> None:
        self.held: dict[tuple[int, int], list[Any]] = {}
        self._fds = 0

    def put(self, pid: int, frames: Sequence[Any]) -> Store:
        self._fds += 1
        self.held[pid, self._fds] = list(frames)
        return Store(pid, self._fds, 1, ())

    def adopt(self, pid: int, store: Store) -> Store:
        return self.put(pid, self.take(store, ()))

    def take(self, store: Store | None, frames: Sequence[Any]) -> list[Any]:
        if store is None:
            return list(frames)
        if (store.pid, store.fd) not in self.held:
            raise FileNotFoundError(f"no store {store}")
        return self.held[store.pid, store.fd]

    def drop(self, store: Store | None) -> None:
        if store is not None:
            assert (store.pid, store.fd) in self.held, f"{store} was dropped twice"
            del self.held[store.pid, store.fd]

    def die(self, pid: int) -> None:
        for key in [key for key in self.held if key[0] == pid]:
            del self.held[key]


class Disk:
    """The journal: what is committed survives its hub; callbacks die with it."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.rows: dict[str, dict[str, Any]] = {}
        self.tasks: dict[tuple[str, int], tuple[Any, ...]] = {}
        self.alive: Callable[[], bool] = lambda: True
        self._free = 0.0

    def _soon(self, job: Callable[[], object]) -> None:
        alive = self.alive
        self._free = max(self._free, self.net.now) + self.net.random.uniform(0, 0.02)

        def run() -> None:
            if alive():
                job()

        self.net.call_at(self._free, run)

    def put(self, records: Callable[[], Any], done: Callable[[], object]) -> None:
        def job() -> None:
            for record in records():
                old = self.rows.get(record["msg_id"], {})
                worse = record["status"] == "pending" and old.get("result_buffers")
                assert not worse, f"{record['msg_id']} lost its result"
                self.rows[record["msg_id"]] = record
            done()

        self._soon(job)

    def update(
        self, msg_id: str, fields: dict[str, Any], done: Callable[[], object]
    ) -> None:
        def job() -> None:
            engine = int(msg_id.rpartition("_")[2])
            old = self.rows.get(msg_id, {"msg_id": msg_id, "engine_id": engine})
            self.rows[msg_id] = old | fields
            done()

        self._soon(job)

    def put_tasks(
        self, notes: Sequence[Any], offset: float, done: Callable[[], object]
    ) -> None:
        def job() -> None:
            for note in notes:
                for task in note.tasks:
                    self.tasks[note.client, task[0]] = task
            done()

        self._soon(job)

    def fetch(
        self, ids: Sequence[str], found: Callable[[Any], object], failed: Any
    ) -> None:
        self._soon(lambda: found([self.rows[i] for i in ids if i in self.rows]))


class Socket:
    """One of a peer's sockets: queues while it is cut, like a DEALER."""

    def __init__(self, world: World, peer: Peer, role: Any) -> None:
        self.world = world
        self.peer = peer
        self.role = role
        self.name = peer_name(role, peer.who)
        self.waiting: list[tuple[bytes, Sequence[Any]]] = []
        self.up: Pipe[tuple[bytes, Sequence[Any]]] | None = None
        self.down: Pipe[tuple[bytes, Sequence[Any]]] | None = None

    def send(self, message: Message, frames: Sequence[Any] = ()) -> None:
        item = (encode(message), tuple(frames))
        if self.up is None:
            self.waiting.append(item)
            return
        self.up.send(item)
        if isinstance(message, Result) and self.world.chance(self.world.doubles):
            self.up.send(item)

    def connect(self) -> None:
        """Connect as soon as there is a hub."""
        hub = self.world.hub
        if not self.peer.alive or self.up is not None:
            return
        if hub is None:
            self.world.net.call_later(0.1, self.connect)
            return
        self.up = Pipe(self.world.net, hub, lambda item: hub.heard(self.name, *item))
        self.down = Pipe(
            self.world.net, self.peer, lambda item: self.peer.receive(self, *item)
        )
        hub.sockets[self.name] = self
        for item in self.waiting:
            self.up.send(item)
        self.waiting.clear()
        self.world.net.call_later(self.world.net.delay(), self._linked)

    def _linked(self) -> None:
        if self.up is not None and self.peer.alive:
            self.peer.linked(self.role)

    def cut(self) -> None:
        """Lose the connection with what is under way; connect again after a while."""
        if self.up is None or self.down is None:
            return
        self.up.cut()
        self.down.cut()
        self.up = self.down = None
        if self.world.hub is not None:
            self.world.hub.sockets.pop(self.name, None)
        if self.peer.alive:
            self.peer.cut(self.role)
            pause = self.world.net.random.uniform(0.02, 0.5)
            self.world.net.call_later(pause, self.connect)


class Peer(Freezable):
    """A process with two sockets."""

    roles: tuple[str, str]

    def __init__(self, world: World, who: str) -> None:
        super().__init__()
        self.world = world
        self.who = who
        self.pid = world.new_pid()
        self.alive = True
        self.links: set[str] = set()
        self.introductions = 0
        self.sockets = {role: Socket(world, self, role) for role in self.roles}
        for socket in self.sockets.values():
            world.net.call_later(world.net.delay(), socket.connect)

    def linked(self, role: str) -> None:
        self.links.add(role)
        if len(self.links) == 2:
            self.introduce()

    def cut(self, role: str) -> None:
        self.links.discard(role)

    def introduce(self) -> None:
        raise NotImplementedError

    def receive(self, socket: Socket, header: bytes, frames: Sequence[Any]) -> None:
        if self.alive:
            self.heard(socket.role, decode(header), frames)

    def heard(self, role: str, message: Message, frames: Sequence[Any]) -> None:
        raise NotImplementedError

    def die(self) -> None:
        """SIGKILL."""
        self.alive = False
        for socket in self.sockets.values():
            socket.cut()
        self.world.memory.die(self.pid)
        self.world.died(self)


class Engine(Peer):
    """A rank: its two threads around an EngineCore."""

    roles = ("work", "control")

    def __init__(self, world: World, who: str, job: str, rank: int, size: int) -> None:
        super().__init__(world, who)
        self.core = EngineCore()
        self.tasks = EngineSide(self)
        self.place = (job, rank, size)
        self.ready = False
        self.ran: list[str] = []
        """Requests in the order in which they began here."""
        self.queue: collections.deque[Item] = collections.deque()
        """What came on the work socket and main has not read."""
        world.net.call_later(world.net.random.uniform(0, 0.5), self._mpi_is_up)

    def _mpi_is_up(self) -> None:
        if self.alive:
            self.ready = True
            self._say_ready()

    def _say_ready(self) -> None:
        if self.ready and self.core.engine >= 0:
            _, rank, size = self.place
            self.send(Ready(self.who, rank, size, shares=True))

    def send(self, message: Message, frames: Sequence[Any] = ()) -> None:
        self.sockets["control"].send(message, frames)

    def introduce(self) -> None:
        self.introductions += 1
        job, rank, size = self.place
        held = self.tasks.core.register()
        turn = self.tasks.core.turn
        self.send(
            Register(
                VERSION, self.who, self.pid, 0, "host", BOOT, job, rank, size,
                self.core.engine, self.ready, self.core.known(), holding=bool(held),
                turn=turn,
            )
        )  # fmt: skip
        for message in held:
            self.send(message)

    def heard(self, role: str, message: Message, frames: Sequence[Any]) -> None:
        match message:
            case Submit() | Tasks() | RankTask() | Functions() if role == "work":
                self.queue.append((message, frames))
                self.go_on()
            case Tasks() | RankTask() | Functions():
                self.tasks.heard(message, frames)
                self.go_on()
            case Unsend() | Settled() | InterruptTask() | Unstick():
                self.tasks.heard(message, frames)
            case WhoAreYou():
                self.introduce()
            case Enrolled():
                self.tasks.send_again()
                for result, its in self.core.enrolled(message.engine, message.hub):
                    self.send(result, its)
                self._say_ready()
            case Acknowledge():
                for result in self.core.acknowledge(message.ids):
                    self.world.memory.drop(result.store)
            case Abort():
                self.core.abort(message.ids)
            case Ping():
                self.send(Pong())
            case Glance():
                if message.what == "look":
                    report = Report(busy=self.core.running or "")
                    self.send(Glanced(message.number, pack(report)))
            case Quit():
                if self.alive:
                    self.die()
            case _:
                raise AssertionError(message)
        self.core.check()

    @property
    def busy(self) -> bool:
        """Whether main runs something."""
        return self.core.running is not None or self.tasks.core.running is not None

    def go_on(self) -> None:
        """Main looks for work: the next task, then what came on its socket."""
        while self.alive and not self.busy:
            if self.tasks.next():
                return
            if not self.queue:
                return
            submit, frames = self.queue.popleft()
            if not isinstance(submit, Submit):
                self.tasks.heard(submit, frames)
                continue
            verdict = self.core.submit(submit.id)
            if verdict is Verdict.RUN:
                self._run(submit, frames)
            elif verdict is Verdict.ABORT:
                error = pack(ErrorInfo("TaskAborted", "Aborted."))
                self._answer(Result(submit.id, "aborted", 0.0, 0.0), [error])
            elif verdict is Verdict.SEND_AGAIN:
                self.sockets["work"].send(*self.core.held[submit.id])

    def _run(self, submit: Submit, frames: Sequence[Any]) -> None:
        assert list(frames) == [submit.id.encode()]
        self.world.ran[submit.id, self.who] += 1
        self.ran.append(submit.id)
        if submit.joint:
            self.world.cell_begins(submit)
        random = self.world.net.random
        if random.random() < 0.3:
            self.send(Output(submit.id, Stream.STDOUT), (b"hello",))
        lasts = 3.0 if random.random() < 0.01 else random.choice([0.0, 0.0005, 0.02])
        self.world.net.call_later(lasts, lambda: self._done(submit))

    def _done(self, submit: Submit) -> None:
        if not self.alive:
            return
        self.world.ended.add((submit.id, self.core.engine))
        random = self.world.net.random
        body = random.choice([b"", submit.id.encode()])
        status, store, frames = "ok", None, [body]
        if random.random() < 0.1:
            status = "error"
        elif random.random() < 0.3:
            store = self.world.memory.put(self.pid, frames)
            frames = [b""]
        result = Result(submit.id, status, self.world.net.now, 0.0, 0, store)
        self._answer(result, frames)
        self.go_on()

    def _answer(self, result: Result, frames: Sequence[Any]) -> None:
        self.core.done(result, frames)
        role = self.world.net.random.choice(self.roles)
        self.sockets[role].send(result, frames)


class Request:
    """What a client wants answered, and what it got: the sink."""

    def __init__(self, submit: Submit) -> None:
        self.submit = submit
        self.answers: dict[int, tuple[str, list[Any]]] = {}
        self.taken = RankSet()
        """Engines whose answers came in shared memory."""
        self.was_refused: ErrorInfo | None = None

    @property
    def complete(self) -> bool:
        targets = RankSet.parse(self.submit.targets)
        return self.was_refused is not None or RankSet(self.answers) == targets


class Client(Peer):
    """A notebook: a ClientCore and its link."""

    roles = ("out", "in")

    def __init__(self, world: World, who: str) -> None:
        super().__init__(world, who)
        self.core = ClientCore(who)
        self.requests: dict[str, Request] = {}
        self.tasks = ClientSide(self)
        self.left = False

    def introduce(self) -> None:
        self.introductions += 1
        sock = self.sockets["in"]
        sock.send(Hello(VERSION, self.who, self.pid, 0, BOOT, -1, self.core.sent))
        for submit, frames in self.core.again():
            sock.send(submit, frames)

    def submit(
        self, targets: Sequence[int], *, large: bool, joint: bool = False
    ) -> None:
        number = f"{self.who}-{self.core.sent + 1}"
        frames: list[Any] = [number.encode()]
        store = self.world.memory.put(self.pid, frames) if large else None
        pending = self.core.submit(
            "apply", targets, frames, None, submitted=self.world.net.now, store=store,
            joint=joint,
        )  # type: ignore[arg-type]  # fmt: skip
        self.requests[pending.submit.id] = Request(pending.submit)
        self.sockets["out"].send(pending.submit, frames)

    def heard(self, role: str, message: Message, frames: Sequence[Any]) -> None:
        match message:
            case Replies():
                self._replies(message, frames)
            case Outputs():
                self.core.outputs(message, frames)
            case Refused():
                pending = self.core.refused(message.id)
                if pending is not None:
                    self.world.memory.drop(pending.submit.store)
                    self.requests[message.id].was_refused = message.error
            case Joined():
                self.core.joined(message.engines)
            case Left():
                self.core.left(message)
            case WhoAreYou():
                self.introduce()
            case Insight():
                pass
            case Welcome():
                self.core.engines = {}
                self.core.joined(message.engines)
                self.tasks.welcome(message.pid, message.bundle)
            case Window() | Outcomes() | RankOutcomes() | Begun() | Uncancelled():
                self.tasks.heard(message, frames)
            case _:
                raise AssertionError(message)

    def _replies(self, message: Replies, frames: Sequence[Any]) -> None:
        parts, whole, lent = [], [], RankSet()
        for part, its in split_parts(message, frames):
            try:
                whole += self.world.memory.take(part.store, its)
            except FileNotFoundError:
                continue  # its hub is gone; the next one gives it again
            parts.append(part)
            if part.store is not None:
                lent |= RankSet.parse(part.ranks)
        message = msgspec.structs.replace(message, parts=tuple(parts))
        pending, news = self.core.replies(message, whole)
        for part, its in news:
            for engine in RankSet.parse(part.ranks):
                answers = self.requests[message.id].answers
                assert engine not in answers, (
                    f"{message.id} got two answers of {engine}"
                )
                answers[engine] = (part.status, its)
        if pending is not None and news and not pending.missing:
            self.world.memory.drop(pending.submit.store)
        if lent:
            if message.id in self.requests:
                self.requests[message.id].taken |= lent
            self.sockets["in"].send(Release(message.id, str(lent)))

    def leave(self) -> None:
        self.left = True
        self.sockets["out"].send(Goodbye(self.who))
        self.world.net.call_later(0.5, lambda: self.alive and self.die())


class Hub(Freezable):
    """A hub's process: core, ledger, watches."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.net = world.net
        self.pid = world.new_pid()
        self.alive = True
        self.sockets: dict[bytes, Socket] = {}
        self.watched: dict[str, Peer | None] = {}
        self._tick_at: float | None = None
        self._fed = 0
        until = self.net.now + RETURN_WITHIN if world.hubs > 1 else None
        self.core = HubCore(
            pid=self.pid, boot=BOOT, cluster="sim", restoring_until=until,
            began=int(self.net.now * 1e6),
        )  # fmt: skip
        world.disk.alive = lambda: self.alive
        loop = SimpleNamespace(
            call_later=lambda s, job: self.later(s, job),
            call_soon=lambda job: self.later(0.0, job),
        )
        self.ledger = Ledger(world.disk, loop)  # type: ignore[arg-type]
        self.ledger.saved = lambda results: self.feed(ev.Saved(tuple(results)))
        self.ledger.saved_tasks = lambda client, number: self.feed(
            ev.SavedTasks(client, number)
        )

    def later(self, seconds: float, job: Callable[[], object]) -> None:
        def run() -> None:
            if not self.alive:
                return
            if self.frozen_until > self.net.now:
                self.net.call_at(self.frozen_until, run)
                return
            job()

        self.net.call_later(seconds, run)

    def feed(self, event: ev.Event) -> None:
        for action in self.core.handle(event, self.net.now):
            self.do(action)
        self._fed += 1
        if self._fed % CHECK_EVERY == 0:
            self.core.check()
        due = self.core.deadline()
        if due is not None and (self._tick_at is None or due < self._tick_at):
            self._tick_at = due
            self.later(max(0.0, due - self.net.now), self._tick)

    def _tick(self) -> None:
        self._tick_at = None
        self.feed(ev.Tick())

    def heard(self, name: bytes, header: bytes, frames: Sequence[Any]) -> None:
        if not self.alive:
            return
        message = decode(header)
        memory = self.world.memory
        if isinstance(message, Hello):
            self.core.shares[message.client] = True
        elif isinstance(message, Submit | Result) and message.store is not None:
            try:
                store = memory.adopt(self.pid, message.store)
            except FileNotFoundError:
                if isinstance(message, Submit):
                    return  # its client is gone
                lost = ErrorInfo("EngineError", "The data was lost.")
                message = msgspec.structs.replace(message, status="error", store=None)
                frames = [pack(lost)]
            else:
                message = msgspec.structs.replace(message, store=store)
        elif frames and isinstance(message, RankTask | Outcomes):
            found = self._adopt(message)
            if found is None:
                return  # its owner is gone
            message = found
        self.feed(ev.Heard(name, message, frames))

    def _adopt(self, message: RankTask | Outcomes) -> RankTask | Outcomes | None:
        memory, replace = self.world.memory, msgspec.structs.replace
        large = message if isinstance(message, RankTask) else message.outcomes[0]
        if large.store is None:
            return message
        try:
            store = memory.adopt(self.pid, large.store)
        except FileNotFoundError:
            return None
        if isinstance(message, RankTask):
            return replace(message, store=store)
        return replace(message, outcomes=(replace(message.outcomes[0], store=store),))

    def do(self, action: ev.Action) -> None:
        match action:
            case ev.Send():
                for peer in action.peers:
                    self._send(peer, action)
            case ev.Watch():
                if action.uuid not in self.watched:
                    self._watch(action.uuid)
            case ev.Unwatch():
                self.watched.pop(action.uuid, None)
            case ev.Note():
                request = self.core.fanout.requests.get(action.id)
                if request is not None:
                    keep = request.client not in self.core.fanout.clients
                    self.ledger.note(request, keep=keep)
            case ev.NoteTasks():
                self.ledger.note_tasks(action)
            case ev.Kill():
                for pid, _ in action.processes:
                    self.world.kill(pid)
            case ev.Late():
                self.ledger.late(action.engine, action.result, action.frames)
                self.world.memory.drop(action.result.store)
            case ev.Recall():
                self._recall(action)
            case ev.Drop():
                self.world.memory.drop(action.store)
            case ev.Say() | ev.Sweep() | Outside():
                pass
            case _:
                raise AssertionError(action)

    def _send(self, peer: bytes, action: ev.Send) -> None:
        socket = self.sockets.get(peer)
        if socket is not None and socket.down is not None:
            socket.down.send((encode(action.message), tuple(action.frames)))
            return
        role, who = parse_peer(peer)
        if role == "work":
            self.later(0.0, lambda: self.feed(ev.Unreached(who)))

    def _watch(self, who: str) -> None:
        peer = self.world.peers[who]
        self.watched[who] = peer
        if not peer.alive:
            self.ended(peer)

    def ended(self, peer: Peer) -> None:
        if self.watched.pop(peer.who, None) is not None:
            died = ev.Died(peer.who, "was killed by SIGKILL")
            self.later(0.001, lambda: self.feed(died))

    def _recall(self, action: ev.Recall) -> None:
        def found(parts: Sequence[Any]) -> None:
            self.feed(
                ev.Recalled(action.client, action.submit, action.frames, tuple(parts))
            )

        self.ledger.recall(action.submit, found)


class World:
    """All of it, by one seed."""

    def __init__(self, seed: int) -> None:
        self.net = Net(seed)
        self.memory = Memory()
        self.disk = Disk(self.net)
        self.hub: Hub | None = None
        self.peers: dict[str, Peer] = {}
        self.engines: list[Engine] = []
        self.clients: list[Client] = []
        self.ran: collections.Counter[tuple[str, str]] = collections.Counter()
        self.ended: set[tuple[str, int]] = set()
        """Requests that were run to their end, each with an engine's id."""
        self.cells: dict[str, RankSet] = {}
        """Cells that have begun somewhere, with their engines."""
        self.task_runs: collections.defaultdict[tuple[str, int], list[Engine]] = (
            collections.defaultdict(list)
        )
        """On which engines a task has begun."""
        self.task_ends: collections.defaultdict[tuple[str, int], list[Engine]] = (
            collections.defaultdict(list)
        )
        """On which engines a task was run to its good end."""
        self.dead: set[int] = set()
        """Ids that dead engines had."""
        self.hubs = 0
        self.doubles = 0.0
        self._pids = 1000
        self.start_hub()

    def chance(self, probability: float) -> bool:
        return self.net.random.random() < probability

    def new_pid(self) -> int:
        self._pids += 1
        return self._pids

    def start_hub(self) -> None:
        if self.hub is None:
            self.hubs += 1
            self.hub = Hub(self)

    def kill_hub(self) -> None:
        """SIGKILL: only what is on the disk remains."""
        hub, self.hub = self.hub, None
        if hub is None:
            return
        hub.alive = False
        self.memory.die(hub.pid)
        for socket in list(hub.sockets.values()):
            socket.cut()
        self.net.call_later(self.net.random.uniform(0.05, 3.0), self.start_hub)

    def add_engines(self, n: int) -> None:
        job = f"job{len(self.engines)}"
        for rank in range(n):
            engine = Engine(self, f"e{len(self.engines):x}", job, rank, n)
            self.engines.append(engine)
            self.peers[engine.who] = engine

    def add_client(self) -> None:
        client = Client(self, f"c{len(self.clients):x}")
        self.clients.append(client)
        self.peers[client.who] = client

    def cell_begins(self, submit: Submit) -> None:
        """The cells before it are over on all their engines that live.

        Not so if a hub was killed that had sent one of them to some engines only.
        """
        targets = RankSet.parse(submit.targets)
        for other, its in self.cells.items() if self.hubs == 1 else ():
            if other != submit.id and its & targets:
                left = [e for e in its if (other, e) not in self.ended]
                assert self.dead.issuperset(left), f"{submit.id} on {other} on {left}"
        self.cells.setdefault(submit.id, targets)

    def is_at_work(self) -> bool:
        """Whether engines run something, or living clients wait for tasks."""
        return any(e.alive and (e.queue or e.busy) for e in self.engines) or any(
            c.alive and c.tasks.core.sent for c in self.clients
        )

    def kill(self, pid: int) -> None:
        """The hub ends a process."""
        for peer in self.peers.values():
            if peer.pid == pid and peer.alive:
                peer.die()

    def died(self, peer: Peer) -> None:
        if isinstance(peer, Engine):
            self.dead.add(peer.core.engine)
        if self.hub is not None:
            self.hub.ended(peer)


def simulated_memory(world: World) -> Any:
    """What stands for steer.shm in the ledger."""
    real = ledger_module.shm
    return SimpleNamespace(take=world.memory.take, length=real.length)
