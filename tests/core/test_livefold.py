"""Lines of many ranks while they come: each shown once, in order, not late."""

from __future__ import annotations

import collections

import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st

from steer.core.folding import render
from steer.core.livefold import (
    GRAIN,
    HOLD,
    LONGEST,
    MOST_OF_ONE,
    Ended,
    Event,
    Flush,
    LiveFold,
    Said,
    Show,
    Tick,
)
from steer.ranks import RankSet

FOUR = RankSet(range(4))


def written(shows: list[Show]) -> str:
    return "".join(
        render(show.groups, RankSet(show.texts) | show.missing) for show in shows
    )


def say(fold: LiveFold, now: float, **texts: str) -> str:
    """Ranks are named r0, r1 and so on."""
    shows = []
    for name, text in texts.items():
        shows += fold.handle(Said(int(name[1:]), text), now)
        fold.check()
    return written(shows)


def test_twins_are_shown_at_once_when_all_are_there():
    fold = LiveFold(FOUR)
    assert say(fold, 0.0, r0="a\nb\n", r2="a\nb\n", r1="a\n") == ""
    assert say(fold, 0.01, r3="a\nb\n") == "[0-3] (4)  a\n"
    assert say(fold, 0.02, r1="b\n") == "[0-3] (4)  b\n"
    assert fold.deadline() is None


def test_numbers_make_no_difference():
    fold = LiveFold(FOUR)
    said = {f"r{rank}": f"rank {rank} of 4\n" for rank in FOUR}
    assert say(fold, 0.0, **said) == "[0-3] (4)  rank <rank> of 4\n"


def test_a_line_is_held_a_tenth_of_a_second_and_who_lacks_is_listed():
    fold = LiveFold(FOUR)
    assert say(fold, 5.0, r0="a\n", r1="a\n", r2="a\n") == ""
    assert fold.deadline() == 5.0 + HOLD
    assert fold.handle(Tick(), 5.0 + HOLD / 2) == []
    (show,) = fold.handle(Tick(), 5.0 + HOLD)
    assert written([show]) == "[0-2] (3)  a\n           missing: 3\n"
    assert not show.late


def test_the_same_who_lack_are_listed_once():
    fold = LiveFold(FOUR)
    for step in range(3):
        say(fold, step, r0=f"s{step}\n", r1=f"s{step}\n", r2=f"s{step}\n")
        (show,) = fold.handle(Tick(), step + HOLD)
        assert bool(show.missing) == (step == 0)


def test_a_late_twin_is_known_as_one():
    fold = LiveFold(FOUR)
    say(fold, 0.0, r0="a\nb\n", r1="a\nb\n", r2="a\nb\n")
    fold.handle(Tick(), HOLD)
    assert say(fold, 1.0, r3="a\nb\n") == ""
    (show,) = fold.handle(Tick(), 1.0 + HOLD)
    assert show.late
    assert written([show]) == "[3]  a\n     b\n"


def test_who_differs_is_seen():
    fold = LiveFold(FOUR)
    say(fold, 0.0, r0="res 1\n", r1="res 1\n", r2="res 1\n", r3="res nan\n")
    assert written(fold.handle(Tick(), HOLD)) == (
        "[0-2] (3)  res 1\n[3]        res nan    ← differs\n"
    )


def test_a_rank_that_says_more_does_not_part_the_others():
    fold = LiveFold(FOUR)
    others = {f"r{rank}": "a\nb\n" for rank in (1, 2, 3)}
    say(fold, 0.0, r0="root\na\nb\n", **others)
    assert (
        written(fold.handle(Tick(), HOLD)) == "[0]  root\n[0-3] (4)  a\n           b\n"
    )


def test_only_what_is_due_is_shown():
    fold = LiveFold(FOUR)
    say(fold, 0.0, r0="a\n")
    say(fold, HOLD * 0.9, r0="b\n", r1="b\n")
    assert written(fold.handle(Tick(), HOLD)) == "[0]  a\n"
    assert fold.deadline() == HOLD * 0.9 + HOLD


