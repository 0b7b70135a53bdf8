"""A run without ranks: its program's parameters are in this process."""

from __future__ import annotations

import types

import msgspec

from steer.client.scheduling import Scheduling
from steer.core import params as core
from steer.core.params import Parameters
from steer.errors import UsageError
from steer.ranks import RankSet
from steer.wire.messages import News
from steer.wire.plans import Changes, decode_deed


class FakeRun(Scheduling):
    """What the hub and the ranks answer, at once."""

    name = "sim"

    def __init__(self, ranks=4, **declared):
        self.ranks = [Parameters(declared) for _ in range(ranks)]
        self.listeners = []
        steering = types.SimpleNamespace(listeners=self.listeners)
        self.client = types.SimpleNamespace(
            link=types.SimpleNamespace(steering=steering)
        )
        self.asked = []
        self.silent = RankSet()
        """Ranks whose threads are all frozen."""
        self.planned = []

    def status(self):
        return {
            "ranks": str(RankSet(range(len(self.ranks)))),
            "families": [{"plans": self.planned}],
        }

    def do(self, verb, timeout=None, /, **arguments):
        self.asked.append((verb, arguments))
        if verb == "params":
            return self.described()
        if verb == "unplan" and arguments["plan"] not in (1, 2):
            raise UsageError(f"There is no plan {arguments['plan']}; it may be done.")
        if arguments.get("verb") == "set":
            self.check(arguments["body"])
        point = arguments.get("point") or 413
        facts = {"plan": len(self.asked), "every": arguments.get("every", 0)}
        text = f"{arguments.get('text', 'no more')}: at point {point}"
        return News("sim", "sim/step", "planned", text, (), point, "0-3", facts)

    def check(self, body):
        changes = decode_deed("set", body)
        assert isinstance(changes, Changes)
        for rank, parameters in enumerate(self.ranks):
            if no := core.try_change(parameters, changes.on(rank)):
                raise UsageError(no)

    def described(self):
        said = {}
        for rank, parameters in enumerate(self.ranks):
            if rank in self.silent:
                continue
            answer = msgspec.msgpack.encode(core.describe(parameters))
            said[answer] = said.get(answer, RankSet()) | RankSet([rank])
        facts = {"said": [[str(r), b] for b, r in said.items()]}
        facts["missing"] = str(self.silent)
        return News("sim", "", "answer", "", (), 0, "", facts)

    def tell(self, kind, text, point=413, **facts):
        news = News("sim", "sim/step", kind, text, (), point, "0-3", facts)
        for listener in list(self.listeners):
            listener(news)
