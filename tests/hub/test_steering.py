"""The hub's part of steering: events in order, pages that are mapped and others."""

from __future__ import annotations

import os

import pytest

from steer import pages
from steer.core import events as ev
from steer.core import page
from steer.core import roundevents as rv
from steer.core.hub import HubCore
from steer.core.orders import action_of, ordered
from steer.core.page import Family
from steer.hub.steering import EVERY, Steering
from steer.ranks import RankSet
from steer.wire import messages as wire
from steer.wire.messages import VERSION

BASE = page.family_base(0)


class Loop:
    """Timers and jobs, done when a test says so."""

    def __init__(self):
        self.later, self.soon = [], []

    def call_later(self, seconds, job):
        self.later.append((seconds, job))

    def call_soon(self, job):
        self.soon.append(job)


class Log:
    """What is noted."""

    def __init__(self):
        self.notes = []

    def note(self, action):
        self.notes.append(action)

    def note_cell(self, action):
        pass

    def note_end(self, action):
        pass


class Hub:
    """A core, its steering, and the pages of two ranks of this process."""

    def __init__(self, mapped=(True, True)):
        self.core = HubCore(pid=7, boot="here", cluster="x")
        self.loop, self.log = Loop(), Log()
        self.sent = []
        self.now = 0.0
        self.steering = Steering(
            self.core, self.loop, self.sent.append, self.feed, self.log
        )
        self.do = {ev.Send: self.sent.append, **self.steering.actions()}
        self.pages = [pages.make() for _ in mapped]
        for rank, (mapped_, here) in enumerate(zip(self.pages, mapped, strict=True)):
            page.begin(mapped_.words, os.getpid(), 1, rank, 2, "sim")
            self.hear(
                f"ce{rank}",
                wire.Register(
                    VERSION, f"e{rank}", os.getpid(), 5, "node1", "here", "j", rank, 2,
                    ready=True, page=mapped_.fd if here else -1, run="sim",
                ),
            )  # fmt: skip
            self.hear(f"ce{rank}", wire.RunBegan("sim", "sim.py"))
            page.add_family(mapped_.words, "step", False)
            self.hear(f"ce{rank}", wire.FamilyBorn("sim", "step"))

    def feed(self, event):
        for action in self.core.handle(event, self.now):
            self.do.get(type(action), lambda action: None)(action)
        self.steering.settle()

    def hear(self, peer, message, *frames):
        self.steering.before(message)
        heard = ev.Heard(peer.encode(), message, frames)
        self.feed(heard)
        self.steering.heard(heard)
        self.steering.settle()

    def messages(self, kind):
        return [send for send in self.sent if isinstance(send.message, kind)]

    def at(self, rank, point):
        words = self.pages[rank].words
        words[BASE + Family.C] = words[BASE + Family.AT] = point

    def close(self):
        for rank in range(len(self.pages)):
            self.steering.gone(rank)
        for mapped in self.pages:
            mapped.close()


@pytest.fixture
def make():
    if not pages.barrier_works():
        pytest.skip("membarrier(2) is not allowed here")
    made = []

    def make(*mapped):
        made.append(Hub(mapped))
        return made[-1]

    yield make
    for hub in made:
        hub.close()


def stop(hub):
    hub.hear("ia", wire.Hello(VERSION, "a", 50, 6, "here", -1, 0))
    hub.hear("oa", wire.Steer("a-1", "sim", "stop"))


def test_a_stop_from_message_to_news_over_pages(make):
    hub = make(True, True)
    hub.at(0, 5)
    hub.at(1, 5)
    stop(hub)
    # Both held already where they are: armed, committed and told in one go.
    (news,) = hub.messages(wire.News)
    assert (news.message.kind, news.message.point) == ("stopped", 5)
    assert [note.verb for note in hub.log.notes] == ["stop"]