def test_after_a_difference_twins_are_shown_at_once_again():
    fold = LiveFold(FOUR)
    say(fold, 0.0, r0="a\n", r1="a\n", r2="a\n", r3="x\n")
    assert fold.deadline() == HOLD
    twins = {f"r{rank}": "b\n" for rank in FOUR}
    assert say(fold, HOLD * 0.9, **twins) == ""
    assert written(fold.handle(Tick(), HOLD)).splitlines()[-1] == "[0-3] (4)  b"


def test_who_has_ended_is_not_waited_for():
    fold = LiveFold(FOUR)
    say(fold, 0.0, r0="a\n", r1="a\n")
    assert fold.handle(Ended(RankSet([2])), 0.0) == []
    assert written(fold.handle(Ended(RankSet([3])), 0.0)) == "[0-1] (2)  a\n"


def test_last_words_have_no_line_end():
    fold = LiveFold(FOUR)
    assert say(fold, 0.0, r0="bye", r1="bye", r2="by") == ""
    assert written(fold.handle(Ended(FOUR), 0.0)) == (
        "[0-1] (2)  bye\n[2]        by     ← differs\n           missing: 3\n"
    )


def test_a_display_comes_after_what_was_said_before_it():
    fold = LiveFold(FOUR)
    say(fold, 0.0, r0="a\nb", r1="a\n", r2="x\n")
    assert written(fold.handle(Flush(RankSet([0])), 0.0)).splitlines()[-1] == "[0]  b"
    fold.check()


def test_a_progress_bar_is_pending_and_only_its_last_state():
    fold = LiveFold(FOUR)
    for percent in range(0, 101, 10):
        assert (
            say(fold, 0.0, r0=f"\r{percent} %", r1=f"\r{percent} %", r2="\r7 %\r") == ""
        )
    (whole, other) = fold.pending()
    assert (str(whole.ranks), whole.text) == ("0-1", "100 %")
    assert other.text == "7 %"
    assert fold.pending("stderr") == []
    assert fold.deadline() is None
    done = say(fold, 0.0, r0="\rdone\n", r1="\rdone\n", r2="\rdone\n", r3="done\r\n")
    assert done == "[0-3] (4)  done\n"
    assert fold.pending() == []


def test_streams_keep_their_order():
    fold = LiveFold(RankSet(range(2)))
    shows = []
    for rank in range(2):
        for stream, text in (("stdout", "a\n"), ("stderr", "oh\n"), ("stdout", "b\n")):
            shows += fold.handle(Said(rank, text, stream), 0.0)
    assert [(s.stream, s.texts[0]) for s in shows] == [
        ("stdout", "a\n"),
        ("stderr", "oh\n"),
        ("stdout", "b\n"),
    ]


def test_a_flood_of_one_rank_is_not_held_back():
    fold = LiveFold(FOUR)
    (show,) = fold.handle(Said(0, "x\n" * (MOST_OF_ONE + 1)), 0.0)
    assert len(show.texts[0].splitlines()) == MOST_OF_ONE + 1
    fold.check()


def test_a_line_without_end_is_cut():
    fold = LiveFold(RankSet([0]))
    assert fold.handle(Said(0, "x" * LONGEST), 0.0) == []
    (show,) = fold.handle(Said(0, "x"), 0.0)
    assert show.texts[0] == "x" * (LONGEST + 1) + "\n"


def test_ten_thousand_lines_of_each_are_one():
    fold = LiveFold(FOUR)
    text = "".join(f"line {i}\n" for i in range(10_000))
    shows = [show for rank in FOUR for show in fold.handle(Said(rank, text), 0.0)]
    assert [group.text for show in shows for group in show.groups] == [text.rstrip()]


RANKS = 3
LINES = st.lists(st.sampled_from(["a", "b", "c 1", "c 2", "", "\ue0ff"]), max_size=4)
STREAMS = st.sampled_from(["stdout", "stderr"])


