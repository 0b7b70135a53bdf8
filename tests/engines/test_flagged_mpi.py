"""A rank that was flagged, and of which its hub was never heard again."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import zmq

from steer.core.freeing import Mark, Testimony
from steer.testing.waiting import wait_until
from steer.wire.frames import pack, unpack
from steer.wire.messages import Glance, Glanced, Quit, Result, Submit

from .fakehub import FakeHub, start_engine

pytestmark = [pytest.mark.mpi, pytest.mark.either_mpi]

HANGS = """
import os, threading
from mpi4py import MPI
from steer.engines import eyes
eyes.LASTS = {lasts}
comm = MPI.COMM_SELF

def end():
    with open({door!r}) as door:
        door.read()
    comm.send("by itself", 0, tag=5)

open({door!r} + ".there", "w").close()
threading.Thread(target=end, name="steer-test").start()
got = comm.recv(source=0, tag=5)
"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    # A world of one needs no file in /dev/shm.
    monkeypatch.setenv("OMPI_MCA_pml", "ob1")
    monkeypatch.setenv("OMPI_MCA_btl", "self,tcp")
    made = FakeHub(tmp_path)
    engine = start_engine(made)
    try:
        made.enrol()
        yield made
    finally:
        try:
            # MPI cleans up behind itself, if it may.
            with suppress(zmq.ZMQError):  # the first was enough, it is gone
                for role in ("work", "control"):
                    made.say(Quit("It is over."), role=role)
            engine.wait(30)
        finally:
            engine.kill()
            engine.wait()
            made.close()


def asking(hub: FakeHub) -> Any:
    numbers = itertools.count(1)

    def ask(what: str, body: bytes, form: Any) -> Any:
        number = next(numbers)
        hub.say(Glance(number, what, body))
        said, _ = hub.wait(Glanced, lambda m: m.number == number)
        return unpack(said.body, type=form)

    return ask


def flagged(hub: FakeHub, door: Path, lasts: float) -> Any:
    """A rank that waits in MPI, and has an interrupt pending; what asks it."""
    os.mkfifo(door)
    code = HANGS.format(door=str(door), lasts=lasts)
    hub.say(Submit("a-1", "execute", "0", silent=False), (code.encode(),), "work")
    wait_until(lambda: Path(f"{door}.there").exists(), 30, "MPI")
    ask = asking(hub)
    seen: list[Testimony] = []

    def waits() -> bool:
        seen.append(ask("recipe", b"", Testimony))
        return seen[-1].mark.call is not None

    wait_until(waits, 30, "the call")
    assert ask("find", pack(("old-1.1", {})), str) == ""
    assert ask("flag", pack(("old-1.1", {0: Mark()})), str) != ""
    assert ask("flag", pack(("old-1.1", {0: seen[-1].mark})), str) == ""
    return ask


def test_it_is_taken_back_when_its_hub_is_gone(hub: FakeHub, tmp_path: Path) -> None:
    door = tmp_path / "door"
    ask = flagged(hub, door, 0.3)
    wait_until(lambda: not ask("recipe", b"", Testimony).pending, 20, "the end of it")
    with open(door, "w") as opened:
        opened.write("x")
    result, _ = hub.wait(Result)
    assert result.status == "ok"


def test_it_is_raised_though_the_call_ends_by_itself(
    hub: FakeHub, tmp_path: Path
) -> None:
    door = tmp_path / "door"
    ask = flagged(hub, door, 60.0)
    assert ask("recipe", b"", Testimony).pending == "old-1.1"
    with open(door, "w") as opened:
        opened.write("x")
    result, _ = hub.wait(Result)
    assert result.status == "error"
    assert ask("recipe", b"", Testimony).raised == "old-1.1"
