"""Each request runs once, and no result is lost."""

from __future__ import annotations

from steer.core import engine as engine_module
from steer.core.engine import EngineCore, Verdict
from steer.wire.messages import Result


def done(core, request_id):
    core.done(Result(request_id, "ok", 0.0, 0.0), (b"",))


def test_a_request_runs_once():
    core = EngineCore()
    assert core.submit("a") is Verdict.RUN
    assert core.known() == ("a",)
    assert core.submit("a") is Verdict.IGNORE
    done(core, "a")
    assert core.submit("a") is Verdict.SEND_AGAIN
    assert core.known() == ("a",)
    assert [result.id for result in core.acknowledge(["a", "b"])] == ["a"]
    assert core.acknowledge(["a"]) == []
    assert core.submit("a") is Verdict.IGNORE
    assert core.known() == ()


def test_an_abort_may_overtake_its_request():
    core = EngineCore()
    core.abort(["a"])
    assert core.submit("a") is Verdict.ABORT
    assert core.running is None
    done(core, "a")
    assert core.submit("a") is Verdict.SEND_AGAIN


def test_what_runs_is_not_aborted():
    core = EngineCore()
    core.submit("a")
    core.abort(["a"])
    done(core, "a")
    core.acknowledge(["a"])
    assert core.submit("a") is Verdict.IGNORE


def test_what_was_not_acknowledged_is_sent_again_at_every_enrolment():
    core = EngineCore()
    assert core.enrolled(3, 100) == []
    core.submit("a")
    done(core, "a")
    for hub in (100, 101):
        assert [result.id for result, _ in core.enrolled(3, hub)] == ["a"]
    assert (core.engine, core.hub) == (3, 101)


def test_memory_is_bounded_but_what_is_held_is_remembered(monkeypatch):
    monkeypatch.setattr(engine_module, "REMEMBERED", 10)
    core = EngineCore()
    for number in range(100):
        assert core.submit(str(number)) is Verdict.RUN
        done(core, str(number))
        if number != 7:
            core.acknowledge([str(number)])
        core.check()
    assert core.submit("7") is Verdict.SEND_AGAIN
    assert core.submit("99") is Verdict.IGNORE
    assert len(core._seen) <= 12
