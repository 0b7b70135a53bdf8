"""The journal of a run: what was done to it, at which point, by whom, and when.

    point  when      who         what
      413  14:52:07  ann@login1  stop
           14:52:10  ann@login1  u *= 0.5
      423  14:52:31  bob@login2  set dt=0.01

The hub writes it, a line of JSON for each deed (`steer/hub/steerlog.py`); it is read
from the hub, or, also when the run is long over, from its file. `replaying` repeats it.
"""

from __future__ import annotations

import base64
import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steer.config import ClusterFiles, ipython_dir
from steer.errors import UsageError
from steer.ranks import RankSet, describe

FORMAT = 1
WIDEST = 100
"""Characters of a deed that are shown."""
LONGEST_NAME = 24
"""Characters of who did it: a condition that was met may be long."""

OURS = ("snapshot", "rewind", "drop")
"""Calls that are verbs of a run."""
CELLS = ("execute", "apply", "push", "clear")
PLANS = ("set", "code", "call", "watch", "end")


@dataclass(frozen=True)
class Deed:
    """One thing that was done."""

    verb: str
    at: float = 0.0
    """Seconds since 1970."""
    who: str = ""
    points: dict[str, int] = field(default_factory=dict)
    """Where, by label of the points; empty if the ranks were not at one point."""
    ranks: str = ""
    text: str = ""
    plan: int = 0
    every: int = 0
    ends: int = 0
    """The plan that is over from there on."""
    body: bytes = b""
    id: str = ""
    frames: tuple[bytes, ...] = ()
    large: bool = False
    """What was sent was too large to be kept."""
    early: bool = False
    """The program had not begun: it waited for somebody."""
    statuses: dict[str, str] = field(default_factory=dict)
    """How it ended, where not well."""

    @property
    def point(self) -> int:
        """Where; 0 if that is not known."""
        return max(self.points.values(), default=0)

    @property
    def what(self) -> str:
        """In words."""
        lines = self.text.strip().splitlines() or [""]
        text = lines[0] if len(lines) == 1 else f"{lines[0]} ..."
        match self.verb:
            case "code" | "call":
                said = f"every {self.every} {text}" if self.every else f"at {text}"
            case "end" | "execute":
                said = text
            case "apply" if text.partition(" ")[0] in OURS:
                said = text
            case "watch":
                said = f"watch {text}"
            case _:
                said = f"{self.verb} {text}".strip()
        return "  ".join([_short(said, WIDEST), *self._troubles()])

    def _troubles(self) -> list[str]:
        words = {"error": "failed", "aborted": "was not run"}
        return [
            f"({words.get(status, status)} on {describe(RankSet.parse(ranks))})"
            for ranks, status in self.statuses.items()
        ]


class Journal:
    """The deeds of a run; shows the last of them."""

    def __init__(
        self, head: dict[str, Any], deeds: Sequence[Deed], path: str = ""
    ) -> None:
        self.head = head
        self.deeds = list(deeds)
        self.path = path
        """Where it was read from."""

    @property
    def run(self) -> str:
        """The run's name."""
        return str(self.head.get("run", ""))

    @property
    def ranks(self) -> int:
        """How many it had."""
        return int(self.head.get("ranks", 0))

    @property
    def replay_of(self) -> str:
        """The journal that was replayed on it; empty if none was."""
        return str(self.head.get("replay_of", ""))

    def last(self, n: int) -> Journal:
        """The same with no more than the last n deeds."""
        return Journal(self.head, self.deeds[-n:] if n else [], self.path)

    def __len__(self) -> int:
        return len(self.deeds)

    def __repr__(self) -> str:
        return "\n".join(self.lines()) if self.deeds else "Nothing was done yet."

    def lines(self) -> list[str]:
        """A table. What is the same as above is left out."""
        rows = [("point", "when", "who", "what")]
        before = Deed("")
        for deed in self.deeds:
            point = ", ".join(
                f"{label} {at}" if len(deed.points) > 1 else str(at)
                for label, at in deed.points.items()
            )
            same = deed.points == before.points
            when, who = _clock(deed, before), _short(deed.who, LONGEST_NAME)
            rows.append(("" if same else point or "?", when, who, deed.what))
            before = deed
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        a, b, c = widths
        return [
            f"{point:>{a}}  {when:{b}}  {who:{c}}  {what}".rstrip()
            for point, when, who, what in rows
        ]


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _clock(deed: Deed, before: Deed) -> str:
    """The time; with the day, where it is another one."""
    now, then = time.localtime(deed.at), time.localtime(before.at)
    new_day = now[:3] != then[:3] and before.at
    return time.strftime("%Y-%m-%d %H:%M:%S" if new_day else "%H:%M:%S", now)