def test_ranks_that_hold_are_woken_and_others_are_not(make):
    hub = make(True, True)
    hub.at(0, 5)
    hub.sent.clear()
    stop(hub)
    wakes = hub.messages(wire.Wake)
    assert {peer for send in wakes for peer in send.peers} == {b"we0"}


def test_a_ring_is_a_reason_to_look(make):
    hub = make(True, True)
    stop(hub)
    assert not hub.messages(wire.News)
    for rank in range(2):
        hub.at(rank, 1)
        hub.hear(f"we{rank}", wire.Rang())
    (news,) = hub.messages(wire.News)
    assert news.message.kind == "stopped"


def test_pages_are_looked_at_while_something_is_under_way_and_only_then(make):
    hub = make(True, True)
    while hub.loop.later:
        _, look = hub.loop.later.pop()
        look()
    stop(hub)
    hub.at(0, 1)
    hub.at(1, 1)
    ((seconds, look),) = [t for t in hub.loop.later if t[0] == EVERY]
    hub.loop.later.clear()
    assert seconds == EVERY
    look()  # nobody has rung
    (news,) = hub.messages(wire.News)
    assert news.message.kind == "stopped"
    while hub.loop.later:
        _, look = hub.loop.later.pop()
        look()
    assert hub.loop.later == []


def test_a_rank_whose_page_is_not_here_gets_its_orders_as_messages(make):
    hub = make(True, False)
    orders = hub.messages(wire.Order)
    assert {type(action_of(send.message)) for send in orders} == {rv.Adopt}
    hub.sent.clear()
    stop(hub)
    (send,) = hub.messages(wire.Order)
    assert send.peers == (b"ce1",)
    arm = action_of(send.message)
    assert (type(arm), arm.ranks) == (rv.Arm, RankSet([1]))
    hub.at(0, 1)
    hub.hear("we0", wire.Rang())
    said = rv.Next("sim/step", arm.epoch, RankSet([1]), 9, 9)
    hub.hear("ce1", ordered(said))
    commit = action_of(hub.messages(wire.Order)[-1].message)
    assert (type(commit), commit.point) == (rv.Commit, 9)
    hub.at(0, 9)
    hub.hear("we0", wire.Rang())
    held = rv.Held("sim/step", arm.epoch, RankSet([1]), 9, "sim.py:3")
    hub.hear("ce1", ordered(held))
    (news,) = hub.messages(wire.News)
    assert (news.message.kind, news.message.point) == ("stopped", 9)


def test_garbage_of_a_rank_is_dropped(make):
    hub = make(True, False)
    hub.hear("ce1", wire.Ordered("Next", {"family": 3}))


def test_a_page_that_cannot_be_opened_is_elsewhere(make):
    hub = make(True, True)
    register = wire.Register(
        VERSION, "e9", os.getpid(), 5, "node1", "here", "k", 0, 1, ready=True,
        page=9999, run="other",
    )  # fmt: skip
    hub.hear("ce9", register)
    hub.hear("ce9", wire.RunBegan("other", "other.py"))
    hub.sent.clear()
    hub.hear("ce9", wire.FamilyBorn("other", "step"))
    (send,) = hub.messages(wire.Order)
    assert send.peers == (b"ce9",)


def test_who_keeps_a_round_waiting_is_asked(make):
    hub = make(True, True)
    stop(hub)
    hub.hear("oa", wire.Watching("a-2", "sim"))
    hub.at(0, 1)
    hub.hear("we0", wire.Rang())
    hub.now = 0.6
    hub.feed(ev.Tick())
    (asked,) = hub.messages(wire.LookAt)  # the other holds, as its page says
    assert asked.peers == (b"ce1",)
    hub.hear("ce1", wire.Looked(asked.message.number, where="x.py:9"))
    for job in hub.loop.soon:
        job()
    (news,) = [s.message for s in hub.messages(wire.News)]
    assert news.kind == "waiting"
    assert "rank 1 at point 0, computes at x.py:9" in news.text
