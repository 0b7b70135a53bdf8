"""`steer journal` and `steer replay`, as far as no ranks are needed."""

from __future__ import annotations

import json

import pytest

from steer.cli import main

HEAD = {"format": 1, "run": "sim", "ranks": 4, "script": "sim.py", "arguments": ["-n"]}
DEEDS = [
    {"at": 1.0, "verb": "stop", "points": {"step": 413}, "who": "ann@x"},
    {"at": 2.0, "verb": "execute", "text": "u *= 2", "ranks": "0", "who": "ann@x"},
]


@pytest.fixture
def journal(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    folder = tmp_path / "profile_default" / "steer-journals"
    folder.mkdir(parents=True)
    path = folder / "sim.20261121-120000.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in [HEAD, *DEEDS]))
    return path


def test_a_journal_is_shown_by_its_run_or_its_file(journal, capsys):
    for name in ("sim", str(journal)):
        assert main(["journal", name]) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"sim: sim.py -n, 4 ranks\n{journal}\n")
        assert "413" in out
        assert "u *= 2" in out


def test_only_the_last_deeds(journal, capsys):
    assert main(["journal", "-n", "1", "sim"]) == 0
    out = capsys.readouterr().out
    assert "413" not in out
    assert "u *= 2" in out


def test_for_programs_it_is_as_it_was_written(journal, capsys):
    assert main(["journal", "sim", "-o", "json"]) == 0
    assert capsys.readouterr().out == journal.read_text()


def test_the_journals_that_there_are(journal, capsys):
    assert main(["journal"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.split() == [
        "sim.20261121-120000", "2", "deeds", "sim:", "sim.py", "-n,", "4", "ranks"
    ]  # fmt: skip
    assert main(["journal", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [str(journal)]
    journal.unlink()
    assert main(["journal"]) == 0
    assert "no journals" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["journal", "other"], "There is no journal of other"),
        (["replay", "other", "sim.py"], "There is no journal of other"),
        (["replay", "sim", "sim.py"], "not all of its ranks were at one point"),
        (["replay", __file__, "sim.py"], "There is no journal of"),
    ],
)
def test_mistakes_are_said_before_anything_is_started(journal, capsys, words, says):
    assert main(words) == 1
    error = capsys.readouterr().err
    assert says in error
    assert error.startswith("steer: ")


def test_the_journal_of_a_replay_is_told_by_its_headline(journal, capsys):
    head = HEAD | {"replay_of": "sim.20261121-120000"}
    (journal.parent / "sim.20261121-130000.jsonl").write_text(json.dumps(head) + "\n")
    assert main(["journal"]) == 0
    assert "4 ranks, a replay of sim.20261121-120000\n" in capsys.readouterr().out


def test_it_is_said_which_journal_is_replayed(journal, capsys):
    journal.write_text(json.dumps(HEAD) + "\n")
    assert main(["replay", "sim", "sim.py"]) == 1  # there is no such program
    assert f"steer: repeating 0 deeds of {journal}.\n" in capsys.readouterr().err


def test_a_replay_needs_a_program(journal, capsys):
    journal.write_text(json.dumps(HEAD) + "\n")
    assert main(["replay", "sim"]) == 1
    assert "sim.py" in capsys.readouterr().err
