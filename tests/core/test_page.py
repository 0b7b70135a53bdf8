"""The telemetry page: what is written there is read, whatever else is in it."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from steer.core import page
from steer.core.page import Family, Head, Plan, State
from steer.core.roundevents import FREE

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)


def blank():
    return memoryview(bytearray(page.SIZE)).cast("q")


def test_nothing_lies_on_anything_else():
    spans = [(int(word), int(word) + 1) for word in Head if word is not Head.OP]
    spans.append((Head.OP, Head.OP + 7))
    spans += [(first, first + length) for first, length in (t.value for t in page.Text)]
    for number in range(page.FAMILIES):
        base = page.family_base(number)
        single = [w for w in Family if w not in (Family.LABEL, Family.PLANS)]
        spans += [(base + word, base + word + 1) for word in single]
        label = base + Family.LABEL
        spans.append((label, label + page.LABEL_WORDS))
        spans += [(slot, slot + page.PLAN_WORDS) for slot in page.plan_bases(base)]
        assert base + page.FAMILY_WORDS >= spans[-1][1]
    spans.append((page.RING, page.RING + page.RING_LENGTH * page.RING_WORDS))
    spans.sort()
    for (_, end), (begin, _) in itertools.pairwise(spans):
        assert end <= begin
    assert spans[-1][1] <= page.WORDS


def test_a_page_tells_who_it_is():
    words = blank()
    assert page.look(words) is None
    page.begin(words, 42, 7, 3, 16, "sim")
    base = page.add_family(words, "step", False)
    words[base + Family.C] = 413
    words[base + Family.AT] = 413
    words[Head.STATE] = State.HELD
    page.write_text(words, *page.Text.SITE.value, "sim.py:40")
    page.write_operation(words, page.Operation(5, 0, 7, 1, 812, 10**15))
    picture = page.look(words)
    assert (picture.pid, picture.rank, picture.size, picture.run) == (42, 3, 16, "sim")
    assert picture.state is State.HELD
    assert picture.site == "sim.py:40"
    assert picture.operation.number == 812
    (family,) = picture.families
    assert (family.label, family.point, family.held) == ("step", 413, True)


def test_a_new_family_holds_until_it_is_seen():
    words = blank()
    for number in range(page.FAMILIES):
        base = page.add_family(words, f"f{number}", bool(number % 2))
        assert words[base + Family.FENCE] == 0
        assert words[base + Family.HOLD] == 0
    try:
        page.add_family(words, "one more", False)
    except ValueError as error:
        assert "at most 8" in str(error)


@given(st.text(max_size=60))
def test_texts_come_back_as_far_as_there_is_room(text):
    words = blank()
    page.write_text(words, 10, 8, text)
    back = page.read_text(words, 10, 8)
    assert text.rstrip("\0").startswith(back) or text.startswith(back)
    assert len(back.encode()) <= 56
    if len(text.encode()) <= 56:
        assert back == text.rstrip("\0")


@given(st.integers(), st.booleans())
def test_any_bytes_can_be_looked_at(seed, ours):
    data = random.Random(seed).randbytes(page.SIZE)
    words = memoryview(bytearray(data)).cast("q")
    if ours:
        words[Head.MAGIC] = page.MAGIC
    picture = page.look(words)
    assert (picture is not None) == (words[Head.MAGIC] == page.MAGIC)
    page.read_log(words)


def test_what_is_half_written_is_not_read():
    words = blank()
    page.write_record(words, 20, [1, 2])
    words[20] += 1  # as one that died in the middle
    assert page.read_record(words, 20, 3) == []


def test_the_ring_keeps_the_last():
    words = blank()
    for number in range(200):
        page.log(words, 1, (number, 0, 0, 0), number)
    entries = [entry[1] for entry in page.read_log(words)]
    assert entries == list(range(137, 200))  # the oldest may be half overwritten


@given(
    sure=st.integers(0, 50),
    every=st.integers(0, 7),
    until=st.one_of(st.just(FREE), st.integers(0, 60)),
    done=st.integers(-1, 60),
)
def test_when_a_plan_is_due(sure, every, until, done):
    words = blank()
    slot = page.plan_bases(page.family_base(0))[2]
    for word, value in (
        (Plan.NUMBER, 9), (Plan.SURE, sure), (Plan.EVERY, every), (Plan.UNTIL, until),
    ):  # fmt: skip
        words[slot + word] = value
    points = range(sure, 200, every) if every else [sure]
    wanted = [p for p in points if done < p < until]
    assert page.plan_due(words, slot, done) == (wanted[0] if wanted else FREE)
    words[slot] = 0
    assert page.plan_due(words, slot, done) == FREE
