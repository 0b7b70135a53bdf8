"""Journals are read as the hub has written them."""

from __future__ import annotations

import base64
import json
import os
import time

import pytest

from steer.client import journalfile
from steer.client.journalfile import parse
from steer.errors import UsageError

HEAD = {"format": 1, "run": "sim", "ranks": 4, "script": "sim.py", "began": 1.0}
NOON = time.mktime((2026, 11, 21, 12, 0, 0, 0, 0, -1))


def written(*entries, head=HEAD):
    lines = [
        head,
        *({"at": NOON + n, "who": "ann@x"} | e for n, e in enumerate(entries)),
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def at(point, **entry):
    return {"points": {"step": point}, "ranks": "0-3"} | entry


def test_a_table_of_what_was_done():
    journal = parse(
        written(
            at(413, verb="stop"),
            at(413, verb="execute", text="u *= 2\nprint(u)", id="c-1"),
            {"verb": "ended", "id": "c-1", "statuses": {"2": "error"}},
            at(423, verb="step 10", who="bob@y"),
            at(423, verb="code", text="render()", every=100),
            at(430, verb="end", text="no more render()"),
            at(500, verb="set", text="dt=0.01"),
        )
    )
    assert str(journal).splitlines() == [
        "point  when      who    what",
        "  413  12:00:00  ann@x  stop",
        "       12:00:01  ann@x  u *= 2 ...  (failed on rank 2)",
        "  423  12:00:03  bob@y  step 10",
        "       12:00:04  ann@x  every 100 render()",
        "  430  12:00:05  ann@x  no more render()",
        "  500  12:00:06  ann@x  set dt=0.01",
    ]
    assert (journal.run, journal.ranks, len(journal)) == ("sim", 4, 6)
    assert [deed.verb for deed in journal.last(2).deeds] == ["end", "set"]


def test_what_was_sent_is_there_again():
    body, frame = b"\x00\xff", b"pickle"
    (plan, cell) = parse(
        written(
            at(3, verb="set", body=base64.b64encode(body).decode(), plan=7, new=1),
            at(3, verb="apply", frames=[base64.b64encode(frame).decode()]),
        )
    ).deeds
    assert (plan.body, plan.plan, plan.point) == (body, 7, 3)
    assert cell.frames == (frame,)


def test_another_day_and_no_place():
    journal = parse(
        written(at(3, verb="stop"), {"verb": "execute", "text": "x", "at": 0})
    )
    last = journal.lines()[-1]
    assert last.split()[0] == "?"
    assert "19" in last.split()[1]  # of another year


def test_nothing_was_done():
    assert repr(parse(b"")) == "Nothing was done yet."
    assert repr(parse(written())) == "Nothing was done yet."


def test_a_line_that_was_being_written_when_the_hub_was_killed_is_left_out():
    content = written(at(3, verb="stop"), at(4, verb="stop"))
    assert len(parse(content[:-9])) == 1


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"{}\n", "no journal"),
        (b"not JSON\n{}\n", "line 1"),
        (written(head={"format": 9}), "another version"),
        (written({"no": "verb"}, at(3, verb="stop")), "line 2"),
    ],
)
def test_what_is_no_journal_is_said(content, what):
    with pytest.raises(UsageError, match=what):
        parse(content, "sim.jsonl")


def test_journals_are_found_by_name_and_by_file(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    folder = tmp_path / "profile_default" / "steer-journals"
    folder.mkdir(parents=True)
    names = ["sim.20261121-120000", "sim.20261121-130000", "sim.v2.20261121-140000"]
    for number, name in enumerate(names):
        path = folder / f"{name}.jsonl"
        path.write_bytes(written(at(number + 1, verb="stop")))
        os.utime(path, (number, number))
    assert journalfile.find("sim").stem == names[1]
    assert journalfile.find("sim.v2").stem == names[2]
    assert journalfile.find(names[0]).stem == names[0]
    assert journalfile.find(str(folder / f"{names[0]}.jsonl")).stem == names[0]
    assert journalfile.read(journalfile.find("sim", "default")).deeds[0].point == 2
    assert [p.stem for p in journalfile.list_files()] == names
    with pytest.raises(UsageError, match="no journal of other"):
        journalfile.find("other")


def test_a_runs_name_does_not_mean_the_journal_of_its_replay(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    folder = tmp_path / "profile_default" / "steer-journals"
    folder.mkdir(parents=True)
    mine, replay, again = (
        folder / f"{name}.jsonl" for name in ("sim.1", "sim.2", "again.3")
    )
    mine.write_bytes(written(at(1, verb="stop")))
    for number, path in enumerate((replay, again)):
        path.write_bytes(written(head=HEAD | {"replay_of": "sim.1"}))
        os.utime(path, (number + 1e10, number + 1e10))
    assert journalfile.find("sim") == mine
    assert journalfile.find("sim.2") == replay
    assert journalfile.find("again") == again  # it means nothing else
    assert journalfile.read(replay).replay_of == "sim.1"


def test_a_file_that_is_gone_is_said_to_be(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        journalfile.read(tmp_path / "gone.jsonl")
