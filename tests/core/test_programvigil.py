"""What is said unasked of a program whose ranks stand still."""

from __future__ import annotations

import pytest

from steer.core import events as ev
from steer.core import programvigil
from steer.core.programvigil import LULL
from steer.core.rankstates import Look, Spot
from steer.core.sightings import UNASKED, LookWish, Report
from steer.wire import messages as wire
from steer.wire.frames import pack, unpack

from .hubs import Hub, sent
from .sightings import joint, recv, world

BARRIER = joint("Barrier", world(3))


@pytest.fixture
def hub():
    """Three ranks whose program runs; one client that watches it, and one that does
    not."""
    hub = Hub()
    hub.join(3)
    hub.hello()
    hub.hello("b")
    hub.hear("ob", wire.Watching("b-1", "sim", who="ann@here"))
    for rank in range(3):
        hub.hear(f"ce{rank}", wire.RunBegan("sim", "sim.py"))
    hub.now = 100.0
    return hub


def still(hub, rank, seconds=10.0):
    actions = hub.hear(f"ce{rank}", wire.Glanced(UNASKED, pack(seconds)))
    return [glance for _, glance in sent(actions, wire.Glance)]


def report(call, seconds=10.0, held=""):
    return Report("the program", 20.0, Look(Spot("s.py", 3, "f"), "", call, seconds),
                  held)  # fmt: skip


def answer(hub, glance, *reports):
    for rank, said in enumerate(reports):
        actions = hub.hear(f"ce{rank}", wire.Glanced(glance.number, pack(said)))
    return actions


RING = [report(recv((rank - 1) % 3)) for rank in range(3)]


def test_what_is_proved_is_said_to_all_once(hub):
    (glance,) = still(hub, 0)
    assert unpack(glance.body, type=LookWish).deep
    actions = answer(hub, glance, *RING)
    ((peers, news),) = sent(actions, wire.News)
    assert peers == (b"ib",)
    assert (news.run, news.kind, news.ranks) == ("sim", "stuck", "0-2")
    assert "DEADLOCK" in news.text
    (told,) = [a for a in actions if isinstance(a.message, wire.Notice)]
    assert set(told.peers) == {b"ia", b"ib"}
    facts = unpack(told.frames[0])
    assert facts == {"run": "sim", "verdict": "DEADLOCK", "text": news.text}
    hub.now += 10
    (glance,) = still(hub, 1, 20.0)
    assert not answer(hub, glance, *RING)


def test_a_later_program_of_the_same_name_is_told_of_too(hub):
    (glance,) = still(hub, 0)
    assert answer(hub, glance, *RING)
    for rank in range(3):
        hub.feed(ev.Died(f"e{rank}", "ended"))
    for rank in range(3):
        hub.register(f"n{rank}", rank, 3, job="another")
        hub.hear(f"cn{rank}", wire.Ready(f"n{rank}", rank, 3))
        hub.hear(f"cn{rank}", wire.RunBegan("sim", "sim.py"))
    hub.now += 1
    actions = hub.hear("cn0", wire.Glanced(UNASKED, pack(10.0)))
    ((_, glance),) = sent(actions, wire.Glance)
    for rank, said in enumerate(RING):
        actions = hub.hear(f"cn{rank}", wire.Glanced(glance.number, pack(said)))
    (told,) = [a for a in actions if isinstance(a.message, wire.Notice)]
    assert unpack(told.frames[0])["verdict"] == "DEADLOCK"
    vigil = hub.core.sight.stands_still.__self__
    assert len(vigil._asked) == len(vigil._said) == 1  # nothing is kept of the first


def test_what_is_said_of_one_program_has_an_end(hub, monkeypatch):
    monkeypatch.setattr(programvigil, "MOST", 1)
    (glance,) = still(hub, 0)
    assert answer(hub, glance, *RING)
    hub.now += 60
    (glance,) = still(hub, 0)
    waits = report(recv(0))  # rank 0 for itself, too
    assert not answer(hub, glance, waits, waits, waits)


def test_ranks_that_say_it_together_are_asked_once(hub):
    assert still(hub, 0)
    assert not still(hub, 1)
    hub.now += LULL
    assert still(hub, 1)


def test_nothing_is_said_that_is_not_proved(hub):
    (glance,) = still(hub, 0)
    assert not answer(hub, glance, *RING[:2], report(recv(1), 0.1))


def test_a_slow_rank_is_said_once_whoever_waits_for_it(hub):
    computes = Report("the program", 20.0, Look(Spot("s.py", 4, "g")))
    (glance,) = still(hub, 0)
    said = answer(hub, glance, report(BARRIER), report(BARRIER), computes)
    ((_, news),) = sent(said, wire.News)
    assert news.facts == {"verdict": "IMBALANCE"}
    hub.now += 30
    (glance,) = still(hub, 0)
    assert not answer(hub, glance, report(recv(2)), report(BARRIER), computes)


def test_of_ranks_that_are_held_the_stop_tells(hub):
    held = report(None, held="point 5 'step'")
    (glance,) = still(hub, 0)
    assert not answer(hub, glance, report(recv(2)), report(recv(2)), held)


def test_it_is_of_no_matter_where_no_program_runs():
    hub = Hub()
    hub.join(3)
    assert not still(hub, 0)
    assert not hub.hear("cghost", wire.Glanced(UNASKED, pack(10.0)))


def test_a_program_of_one_rank_waits_for_nobody():
    hub = Hub()
    hub.join(1)
    hub.hear("ce0", wire.RunBegan("sim", "sim.py"))
    assert not still(hub, 0)
    assert isinstance(hub.feed(ev.Tick()), list)
