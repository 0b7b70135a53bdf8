"""The way down, step by step, in virtual time."""

from __future__ import annotations

import signal

from steer.core.ending import ASKED_FOR, KILLED_FOR, TOLD_FOR, Ending, Step
from steer.core.events import End, Kill, KillJobs, Say, Send, Sweep
from steer.core.registry import Registry
from steer.wire.messages import VERSION, Quit, Ready, Register


def cluster(n=2, boot="here"):
    registry = Registry("here")
    for rank in range(n):
        info = Register(VERSION, f"e{rank}", 100 + rank, rank, "h", boot, "j", rank, n)
        registry.register(info, 0.0)
        registry.ready(Ready(f"e{rank}", rank, n, segments=(f"seg{rank}",)))
    jobs = {"j": n}
    return registry, jobs, Ending(registry, jobs)


def test_an_idle_cluster_passes_only_asked():
    registry, jobs, ending = cluster()
    (ask,) = ending.begin(10.0)
    assert ask == Send((b"we0", b"ce0", b"we1", b"ce1"), Quit("The cluster stops."))
    assert ending.deadline() == 10.0 + ASKED_FOR
    registry.remove("e0")
    assert ending.look(10.1) == []
    registry.remove("e1")
    assert ending.look(10.1) == [], "the launcher is still there"
    jobs.clear()
    assert ending.look(10.2) == [Sweep(()), End()]
    assert ending.deadline() is None


def test_nobody_there():
    ending = Ending(Registry("here"), {})
    assert ending.begin(0.0)[1:] == [Sweep(()), End()]


def test_the_whole_ladder():
    _, _, ending = cluster()
    ending.begin(0.0)
    assert ending.look(ASKED_FOR - 0.01) == []
    processes = ((100, 0), (101, 1))
    term = ending.look(ASKED_FOR)
    assert term[:2] == [KillJobs(signal.SIGTERM), Kill(processes, signal.SIGTERM)]
    kill = ending.look(ASKED_FOR + TOLD_FOR)
    assert kill[:2] == [Kill(processes, signal.SIGKILL), KillJobs(signal.SIGKILL)]
    assert isinstance(term[2], Say)
    assert isinstance(kill[2], Say)
    end = ending.look(ASKED_FOR + TOLD_FOR + KILLED_FOR)
    assert end == [Sweep(("seg0", "seg1")), End()]
    assert ending.look(1000.0) == []
    assert ending.step is Step.SWEPT


def test_a_step_is_left_as_soon_as_nobody_is_left():
    registry, jobs, ending = cluster()
    ending.begin(0.0)
    ending.look(ASKED_FOR)
    for uuid in ("e0", "e1"):
        ending.remember(registry.remove(uuid).segments)
    jobs.clear()
    assert ending.look(ASKED_FOR + 0.1) == [Sweep(("seg0", "seg1")), End()]


def test_to_begin_twice_does_nothing():
    _, _, ending = cluster()
    ending.begin(0.0)
    assert ending.begin(1.0) == []
    assert ending.deadline() == ASKED_FOR


def test_processes_of_other_hosts_get_no_signals():
    _, _, ending = cluster(boot="there")
    ending.begin(0.0)
    assert Kill((), signal.SIGTERM) in ending.look(ASKED_FOR)
