"""A slow disk does not fill the hub's memory."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

from steer.core.events import NoteTasks
from steer.hub import ledger
from steer.hub.ledger import Ledger


class SlowDisk:
    """A journal that has not got round to anything."""

    def __init__(self) -> None:
        self.waiting: list[tuple[list[NoteTasks], Callable[[], object]]] = []

    def put_tasks(self, notes, offset, done) -> None:
        self.waiting.append((notes, done))


def note(keep=False):
    return NoteTasks("a", 1, 0, "e0", [(i,) for i in range(100)], keep)


def test_what_its_client_has_is_left_out_when_the_disk_is_slow(monkeypatch):
    monkeypatch.setattr(ledger, "MOST_UNWRITTEN", 250)
    disk = SlowDisk()
    loop = SimpleNamespace(
        call_later=lambda seconds, job: None, call_soon=lambda job: job()
    )
    books = Ledger(disk, loop)
    for _ in range(10):
        books.note_tasks(note())
        books.flush()
    assert len(disk.waiting) == 3
    books.note_tasks(note(keep=True))
    books.flush()
    assert disk.waiting[-1][0][0].keep
    for _, done in disk.waiting:
        done()
    books.note_tasks(note())
    books.flush()
    assert len(disk.waiting) == 5