def parse(content: bytes, path: str = "") -> Journal:
    """Read what the hub has written; UsageError says what is wrong with it."""
    where = path or "The journal"
    head: dict[str, Any] = {}
    entries: list[dict[str, Any]] = []
    ends: dict[str, dict[str, str]] = {}
    for number, line in enumerate(content.splitlines(), 1):
        try:
            entry = json.loads(line)
            if number == 1:
                head = entry
                _check(head, where)
            elif entry["verb"] == "ended":
                ends[entry["id"]] = entry["statuses"]
            else:
                entries.append(entry)
        except (ValueError, KeyError, TypeError) as error:
            if number > 1 and number == content.count(b"\n") + 1:
                break  # its hub was killed while it wrote this
            raise UsageError(
                f"{where}, line {number}: {line[:60]!r} is no deed ({error!r})."
            ) from None
    deeds = [_deed(entry, ends.get(entry.get("id", ""), {})) for entry in entries]
    return Journal(head, deeds, path)


def _check(head: Any, where: str) -> None:
    if not isinstance(head, dict) or "format" not in head:
        raise UsageError(f"{where} is no journal of a run.")
    if head["format"] != FORMAT:
        raise UsageError(
            f"{where} was written by another version of Steer (its format is "
            f"{head['format']}, not {FORMAT})."
        )


def _deed(entry: dict[str, Any], statuses: dict[str, str]) -> Deed:
    known = {k: v for k, v in entry.items() if k in Deed.__dataclass_fields__}
    known["body"] = base64.b64decode(entry.get("body", ""))
    known["frames"] = tuple(map(base64.b64decode, entry.get("frames", ())))
    return Deed(**known | {"statuses": statuses})


# -- files


def find(name: str, profile: str = "") -> Path:
    """The journal of a run by its name, the latest, or by its file.

    A name means what somebody has done, and a replay's own journal only if there is no
    other: a replay that did not come to its end has repeated a part of the deeds.
    """
    path = Path(name)
    if path.suffix == ".jsonl" and path.exists():
        return path
    if "/" not in name:
        paths = list_files(profile or None)[::-1]
        of_run = [path for path in paths if run_of(path) == name]
        first = next(
            itertools.chain(
                (path for path in paths if name in (path.name, path.stem)),
                (path for path in of_run if not is_of_replay(path)),
                of_run,
            ),
            None,
        )
        if first is not None:
            return first
    raise UsageError(
        f"There is no journal of {name}: no such file, and no run of that name was "
        "steered. `steer journal` lists those that there are."
    )


def list_files(profile: str | None = None) -> list[Path]:
    """The journals of a profile, or of all, oldest first."""
    if profile is None:
        folders = sorted(ipython_dir().glob("profile_*/steer-journals"))
    else:
        folders = [ClusterFiles(profile).deeds]
    paths = [path for folder in folders for path in folder.glob("*.jsonl")]
    return sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path.name))


def run_of(path: Path) -> str:
    """The name of the run: the file's without the time."""
    return path.stem.rpartition(".")[0]


def is_of_replay(path: Path) -> bool:
    """Whether it says what a replay did."""
    try:
        with path.open("rb") as file:
            head = json.loads(file.readline())
    except (OSError, ValueError):
        return False
    return isinstance(head, dict) and bool(head.get("replay_of"))


def read(path: Path) -> Journal:
    """Read a file."""
    try:
        return parse(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
