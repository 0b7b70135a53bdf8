"""A hub's core for tests, with short words for what happens to it."""

from __future__ import annotations

from steer.core import events as ev
from steer.core.hub import HubCore
from steer.wire import messages as wire
from steer.wire.frames import pack
from steer.wire.messages import VERSION, Submit


class Hub:
    """A core and the time."""

    def __init__(self, **options) -> None:
        self.core = HubCore(pid=7, boot="here", cluster="x", **options)
        self.now = 0.0

    def feed(self, event):
        actions = self.core.handle(event, self.now)
        self.core.check()
        return actions

    def hear(self, peer, message, *frames):
        return self.feed(ev.Heard(peer.encode(), message, frames))

    def register(self, who, rank=0, size=1, **more):
        fields = {"version": VERSION, "boot": "here", "engine": -1, "job": "j"} | more
        return self.hear(
            f"c{who}",
            wire.Register(
                uuid=who, pid=100 + rank, began=5, host="node1",
                rank=rank, size=size, **fields,
            ),
        )  # fmt: skip

    def join(self, n=2, **more):
        for rank in range(n):
            self.register(f"e{rank}", rank, n, **more)
            self.hear(f"ce{rank}", wire.Ready(f"e{rank}", rank, n))

    def hello(self, who="a", sent=0):
        return self.hear(f"i{who}", wire.Hello(VERSION, who, 50, 6, "here", -1, sent))

    def submit(self, number="a-1", targets="0-1", who="a", **more):
        return self.hear(f"o{who}", Submit(number, "apply", targets, **more), b"x")

    def answer(self, who, number="a-1", store=None):
        result = wire.Result(number, "ok", 1.0, 2.0, 0, store)
        return self.hear(f"w{who}", result, b"r")

    def ask(self, what, **arguments):
        return self.hear("oa", wire.Ask("q", what), pack(arguments))


def sent(actions, kind):
    """The messages of a kind, each with its receivers."""
    return [
        (a.peers, a.message)
        for a in actions
        if isinstance(a, ev.Send) and isinstance(a.message, kind)
    ]
