"""Stacks with frames of native code, as they come from py-spy, one by one."""

from __future__ import annotations

import msgspec
import pytest

from steer.core.nativestacks import Spied, Spy, read_pyspy
from steer.core.rankstates import Look, Spot
from steer.core.sightings import NATIVE_WITHIN, Report
from steer.wire import messages as wire

from .hubs import Hub, sent
from .test_sight import say, snapshot, tick


def frame(name, file, line):
    return {"name": name, "filename": file, "line": line, "module": None}


PYSPY = [
    {"os_thread_id": 9, "frames": [frame("poll", "/lib/libc.so.6", 0)]},
    {
        "os_thread_id": 7,
        "frames": [
            frame("sched_yield", "/lib/libc.so.6", 0),
            frame("0x7fb03190ef7a", "/lib/libffi.so.8", 0),
            frame("PMPI_Recv_c", "/venv/lib/libmpi.so.12", 0),
            frame("Recv", "/venv/MPI.cpython-311-x86_64-linux-gnu.so", 0),
            frame("halo", "/home/ann/solver.py", 61),
            frame("<module>", "solver", 70),
            frame("run", "/venv/steer/engines/shell.py", 90),
            frame("builtin_exec", "/src/Python/bltinmodule.c", 1096),
            frame("main", "/venv/steer/engines/__main__.py", 33),
            frame("_run_code", "<frozen runpy>", 88),
            frame("_start", "/venv/bin/python3.11", 0),
        ],
    },
]
FRAMES = (
    ("solver", 70, "<module>"),
    ("/home/ann/solver.py", 61, "halo"),
    ("/venv/MPI.cpython-311-x86_64-linux-gnu.so", 0, "Recv"),
    ("/venv/lib/libmpi.so.12", 0, "PMPI_Recv_c"),
    ("/lib/libc.so.6", 0, "sched_yield"),
)
TEXT = msgspec.json.encode(PYSPY).decode()


def test_the_users_part_of_mains_stack_is_kept():
    assert read_pyspy(TEXT, 7) == FRAMES


@pytest.mark.parametrize("text", ["", "no JSON", "{}", '[{"frames": 3}]', "[]", TEXT])
def test_what_says_nothing_of_main_is_no_stack(text):
    assert read_pyspy(text, 8) == ()


HERE = (("/home/ann/solver.py", 61, "halo"),)
BUSY = Report("a-1", 1.0, Look(Spot("solver.py", 61)), stacks=((1, HERE),))


@pytest.fixture
def hub():
    hub = Hub()
    hub.join(2)
    hub.hello()
    return hub


def begin(hub, *reports):
    """What is done when all ranks have answered."""
    actions = hub.ask("sight", view="stacks", targets="0-1", native=True)
    ((_, glance),) = sent(actions, wire.Glance)
    for rank, report in enumerate(reports or (BUSY, BUSY)):
        actions = say(hub, rank, glance.number, report)
    return actions


def spy(hub):
    (found,) = [a for a in begin(hub) if isinstance(a, Spy)]
    return found


def texts(pid):
    return msgspec.json.encode([PYSPY[1] | {"os_thread_id": pid}]).decode()


def test_each_comes_in_the_place_of_the_other(hub):
    wanted = spy(hub)
    assert sorted(wanted.pids) == [0, 1]
    told = []
    for engine, pid in wanted.pids.items():
        told += hub.feed(Spied(wanted.number, engine, pid, texts(pid)))
    shown = snapshot(told)
    assert shown.stacks == (("0-1", ((1, FRAMES),)),)
    assert shown.notes == ()


def test_what_cannot_be_had_is_said_once_with_the_stacks_there_are(hub):
    wanted = spy(hub)
    for engine, pid in wanted.pids.items():
        told = hub.feed(Spied(wanted.number, engine, pid, "", "it is not permitted"))
    shown = snapshot(told)
    assert shown.stacks == (("0-1", ((1, HERE),)),)
    assert shown.notes == ("No native frames of ranks 0-1: it is not permitted.",)


def test_nobody_is_waited_for_without_end(hub):
    wanted = spy(hub)
    assert not hub.feed(Spied(wanted.number, 0, wanted.pids[0], texts(wanted.pids[0])))
    shown = snapshot(tick(hub, NATIVE_WITHIN + 0.1))
    assert shown.stacks == (("1", ((1, HERE),)), ("0", ((1, FRAMES),)))
    assert shown.notes == ("No native frames of rank 1: py-spy took too long.",)
    late = Spied(wanted.number, 1, wanted.pids[1], texts(wanted.pids[1]))
    assert not hub.feed(late)


def test_who_runs_nothing_is_not_stopped(hub):
    shown = snapshot(begin(hub, Report(), Report()))
    assert shown.stacks == shown.notes == ()