class Printing(stateful.RuleBasedStateMachine):
    """Ranks print what they like, whole lines or not; time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.fold = LiveFold(range(RANKS))
        self.now = 0.0
        self.said: dict[int, list[tuple[str, str]]] = {r: [] for r in range(RANKS)}
        """Stream and line, whole lines only, in order."""
        self.came: dict[int, collections.deque[float]] = {
            r: collections.deque() for r in range(RANKS)
        }
        self.shown: dict[int, list[tuple[str, str]]] = {r: [] for r in range(RANKS)}
        self.rests: dict[int, dict[str, str]] = {r: {} for r in range(RANKS)}

    def feed(self, event: Event) -> None:
        for show in self.fold.handle(event, self.now):
            assert show.texts
            for rank, text in show.texts.items():
                assert text.endswith("\n")
                lines = text[:-1].split("\n")
                self.shown[rank] += [(show.stream, line) for line in lines]
                for _ in lines:
                    self.came[rank].popleft()
            assert len({text.count("\n") for text in show.texts.values()}) == 1
            assert not show.missing & RankSet(show.texts)
        self.fold.check()

    @stateful.rule(
        rank=st.integers(0, RANKS - 1), lines=LINES, rest=st.sampled_from(["", "~"]),
        stream=STREAMS,
    )  # fmt: skip
    def say(self, rank: int, lines: list[str], rest: str, stream: str) -> None:
        text = "".join(f"{line}\n" for line in lines) + rest
        whole = self.rests[rank].pop(stream, "") + text
        *ended, left = whole.split("\n")
        if left:
            self.rests[rank][stream] = left
        self.add(rank, stream, ended)
        self.feed(Said(rank, text, stream))

    def add(self, rank: int, stream: str, lines: list[str]) -> None:
        self.said[rank] += [(stream, line) for line in lines]
        self.came[rank].extend([self.now] * len(lines))

    def end_lines(self, rank: int) -> None:
        for stream, rest in self.rests[rank].items():
            self.add(rank, stream, [rest])
        self.rests[rank] = {}

    @stateful.rule(seconds=st.sampled_from([0.001, GRAIN, HOLD / 2, HOLD, 1.0]))
    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.fold.deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            self.feed(Tick())
            assert self.fold.deadline() != due
        self.now = end

    @stateful.rule(ranks=st.sets(st.integers(0, RANKS - 1)))
    def flush(self, ranks: set[int]) -> None:
        for rank in sorted(ranks):
            self.end_lines(rank)
        self.feed(Flush(RankSet(ranks)))
        for rank in ranks:
            assert self.shown[rank] == self.said[rank]

    @stateful.rule(rank=st.integers(0, RANKS - 1))
    def end(self, rank: int) -> None:
        self.end_lines(rank)
        self.feed(Ended(RankSet([rank])))

    @stateful.invariant()
    def each_line_once_and_in_order(self) -> None:
        for rank in range(RANKS):
            assert self.shown[rank] == self.said[rank][: len(self.shown[rank])]

    @stateful.invariant()
    def no_line_is_held_longer(self) -> None:
        for came in self.came.values():
            assert not came or self.now < came[0] + HOLD

    def teardown(self) -> None:
        for rank in range(RANKS):
            self.end_lines(rank)
        self.feed(Ended(RankSet(range(RANKS))))
        assert self.shown == self.said


TestPrinting = Printing.TestCase


@hypothesis.given(
    st.lists(st.tuples(st.integers(0, RANKS - 1), LINES), max_size=12),
    st.randoms(use_true_random=False),
)
def test_pieces_make_no_difference_to_what_is_shown(said, chance):
    """The same output, in other pieces, all within the time that lines are held."""
    whole: dict[int, str] = dict.fromkeys(range(RANKS), "")
    for rank, lines in said:
        whole[rank] += "".join(f"{line}\n" for line in lines)
    found: dict[int, str] = dict.fromkeys(range(RANKS), "")
    fold = LiveFold(range(RANKS))
    left = {rank: text for rank, text in whole.items() if text}
    while left:
        rank = chance.choice(sorted(left))
        size = chance.randint(1, 3)
        piece, left[rank] = left[rank][:size], left[rank][size:]
        if not left[rank]:
            del left[rank]
        for show in fold.handle(Said(rank, piece), 0.0):
            for who, text in show.texts.items():
                found[who] += text
    for show in fold.handle(Ended(RankSet(range(RANKS))), 0.0):
        for who, text in show.texts.items():
            found[who] += text
    assert found == whole
