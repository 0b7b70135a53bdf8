"""What a cell gives back, and how it is replayed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from steer.client.client import Client
from steer.client.replies import ExecuteReply, collapse

from .acting import ActingLink, acting

Acting = tuple[Client, ActingLink]


@pytest.fixture
def two() -> Iterator[Acting]:
    with acting(2) as pair:
        yield pair


CELL = "print('from', rank)\nshow({'text/plain': '<plot>'}, {}, {}, False)\nrank + 5"


@pytest.mark.parametrize(
    ("groupby", "expected"),
    [
        (
            "type",
            "[stdout:0]\nfrom 0\n[stdout:1]\nfrom 1\n[output:0]\n<plot>\n"
            "[output:1]\n<plot>\nOut[0:1]: 5\nOut[1:1]: 6\n",
        ),
        (
            "engine",
            "[stdout:0]\nfrom 0\n[output:0]\n<plot>\nOut[0:1]: 5\n"
            "[stdout:1]\nfrom 1\n[output:1]\n<plot>\nOut[1:1]: 6\n",
        ),
        (
            "order",
            "[stdout:0]\nfrom 0\n[output:0]\n<plot>\n[stdout:1]\nfrom 1\n"
            "[output:1]\n<plot>\nOut[0:1]: 5\nOut[1:1]: 6\n",
        ),
    ],
)
def test_replay(
    two: Acting, capsys: pytest.CaptureFixture[str], groupby: str, expected: str
) -> None:
    result = two[0][:].execute(CELL, silent=False)
    result.display_outputs(groupby)
    assert capsys.readouterr().out == expected


def test_replay_of_results_only_and_of_one_engine(
    two: Acting, capsys: pytest.CaptureFixture[str]
) -> None:
    rc, _ = two
    rc[:].execute(CELL, silent=False).display_outputs("type", True)
    assert capsys.readouterr().out == "Out[0:1]: 5\nOut[1:1]: 6\n"
    rc[0].execute(CELL, silent=False).display_outputs()
    assert capsys.readouterr().out == "from 0\n<plot>\nOut[0:2]: 5\n"
    with pytest.raises(ValueError, match="groupby must be one of"):
        rc[0].execute("1").display_outputs("colour")


@pytest.mark.parametrize(
    ("printed", "seen"),
    [
        ("a\rb\n", "b\n"),
        ("1%\r2%\r3%\n", "3%\n"),
        ("a\r\nb", "a\nb"),
        ("a\r", "a\r"),
        ("x\nold\rnew", "x\nnew"),
    ],
)
def test_a_carriage_return_writes_the_line_anew(printed: str, seen: str) -> None:
    assert collapse(printed) == seen


def test_an_execute_reply(two: Acting) -> None:
    reply = two[0][1].execute("'x' * 40", silent=False).get(5)
    assert isinstance(reply, ExecuteReply)
    assert repr(reply) == f"<ExecuteReply[1]: '{'x' * 28}...>"
    assert reply.engine_id == reply["engine_id"] == 1
    assert reply.metadata["status"] == "ok"
    assert reply._repr_html_() is None
    with pytest.raises(AttributeError):
        _ = reply.nonsense
    rich = ExecuteReply(1, 2, {"data": {"text/plain": "a\nb", "image/png": "AAEC"}}, {})
    assert rich._repr_png_() == b"\0\1\2"
    assert rich._repr_mimebundle_()[0]["text/plain"] == "Out[1:2]: \na\nb"
