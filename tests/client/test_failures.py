"""Errors of many ranks: each kind once, and who may wait."""

from __future__ import annotations

from steer.client.failures import Failures, who_waits
from steer.errors import EngineError, RemoteError, TaskAborted


def error(rank: int, name: str, text: str, line: int = 1) -> RemoteError:
    where = f'  File "a.py", line {line}, in f'
    traceback = f"Traceback:\n{where}\n    code()\n{name}: {text}"
    return RemoteError(name, text, traceback, {"engine_id": rank, "method": "execute"})


def failures(*errors: RemoteError, total: int = 8) -> Failures:
    made = Failures(total)
    for one in errors:
        made.add(one.engine_info["engine_id"], one)
    return made


def test_equal_errors_are_shown_once() -> None:
    every = failures(*(error(rank, "ValueError", "bad") for rank in (3, 5, 6)))
    assert every.lines() == [
        "ValueError ranks [3,5-6] (3 of 8) a.py:1 in f",
        "Traceback:",
        '  File "a.py", line 1, in f',
        "    code()",
        "ValueError: bad",
    ]


def test_other_lines_of_code_are_another_kind() -> None:
    lines = failures(error(1, "E", "x", 1), error(2, "E", "x", 2)).lines()
    assert "E rank [1] (1 of 8) a.py:1 in f" in lines
    assert "E rank [2] (1 of 8) a.py:2 in f" in lines


def test_numbers_in_messages_do_not_make_kinds() -> None:
    lines = failures(
        *(error(r, "KeyError", f"cell {r * 10}") for r in range(4))
    ).lines()
    assert lines.count("Traceback:") == 1
    assert lines[0] == "KeyError ranks [0-3] (4 of 8) a.py:1 in f"
    assert lines[1].startswith("    cell ")
    assert "KeyError: cell 0" in lines  # the traceback is that of the lowest rank


def test_only_some_kinds_have_their_tracebacks() -> None:
    lines = failures(*(error(r, f"Error{r}", "x") for r in range(6))).lines()
    assert lines.count("Traceback:") == 4
    assert lines[-1] == "Error5 rank [5] (1 of 8) a.py:1 in f: x"


def test_a_kind_that_was_told_is_not_told_again() -> None:
    every = failures(error(3, "E", "x"))
    assert len(every.news()) == 5
    assert every.news() == []
    every.add(5, error(5, "E", "x"))
    every.add(6, error(6, "Other", "y"))
    assert every.news() == [
        "E rank [5] (1 of 8) a.py:1 in f, as rank 3",
        "Other rank [6] (1 of 8) a.py:1 in f",
        "Traceback:",
        '  File "a.py", line 1, in f',
        "    code()",
        "Other: y",
    ]


def test_a_death_is_one_line() -> None:
    death = EngineError("Rank 2 was killed.", engine_info={"engine_id": 2})
    assert failures(death).lines() == [
        "EngineError rank [2] (1 of 8): Rank 2 was killed."
    ]


def test_what_was_aborted_is_no_error_of_its_own() -> None:
    made = Failures(2)
    made.add(0, TaskAborted("not run"))
    assert len(made) == 0
    assert made.news() == []


def test_who_waits() -> None:
    assert who_waits([], [1]) == ""
    assert who_waits([0, 1, 2], [3]) == ("0-2 still run: they may wait for rank 3")
    assert who_waits([4], [1, 2]) == "4 still runs: it may wait for ranks 1-2"
