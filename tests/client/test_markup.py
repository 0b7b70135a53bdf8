"""Text with colours: its width, its first part, and HTML of it."""

from __future__ import annotations

import html.parser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steer.client import markup


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("abc", 3),
        ("日本", 4),
        ("e\u0301", 1),
        ("\x1b[31mred\x1b[0m", 3),
        ("\x1b]0;title\x07x", 1),
        ("▕█▏", 3),
        ("", 0),
    ],
)
def test_width(text: str, columns: int) -> None:
    assert markup.cells(text) == columns


def test_a_line_is_cut_where_the_terminal_ends() -> None:
    assert markup.cut("abcdef", 6) == "abcdef"
    assert markup.cut("abcdefg", 6) == "abcde…"
    assert markup.cut("日本語", 5) == "日本…"
    assert markup.cut("日本語", 4) == "日…"
    assert markup.cut("\x1b[31mabcdef", 4) == "\x1b[31mabc…\x1b[0m"
    assert markup.cut("a\tb", 20) == "a       b"
    assert markup.cut("a\x1b[2Jb\x07\x08c", 20) == "abc"


@given(st.text(), st.integers(1, 30))
def test_what_is_cut_fits(text: str, width: int) -> None:
    assert markup.cells(markup.cut(text, width)) <= width


def test_only_colours_are_left() -> None:
    text = "\x1b[1;31mred\x1b[0m\x1b[2J\x1b[3A\x1b]8;;http://x\x1b\\link\x08"
    assert markup.coloured(text) == "\x1b[1;31mred\x1b[0mlink"
    assert markup.plain(text) == "redlink\x08"


def test_markup_in_text_is_not_live() -> None:
    page = markup.to_html("<script>alert('&')</script>\x1b[31m<b>\x1b[0m")
    assert "<script>" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;alert('&amp;')&lt;/script&gt;" in page


@pytest.mark.parametrize(
    ("codes", "style"),
    [
        ("31", "color:#c33c2f"),
        ("91", "color:#e75c58"),
        ("44", "background:#208ffb"),
        ("1", "font-weight:bold"),
        ("38;5;196", "color:rgb(255,0,0)"),
        ("38;5;244", "color:rgb(128,128,128)"),
        ("48;2;1;2;3", "background:rgb(1,2,3)"),
        ("1;4", "font-weight:bold;text-decoration:underline"),
    ],
)
def test_colours_become_styles(codes: str, style: str) -> None:
    assert markup.spans(f"a\x1b[{codes}mb\x1b[0mc") == (
        f'a<span style="{style}">b</span>c'
    )


def test_a_style_ends_alone() -> None:
    text = "\x1b[1;31ma\x1b[22mb\x1b[39mc"
    assert markup.spans(text) == (
        '<span style="font-weight:bold;color:#c33c2f">a</span>'
        '<span style="color:#c33c2f">b</span>c'
    )


class Reader(html.parser.HTMLParser):
    """Collects the tags of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(st.sampled_from("<>&\"'ab;m[\x1b0123\x00\x07é日\n")))
def test_whatever_is_printed_gives_a_page_of_its_text(text: str) -> None:
    reader = Reader()
    reader.feed(markup.to_html(text))
    reader.close()
    assert set(reader.tags) <= {"pre", "span"}
    wanted = markup._CONTROL.sub("", markup.plain(text))
    assert reader.text == wanted
