"""Gather and without_middle, without any thread."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from steer.engines.pieces import Begin, Dropped, Entry, Gather, Piece, without_middle

texts = st.tuples(st.sampled_from(["stdout", "stderr"]), st.text("ab", min_size=1))


def gathered(entries: list[Entry]) -> list[Piece]:
    gather = Gather("first", 100)
    for entry in entries:
        gather.add(entry)
    return gather.pieces()


def amount(entries: list[Entry]) -> int:
    return sum(len(e[1]) for e in entries if isinstance(e, tuple))


def test_neighbours_of_one_stream_and_request_become_one():
    entries = [("stdout", "a"), ("stdout", "b"), ("stderr", "c"), ("stdout", "d")]
    assert gathered([*entries, Begin("second"), ("stdout", "e")]) == [
        Piece("first", "stdout", "ab"),
        Piece("first", "stderr", "c"),
        Piece("first", "stdout", "d"),
        Piece("second", "stdout", "e"),
    ]


@given(st.lists(texts))
def test_gathering_keeps_every_character_in_order(entries):
    pieces = gathered(entries)
    whole = "".join(text for _, text in entries)
    assert "".join(piece.text for piece in pieces) == whole
    assert all(a.name != b.name for a, b in itertools.pairwise(pieces))


@given(st.lists(texts | st.builds(Begin, st.text())), st.integers(4, 60))
def test_the_middle_goes_and_everything_is_counted(entries, limit):
    kept = without_middle(entries, limit)
    lost = sum(entry.size for entry in kept if isinstance(entry, Dropped))
    assert amount(kept) <= limit
    assert amount(kept) + lost == amount(entries)
    begins = [entry for entry in entries if isinstance(entry, Begin)]
    assert [entry for entry in kept if isinstance(entry, Begin)] == begins
    first = next((e for e in entries if isinstance(e, tuple)), None)
    if first is not None and first in kept:
        assert kept.index(first) <= len(begins)


@given(st.lists(texts, min_size=1), st.lists(texts), st.integers(4, 40))
def test_dropping_twice_counts_on(early, late, limit):
    kept = without_middle([*without_middle(early, limit), *late], limit)
    dropped = [entry for entry in kept if isinstance(entry, Dropped)]
    assert len(dropped) == 1
    assert amount(kept) + dropped[0].size == amount(early) + amount(late)
