"""The journal of steering: what was done to a run, one line of JSON each.

It is a file of its own, `<profile>/steer-journals/<run>.<time>.jsonl`, made when the
first thing is done: a run's other files go when the run does, and this is what its user
wants to keep, read, hand on and replay. A line is added by the journal's thread, so
that the hub never waits for a disk. What a hub that was killed has written, its
successor goes on with.

The first line says what was run:

    {"format": 1, "run": "sim", "ranks": 4, "script": "/home/ann/sim.py", "arguments":
     ["--n", "100"], "began": 1795273501.2}

(that of a replay has "replay_of" besides, the journal that is repeated,)

and each of the others what was done, `steer/client/journalfile.py` says how to read it:

    {"at": 1795273527.1, "who": "ann@login1", "verb": "set", "points": {"step": 413},
     "ranks": "0-3", "text": "dt=0.01", "plan": 5, "body": "kZGC..."}
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from steer import shm
from steer.config import ClusterFiles
from steer.core.cellnotes import NoteCell, NoteEnd
from steer.core.programs import Program
from steer.core.roundevents import Note
from steer.hub.journal import Failed, Journal
from steer.ranks import RankSet

FORMAT = 1
MOST = 200
"""Files that are kept of a profile."""
LARGEST = 16 << 20
"""Bytes of a request that are kept."""


class SteerLog:
    """The journals of the runs of one hub."""

    def __init__(
        self,
        folder: Path,
        journal: Journal,
        program: Callable[[str], Program | None],
    ) -> None:
        self._folder = ClusterFiles(
            cluster_id=folder.name, profile_folder=folder.parent.parent
        ).deeds
        self._mark = folder / "steer-journal"
        """Here is written down where the journal of the run is, for the next hub."""
        self._journal = journal
        self._program = program
        self._paths: dict[str, Path] = {}

    # -- writing

    def note(self, note: Note) -> None:
        """A stop, a step, a plan."""
        run, _, label = note.family.partition("/")
        entry = {
            "verb": note.verb, "points": {label: note.point},
            "ranks": self._ranks(run, note.ranks), "text": note.text, "who": note.who,
            "plan": note.plan, "every": note.every, "ends": note.ends,
            "body": base64.b64encode(note.body).decode(),
        }  # fmt: skip
        self._write(run, entry)

    def note_cell(self, note: NoteCell) -> None:
        """Something that ran where the run was stopped."""
        frames = list(note.frames)
        if note.store is not None:
            frames = shm.take(note.store, frames)
        large = sum(map(shm.length, frames)) > LARGEST
        entry = {
            "verb": note.kind,
            "points": {f.partition("/")[2]: at for f, at in note.places.items()},
            "ranks": self._ranks(note.run, note.ranks), "text": note.text,
            "who": note.who, "id": note.id, "large": large, "early": note.early,
        }  # fmt: skip
        if note.kind != "execute" and not large:
            entry["frames"] = [base64.b64encode(frame).decode() for frame in frames]
        self._write(note.run, entry)

    def note_end(self, note: NoteEnd) -> None:
        """How that ended."""
        program = self._program(note.run)
        first = program.first if program is not None else 0
        statuses = {
            str(RankSet(rank - first for rank in RankSet.parse(ranks))): status
            for ranks, status in note.statuses.items()
        }
        self._write(note.run, {"verb": "ended", "id": note.id, "statuses": statuses})

    def _ranks(self, run: str, engines: RankSet) -> str:
        """As the program numbers them."""
        program = self._program(run)
        first = program.first if program is not None else 0
        return str(RankSet(engine - first for engine in engines))

    def _write(self, run: str, entry: dict[str, Any]) -> None:
        short = {key: what for key, what in entry.items() if what not in ("", 0)}
        line = json.dumps({"at": time.time(), **short}).encode() + b"\n"
        head = self._head(run)
        self._journal.soon(lambda: self._append(run, head, line))

    def _head(self, run: str) -> bytes:
        program = self._program(run)
        head = {"format": FORMAT, "run": run}
        if program is not None:
            head |= {
                "ranks": len(program.ranks), "script": program.script,
                "arguments": list(program.arguments), "began": program.began,
            }  # fmt: skip
            if program.replay_of:
                head["replay_of"] = program.replay_of
        return json.dumps(head).encode() + b"\n"

    def read(self, run: str, found: Callable[[bytes], object], failed: Failed) -> None:
        """What the journal of a run holds; calls back in the journal's thread."""

        def read() -> None:
            path = self._known(run)
            try:
                content = path.read_bytes() if path is not None else b""
            except OSError as error:
                failed(error)
            else:
                found(content)

        self._journal.soon(read)

    # -- in the journal's thread

    def _append(self, run: str, head: bytes, line: bytes) -> None:
        """Only its owner may read it, or write: it is replayed."""
        path = self._known(run)
        if path is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _drop_oldest(sorted(self._folder.glob("*.jsonl"), key=_age))
            path, line = self._new(run), head + line
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "ab") as file:
            file.write(line)

    def _known(self, run: str) -> Path | None:
        """The journal of this run, if one was begun, perhaps by an earlier hub."""
        if run not in self._paths:
            with contextlib.suppress(OSError):
                path = Path(self._mark.read_text())
                if path.name.startswith(f"{run}.") and path.exists():
                    self._paths[run] = path
        return self._paths.get(run)

    def _new(self, run: str) -> Path:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        names = (f"{run}.{stamp}{f'-{n}' if n else ''}.jsonl" for n in range(1000))
        path = next(p for p in map(self._folder.joinpath, names) if not p.exists())
        self._paths[run] = path
        with contextlib.suppress(OSError):
            self._mark.write_text(str(path))
        return path


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _drop_oldest(paths: Sequence[Path]) -> None:
    for path in paths[: max(0, len(paths) - MOST + 1)]:
        path.unlink(missing_ok=True)
