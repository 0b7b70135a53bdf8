"""What a client asks of runs, and what becomes of it when hubs come and go."""

from __future__ import annotations

import types

import pytest

from steer.client.steering import KEPT, Steering
from steer.errors import HubUnreachable, UsageError
from steer.wire.messages import News, Sample, Steer, Watching


class Link:
    """What takes messages."""

    def __init__(self):
        self.trouble = None
        self.sent = []
        self.count = 0
        self.connection = types.SimpleNamespace(hub_pid=7)

    def new_id(self):
        self.count += 1
        return f"a-{self.count}"

    def send_out(self, message, frames=()):
        self.sent.append(message)

    def question(self, make):
        self.sent.append(make(self.new_id()))


@pytest.fixture
def link():
    return Link()


@pytest.fixture
def steering(link):
    return Steering(link)


def news(kind="stopped", *answers):
    return News("sim", "sim/step", kind, "a sentence", answers, 7, "0-3")


def test_an_answer_comes_with_the_news_that_bears_its_id(steering, link):
    future = steering.steer("sim", "stop", point=7)
    (sent,) = link.sent
    assert (sent.run, sent.verb, sent.arguments) == ("sim", "stop", {"point": 7})
    assert "@" in sent.who
    steering.heard(news("waiting"), [])
    assert not future.done()
    answer = news("stopped", sent.id)
    steering.heard(answer, [])
    assert future.result(0) == answer


def test_listeners_hear_all_of_it_and_some_is_kept(steering):
    heard = []
    steering.listeners.append(heard.append)
    for _ in range(KEPT + 5):
        steering.heard(news(), [])
    assert len(heard) == KEPT + 5
    assert len(steering.news) == KEPT


def test_numbers_go_to_those_who_take_them(steering):
    taken = []
    steering.takers.append(lambda sample, frame: taken.append((sample, frame)))
    sample = Sample("sim", 3, 40)
    steering.heard(sample, [b"numbers"])
    assert taken == [(sample, b"numbers")]
    assert steering.news == []


def test_a_refusal_is_raised(steering, link):
    future = steering.steer("sim", "dance")
    assert steering.refused(link.sent[0].id, UsageError("no such verb"))
    with pytest.raises(UsageError, match="no such verb"):
        future.result(0)
    assert not steering.refused("a-99", UsageError("?"))


def test_a_new_hub_is_asked_again_and_told_what_we_watch(steering, link):
    steering.watch("sim")
    done = steering.steer("sim", "stop")
    steering.heard(news("stopped", link.sent[-1].id), [])
    assert done.done()
    steering.steer("sim", "step", n=3)
    again = steering.again()
    assert [type(message) for message in again] == [Watching, Steer]
    assert again[0].run == "sim"
    assert (again[1].verb, again[1].resent) == ("step", True)
    assert again[1].id == link.sent[-1].id
    assert again[1].hub == 7  # it may be the same one


def test_who_waits_for_a_hub_that_is_gone_is_told(steering):
    future = steering.steer("sim", "stop")
    steering.trouble(HubUnreachable("it is gone"))
    with pytest.raises(HubUnreachable):
        future.result(0)
    # Nobody waits for it any more: it is not asked for again.
    assert not any(isinstance(message, Steer) for message in steering.again())


def test_asking_without_a_hub_fails_at_once(steering, link):
    link.trouble = HubUnreachable("it is gone")
    with pytest.raises(HubUnreachable):
        steering.steer("sim", "stop").result(0)


def test_what_is_watched_no_more(steering):
    steering.watch("sim")
    steering.unwatch("sim")
    assert steering.again() == []
