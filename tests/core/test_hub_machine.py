"""Any order of events: the hub's invariants hold, and in the end nothing is left."""

from __future__ import annotations

import itertools

import hypothesis
import msgspec
from hypothesis import stateful
from hypothesis import strategies as st

from steer.core import events as ev
from steer.core.client import ClientCore
from steer.core.hub import HubCore
from steer.ranks import RankSet
from steer.wire import messages as wire
from steer.wire.messages import VERSION, Part, Store, Submit

ENGINES = [f"e{i}" for i in range(4)]
CLIENTS = ["a", "b"]


class Hub(stateful.RuleBasedStateMachine):
    """The shell, the journal and the peers, as chaotic as they may be."""

    def __init__(self) -> None:
        super().__init__()
        self.core = HubCore(pid=1, boot="here", cluster="test")
        self.now = 0.0
        self.fds = itertools.count(1)
        self.adopted: set[int] = set()
        self.clients = {who: ClientCore(who) for who in CLIENTS}
        self.gone: set[str] = set()
        self.known: dict[str, dict[str, Submit]] = {e: {} for e in ENGINES}
        self.got: dict[tuple[str, int], int] = {}
        self.noted: dict[str, None] = {}
        self.journal: dict[tuple[str, int], Part] = {}
        self.late: list[tuple[str, int]] = []
        self.recalls: list[ev.Recall] = []

    # -- the shell

    def feed(self, event: ev.Event) -> None:
        for action in self.core.handle(event, self.now):
            match action:
                case ev.Drop():
                    self.drop(action.store)
                case ev.Note():
                    self.noted[action.id] = None
                case ev.Late():
                    key = (action.result.id, action.engine)
                    self.late.append(key)
                    self.journal[key] = part_of(action.engine, action.result)
                    if action.result.store is not None:
                        self.drop(action.result.store)
                case ev.Recall():
                    self.recalls.append(action)
                case ev.Send():
                    for peer in action.peers:
                        self.deliver(peer, action)

    def drop(self, store: Store) -> None:
        assert store.fd in self.adopted, f"{store} was dropped twice"
        self.adopted.remove(store.fd)

    def hear(self, peer: str, message: wire.Message, frames: tuple = ()) -> None:
        self.feed(ev.Heard(peer.encode(), message, frames))

    def deliver(self, peer: bytes, action: ev.Send) -> None:
        who = peer[1:].decode()
        if isinstance(action.message, Submit):
            assert peer[:1] == b"w"
            self.known[who][action.message.id] = action.message
        elif isinstance(action.message, wire.Replies) and who not in self.gone:
            _, news = self.clients[who].replies(action.message, action.frames)
            for part, _ in news:
                for engine in RankSet.parse(part.ranks):
                    key = (action.message.id, engine)
                    self.got[key] = self.got.get(key, 0) + 1
        elif isinstance(action.message, wire.Refused) and who not in self.gone:
            self.clients[who].refused(action.message.id)

    def store(self, wanted: bool) -> Store | None:
        if not wanted:
            return None
        fd = next(self.fds)
        self.adopted.add(fd)
        return Store(1, fd, 10, ())

    # -- engines

    @stateful.rule(
        who=st.sampled_from(ENGINES),
        size=st.integers(1, 3),
        engine=st.integers(-1, 4),
        ready=st.booleans(),
        boot=st.sampled_from(["here", "here", "there"]),
    )
    def register(self, who, size, engine, ready, boot):
        rank = int(who[1:]) % size
        message = wire.Register(
            VERSION, who, 10, 0, "h", boot, "job", rank, size, engine, ready
        )
        self.hear(f"c{who}", message)

    @stateful.rule(who=st.sampled_from(ENGINES))
    def ready(self, who):
        self.hear(f"c{who}", wire.Ready(who, 0, 1))

    @stateful.rule(who=st.sampled_from(ENGINES + CLIENTS))
    def die(self, who):
        if who in self.core.registry.engines:
            self.known[who].clear()
        if who in self.core.fanout.clients:
            self.gone.add(who)
        self.feed(ev.Died(who, "was killed by SIGKILL"))

    @stateful.rule(who=st.sampled_from(ENGINES))
    def leave(self, who):
        self.hear(f"c{who}", wire.Leaving(who, "left"))

    @stateful.rule(who=st.sampled_from(ENGINES))
    def unreached(self, who):
        self.feed(ev.Unreached(who))

    @stateful.rule(data=st.data(), status=st.sampled_from(["ok", "error"]),
                   large=st.booleans())  # fmt: skip
    def answer(self, data, status, large):
        """Also twice, also late."""
        owed = [(e, i) for e in ENGINES for i in self.known[e]]
        if owed:
            who, number = data.draw(st.sampled_from(owed))
            result = wire.Result(number, status, 0.0, 0.0, 0, self.store(large))
            self.hear(f"w{who}", result, (b"r",))

    @stateful.rule(data=st.data(), text=st.sampled_from([b"a", b"b"]))
    def say(self, data, text):
        owed = [(e, i) for e in ENGINES for i in self.known[e]]
        if owed:
            who, number = data.draw(st.sampled_from(owed))
            output = wire.Output(number, wire.Stream.STDOUT)
            self.hear(f"c{who}", output, (text,))

    # -- clients

    @stateful.rule(who=st.sampled_from(CLIENTS))
    def hello(self, who):
        """Introduce itself, for the first time or again."""
        if who in self.gone:
            return
        core = self.clients[who]
        hello = wire.Hello(VERSION, who, 20, 0, "here", -1, core.sent)
        self.hear(f"i{who}", hello)
        for submit, frames in core.again():
            store = self.store(submit.store is not None)
            again = msgspec.structs.replace(submit, store=store)
            self.hear(f"i{who}", again, tuple(frames))

    @stateful.rule(who=st.sampled_from(CLIENTS), large=st.booleans(),
                   engines=st.sets(st.integers(0, 4)))  # fmt: skip
    def submit(self, who, engines, large):
        if who in self.gone:
            return
        here = [engine.id for engine in self.core.registry.here()]
        pending = self.clients[who].submit(
            "apply", engines & set(here) or engines, (b"x",), None,
            submitted=0.0, store=self.store(large),
        )  # fmt: skip
        self.hear(f"o{who}", pending.submit, (b"x",))

    @stateful.rule(who=st.sampled_from(CLIENTS))
    def goodbye(self, who):
        if who in self.core.fanout.clients:
            self.gone.add(who)
            self.hear(f"o{who}", wire.Goodbye(who))

    @stateful.rule(who=st.sampled_from(CLIENTS), data=st.data())
    def release(self, who, data):
        lent = [
            (r.submit.id, a.engines[0])
            for r in self.core.fanout.requests.values()
            for a in r.lent
            if r.client == who and who not in self.gone
        ]
        if lent:
            number, engine = data.draw(st.sampled_from(lent))
            self.hear(f"i{who}", wire.Release(number, str(engine)))

    @stateful.rule(who=st.sampled_from(CLIENTS))
    def abort(self, who):
        self.hear(f"o{who}", wire.Abort((), "0-9"))

    # -- the journal and the clock

    @stateful.rule()
    def save(self):
        """Commit a batch, as the ledger makes it."""
        done = self.late
        self.late = []
        for number in self.noted:
            request = self.core.fanout.requests.get(number)
            if request is None:
                continue
            away = request.client not in self.core.fanout.clients
            for answered in request.answers:
                if answered.store is None or (away and not answered.taken):
                    for engine in answered.engines:
                        done.append((number, engine))
                        self.journal[number, engine] = Part(
                            str(engine), answered.status, 1, (0.0,), (0.0,)
                        )
        self.noted = {}
        self.feed(ev.Saved(tuple(done)))

    @stateful.rule()
    def recall(self):
        if self.recalls:
            self.find(self.recalls.pop(0))

    def find(self, action: ev.Recall) -> None:
        parts = tuple(
            (self.journal[action.submit.id, engine], (b"r",))
            for engine in RankSet.parse(action.submit.targets)
            if (action.submit.id, engine) in self.journal
        )
        self.feed(ev.Recalled(action.client, action.submit, action.frames, parts))

    @stateful.rule(seconds=st.sampled_from([0.001, 0.01, 0.3, 3.0, 11.0]))
    def wait(self, seconds):
        end = self.now + seconds
        for _ in range(1000):
            due = self.core.deadline()
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            self.feed(ev.Tick())
        else:
            raise AssertionError("the hub never comes to rest")
        self.now = end

    # -- what must hold

    @stateful.invariant()
    def consistent(self):
        self.core.check()

    @stateful.invariant()
    def what_is_finished_was_sent(self):
        fanout = self.core.fanout
        for request in fanout.requests.values():
            if not request.pending and request.client in fanout.clients:
                assert request.sent == len(request.answers), request

    @stateful.invariant()
    def no_answer_comes_twice(self):
        assert all(times == 1 for times in self.got.values())

    def teardown(self):
        """Everybody answers or dies, the journal takes it: nothing is left."""
        self.wait(11.0)
        for action in list(self.recalls):
            self.find(action)
        self.recalls.clear()
        for who in ENGINES:
            self.die(who)
        self.wait(11.0)
        for who in CLIENTS:
            if who in self.core.fanout.clients:
                self.hello(who)
                for action in list(self.recalls):
                    self.find(action)
                self.recalls.clear()
                self.wait(22.0)
                assert not self.clients[who].pending
                self.goodbye(who)
        self.save()
        assert not self.core.fanout.requests
        assert not self.core.early
        assert not self.core.returning
        assert not self.adopted


def part_of(engine: int, result: wire.Result) -> Part:
    return Part(str(engine), result.status, 1, (result.started,), (result.completed,))


class TestHub(Hub.TestCase):
    """Fewer, longer stories than hypothesis would tell."""

    settings = hypothesis.settings(
        max_examples=max(30, hypothesis.settings().max_examples // 2),
        stateful_step_count=60,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
