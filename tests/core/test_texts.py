"""Carriage returns, and texts that are too long."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from steer.core.texts import clip, collapse


@pytest.mark.parametrize(
    ("printed", "seen"),
    [
        ("a\rb\n", "b\n"),
        ("1%\r2%\r3%\n", "3%\n"),
        ("a\r\nb", "a\nb"),
        ("a\r\r\nb\n", "a\nb\n"),
        ("a\r", "a\r"),
        ("a\r\r", "a\r"),
        ("x\nold\rnew\r", "x\nnew\r"),
    ],
)
def test_a_carriage_return_writes_the_line_anew(printed: str, seen: str):
    assert collapse(printed) == seen


@hypothesis.given(st.text("ab\r\n"), st.text("ab\r\n"))
def test_what_is_collapsed_piece_by_piece_is_the_same(first: str, then: str):
    assert collapse(collapse(first) + then) == collapse(first + then)


def test_a_million_characters_without_a_line_end_take_no_time():
    assert collapse("x" * 1_000_000 + "\n\r") == "x" * 1_000_000 + "\n\r"


def test_a_million_lines_are_their_ends_and_where_the_rest_is():
    text = "".join(f"line {i}\n" for i in range(1_000_000))

    lines = clip(text, 100, 100, rest="result.stdout[3]").splitlines()

    assert len(lines) == 201
    assert lines[:2] == ["line 0", "line 1"]
    assert lines[100] == "… 999,800 lines more: result.stdout[3]"
    assert lines[-1] == "line 999999"


@pytest.mark.parametrize("text", ["", "a", "a\n", "a\nb\nc\n", "a\nb\nc\nd"])
def test_a_short_text_stays(text: str):
    assert clip(text, 2, 1) == text


def test_only_a_head_is_possible():
    assert clip("a\nb\nc\nd\n", 1, 0) == "a\n… 3 lines more\n"
