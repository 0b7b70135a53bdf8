"""The journal of steering is written as it is read."""

from __future__ import annotations

import os
import threading
from types import SimpleNamespace

import pytest

from steer import shm
from steer.client.journalfile import parse
from steer.core.cellnotes import NoteCell, NoteEnd
from steer.core.roundevents import Note
from steer.hub import steerlog
from steer.hub.journal import Journal
from steer.hub.steerlog import SteerLog
from steer.ranks import RankSet

SECONDS = 20.0
ALL = RankSet(range(8, 12))


class Hub:
    """A hub whose run has the engines 8 to 11."""

    def __init__(self, folder, replay_of=""):
        folder.mkdir(parents=True, exist_ok=True)
        self.errors = []
        self.journal = Journal(
            folder / "journal.sqlite", on_error=lambda e: self.errors.append(str(e))
        )
        program = SimpleNamespace(
            ranks=ALL,
            first=8,
            script="/home/ann/sim.py",
            arguments=("-n", "3"),
            began=1.5,
            replay_of=replay_of,
        )
        self.log = SteerLog(folder, self.journal, {"sim": program}.get)

    def content(self, run="sim"):
        came, got = threading.Event(), []

        def found(content):
            got.append(content)
            came.set()

        self.log.read(run, found, found)
        assert came.wait(SECONDS)
        assert self.errors == []
        return got[0]

    def read(self):
        return parse(self.content())


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "profile_x" / "steer" / "sim"


@pytest.fixture
def hub(folder):
    hub = Hub(folder)
    yield hub
    assert hub.journal.close(SECONDS)


def files(folder):
    return sorted((folder.parent.parent / "steer-journals").iterdir())


def plan(point=413, **fields):
    about = {"text": "dt=0.01", "who": "ann@x", "body": b"\x00body", "plan": 5} | fields
    return Note("sim/step", "set", point, ALL, **about)


def test_what_was_done_is_read_again(hub):
    hub.log.note(plan(every=10))
    journal = hub.read()
    assert journal.head["script"] == "/home/ann/sim.py"
    assert journal.head["arguments"] == ["-n", "3"]
    assert (journal.run, journal.ranks) == ("sim", 4)
    (deed,) = journal.deeds
    assert (deed.verb, deed.points, deed.ranks) == ("set", {"step": 413}, "0-3")
    assert (deed.text, deed.who, deed.body) == ("dt=0.01", "ann@x", b"\x00body")
    assert (deed.plan, deed.every, deed.ends) == (5, 10, 0)


def test_that_of_a_replay_says_so(hub, folder):
    hub.log.note(plan())
    assert hub.read().replay_of == ""
    other = Hub(folder.parent / "sim-2", replay_of="sim.20261121-120000")
    other.log.note(plan())
    assert other.read().replay_of == "sim.20261121-120000"
    other.journal.close(SECONDS)


def test_cells_and_how_they_ended(hub):
    places = {"sim/step": 413}
    frames = [b"pickle", b"\xffbuffer"]
    hub.log.note_cell(
        NoteCell("sim", places, ALL, "c-1", "execute", "u = 1", "a", [b""])
    )
    hub.log.note_cell(NoteCell("sim", places, ALL, "c-2", "apply", "f", "a", frames))
    hub.log.note_end(NoteEnd("sim", "c-1", {"9": "error"}))
    first, second = hub.read().deeds
    assert (first.verb, first.text, first.frames) == ("execute", "u = 1", ())
    assert first.statuses == {"1": "error"}
    assert (second.verb, second.frames) == ("apply", tuple(frames))
    assert second.statuses == {}


def test_what_lies_in_shared_memory_is_copied(hub):
    shelf = shm.Shelf()
    data = os.urandom(1 << 20)
    store, rest = shelf.put([b"pickle", data])
    assert store is not None
    hub.log.note_cell(NoteCell("sim", {}, ALL, "c-1", "push", "", "a", rest, store))
    shelf.drop(store)
    (deed,) = hub.read().deeds
    assert deed.frames == (b"pickle", data)


def test_what_is_too_large_is_said_to_be(hub, monkeypatch):
    monkeypatch.setattr(steerlog, "LARGEST", 10)
    hub.log.note_cell(NoteCell("sim", {}, ALL, "c-1", "push", "", "a", [b"x" * 11]))
    (deed,) = hub.read().deeds
    assert deed.large
    assert deed.frames == ()


def test_only_its_owner_may_read_or_write_it(hub, folder):
    assert hub.content() == b""
    hub.log.note(plan())
    hub.content()
    (path,) = files(folder)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_another_hub_goes_on_with_it(hub, folder):
    hub.log.note(plan(1))
    assert hub.journal.close(SECONDS)
    second = Hub(folder)
    assert [deed.point for deed in second.read().deeds] == [1]
    second.log.note(plan(2))
    assert [deed.point for deed in second.read().deeds] == [1, 2]
    assert len(files(folder)) == 1
    second.journal.close(SECONDS)


def test_another_run_of_the_name_has_its_own(hub, folder):
    hub.log.note(plan(1))
    assert hub.journal.close(SECONDS)
    (folder / "steer-journal").unlink()  # the cluster's files went with it
    second = Hub(folder)
    second.log.note(plan(2))
    assert [deed.point for deed in second.read().deeds] == [2]
    assert len(files(folder)) == 2
    second.journal.close(SECONDS)


def test_the_oldest_are_dropped(hub, folder, monkeypatch):
    monkeypatch.setattr(steerlog, "MOST", 3)
    where = folder.parent.parent / "steer-journals"
    where.mkdir()
    for number in range(5):
        path = where / f"old.{number}.jsonl"
        path.touch()
        os.utime(path, (number, number))
    hub.log.note(plan())
    hub.content()
    names = [path.name.partition(".")[0] for path in files(folder)]
    assert names == ["old", "old", "sim"]


def test_a_disk_that_cannot_be_written_does_not_end_the_hub(hub, folder):
    (folder.parent.parent / "steer-journals").write_text("a file")
    hub.log.note(plan())
    assert hub.journal.flush(SECONDS)
    assert len(hub.errors) == 1
