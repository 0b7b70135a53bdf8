"""Errors of many ranks: one of each kind."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from steer.core.folderrors import fold_errors
from steer.engines.tracebacks import format_error
from steer.errors import RemoteError


def divide(rank: int, by: int) -> float:
    if rank == 9:
        raise ValueError(f"no rank {rank}")
    return rank / by


def failed(rank: int, by: int = 0) -> RemoteError:
    try:
        divide(rank, by)
    except Exception as error:  # noqa: BLE001
        report = format_error(error)
        return RemoteError(report.ename, report.evalue, report.traceback)
    raise AssertionError


def test_a_kind_is_told_once_with_its_ranks():
    errors = {rank: failed(rank) for rank in (3, 7)}

    (group,) = fold_errors(errors)

    line = divide.__code__.co_firstlineno + 3
    assert group.title(64) == (
        f"ZeroDivisionError ranks [3,7] (2 of 64) test_folderrors.py:{line} in divide"
    )
    assert group.message == "division by zero"
    assert group.traceback == errors[3].traceback


def test_kinds_are_type_lines_and_message():
    errors = {rank: failed(rank) for rank in range(5)}
    errors[9] = failed(9)
    errors[1] = RemoteError("ZeroDivisionError", "division by zero", "")
    errors[2] = RemoteError("ZeroDivisionError", "another", errors[0].traceback)

    groups = fold_errors(errors)

    assert [str(group.ranks) for group in groups] == ["0,3-4", "1", "2", "9"]
    assert groups[1].title(5) == "ZeroDivisionError rank [1] (1 of 5)"


def test_numbers_of_the_message_become_a_template():
    errors = {r: RemoteError("E", f"rank {r} has {r * r} cells") for r in range(1, 7)}
    (group,) = fold_errors(errors)
    assert group.message == (
        "rank <rank> has <int> cells  min 1 (r1)  med 9  max 36 (r6)  ▁▁▂▄▆█"
    )


def test_nan_in_a_message_is_another_kind():
    errors = {r: RemoteError("E", f"residual {r}.5") for r in range(3)}
    errors[3] = RemoteError("E", "residual nan")
    assert [str(group.ranks) for group in fold_errors(errors)] == ["0-2", "3"]


@dataclass
class Wire:
    ename: str
    evalue: str
    traceback: list[str]


def test_what_came_over_the_wire_will_do():
    lines = ["Traceback …", '  File "/a/b/solver.py", line 88, in rhs', "    x", "E: y"]
    (group,) = fold_errors({0: Wire("E", "y", lines)})
    assert group.where == "solver.py:88 in rhs"


@pytest.mark.parametrize(
    ("frames", "where"),
    [
        (["<module>"], "line 1 of the cell"),
        (["<module>", "rhs"], "line 2 of the cell in rhs"),
    ],
)
def test_a_cell_is_not_named_by_its_digest(frames, where):
    lines = [
        f'  File "<cell 5038efc9b7>", line {number}, in {name}'
        for number, name in enumerate(frames, 1)
    ]
    (group,) = fold_errors({0: Wire("KeyError", "'u'", lines)})
    assert group.where == where
    assert group.traceback == "\n".join(lines)


def test_other_causes_are_other_kinds():
    frame = '  File "a.py", line 1, in f'
    between = "The above exception was the direct cause of the following exception:"
    plain = Wire("E", "y", [frame, frame])
    caused = Wire("E", "y", [frame, between, frame])
    assert len(fold_errors({0: plain, 1: caused})) == 2
