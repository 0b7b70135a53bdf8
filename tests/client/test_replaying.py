"""What a replay asks of a run, and what it refuses to begin with."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from steer.client.journalfile import Deed, Journal
from steer.client.replaying import Replay, deeds_of
from steer.client.scheduling import Reports
from steer.core.plans import SLOTS
from steer.core.roundevents import FREE
from steer.errors import UsageError
from steer.wire.messages import News
from steer.wire.plans import Change, Changes, encode_deed


class Run:
    """A run that does what it is asked for, and keeps to the room on its pages."""

    def __init__(self, ranks="0-3", end=FREE, errors=None):
        self.ranks = ranks
        self.end = end
        self.errors = errors or {}
        self.news = Reports()
        self.bodies = []
        self.point = 1
        self.asked = []
        self.plans = {}
        self.ending = {}
        self.most = 0

    def status(self):
        return {"ranks": self.ranks}

    def reports(self):
        return self.news

    def stop(self):
        return SimpleNamespace(point=self.point)

    def go(self):
        self.asked.append("go")

    def do(self, verb, /, **wanted):
        point = wanted["point"] or self.point
        assert point >= self.point
        if verb == "stop" and point > self.end:
            self.tell_ends(FREE)
            return SimpleNamespace(kind="ending", point=point, text="The run ends.")
        if verb == "stop":
            self.point = point
            self.tell_ends(point)
            self.asked.append(f"to {point}")
            return SimpleNamespace(kind="stopped", point=point, text="")
        if verb == "unplan":
            if self.plans.pop(wanted["plan"]) == 0:
                self.ending[wanted["plan"]] = point
            self.asked.append(f"end {wanted['plan']} at {point}")
            return SimpleNamespace(kind="planned", point=point, text="", facts={})
        self.bodies.append(wanted["body"])
        number = 100 + len(self.asked)
        self.plans[number] = 0 if wanted["every"] else point
        there = [*self.plans.values(), *self.ending.values()]
        if point > self.point:
            self.most = max(
                self.most, sum(not due or due > self.point for due in there)
            )
        self.tell_ends(self.point)
        self.asked.append(f"{wanted['text']} at {point}")
        facts = {"plan": number}
        return SimpleNamespace(kind="planned", point=point, text="", facts=facts)

    def tell_ends(self, until):
        """Of what is due until that point, or never will be."""
        for number, due in list(self.plans.items()):
            if not 0 < due <= until:
                continue
            kind, how = ("done", "done") if due <= self.end else ("dropped", "not done")
            facts = {"plan": number, "over": True, "errors": self.errors.get(due)}
            text = f"{number}: {how}"
            self.news.heard(News("sim", "sim/step", kind, text, facts=facts))
            del self.plans[number]


class WithoutCells(Replay):
    """Notes which cells it would run."""

    def _repeat(self, deed):
        self._run.asked.append(f"{deed.text} here")


SET = encode_deed(Changes((Change({"dt": 0.1}),)))


def plan(text, point, **fields):
    fields = {"verb": "set", "body": SET} | fields
    return Deed(text=text, points={"step": point}, ranks="0-3", **fields)


def cell(text, point, **fields):
    return Deed("execute", text=text, points={"step": point}, ranks="0-3", **fields)


def journal(*deeds, ranks=4):
    return Journal({"run": "sim", "ranks": ranks}, deeds)


def play(*deeds, **options):
    run = Run()
    WithoutCells(run, journal(*deeds)).play(**options)
    return run


def said_until(end, *deeds, **options):
    """What is said if the program ends at a point."""
    said = []
    WithoutCells(Run(end=end), journal(*deeds), said.append).play(**options)
    return [text for text in said if text]


def test_cells_run_where_they_ran_and_plans_are_made_for_their_points():
    run = play(
        Deed("stop", points={"step": 5}, ranks="0-3"),
        plan("a", 5), cell("b", 5), plan("c", 50), cell("d", 5), plan("e", 7),
        Deed("step 3", points={"step": 8}, ranks="0-3"), cell("f", 8), plan("g", 60),
    )  # fmt: skip
    assert run.asked == [
        "a at 5", "to 5", "b here", "c at 50", "d here", "e at 7", "to 8", "f here",
        "g at 60", "to 60", "go",
    ]  # fmt: skip


def test_parameters_are_checked_where_they_are_changed():
    """And not where that is planned, with other values."""
    run = play(plan("a", 50), plan("b", 60, verb="code", body=b"code"))
    assert run.bodies == [
        encode_deed(Changes((Change({"dt": 0.1}),), unchecked=True)), b"code"
    ]  # fmt: skip


def test_what_recurs_is_ended_at_the_same_point():
    end = Deed("end", points={"step": 40}, ranks="0-3", ends=77)
    run = play(plan("a", 5, plan=77, every=10), end)
    assert run.asked == ["a at 5", "end 100 at 40", "go"]  # nothing is ahead


def test_there_is_never_more_planned_than_a_page_has_room_for():
    deeds = [plan(str(n), 100 + n // 2) for n in range(40)]
    run = play(plan("every", 3, plan=1, every=5), *deeds)
    assert run.most <= SLOTS
    made = [asked for asked in run.asked if " at " in asked]
    assert [asked.split()[0] for asked in made[1:]] == [str(n) for n in range(40)]


def test_what_recurs_until_a_point_ahead_needs_its_room_until_then():
    recurring = [plan(f"r{n}", 3, plan=n, every=5) for n in range(3)]
    ends = [Deed("end", points={"step": 50 + n}, ends=n) for n in range(3)]
    run = play(*recurring, *ends, *(plan(str(n), 100 + n) for n in range(6)))
    assert run.most <= SLOTS
    assert "to 102" in run.asked


def test_what_is_done_at_once_has_room_though_others_recur():
    recurring = [plan(f"r{n}", 3, plan=n, every=5) for n in range(SLOTS - 1)]
    run = play(*recurring, plan("a", 50), cell("b", 60))
    assert run.most == SLOTS - 1
    asked = run.asked[SLOTS - 1 :]
    assert asked == ["to 49", "to 50", "a at 50", "to 60", "b here", "go"]


def test_one_that_is_far_ahead_does_not_keep_the_others_from_being_done():
    far = [plan("far", 10_000 + n) for n in range(3)]
    run = play(*far, *(plan("near", 10 + n) for n in range(20)))
    assert run.most <= SLOTS
    assert run.asked.index("to 27") < run.asked.index("to 10002")


def test_it_may_hold_where_the_last_thing_was_done():
    assert play(plan("a", 50), cell("b", 5), hold=True).asked[-1] == "to 50"
    assert play(cell("b", 5), hold=True).asked == ["to 5", "b here"]


def test_plans_that_never_came_due_are_no_failure():
    deeds = [cell("a", 5), plan("b", 50), plan("c", 5000), plan("d", 6000)]
    for hold in (False, True):
        *left, last = said_until(3000, *deeds, hold=hold)
        assert [text.partition(": ")[2] for text in left] == ["not done"] * 2
        assert last == "2 deeds were repeated; the program ended before point 6000."


def test_what_failed_is_told_though_it_may_have_failed_then():
    said = []
    run = Run(errors={60: {"ZeroDivisionError": "0-3"}})
    deeds = plan("a", 50), plan("b", 60), plan("c", 70, plan=5)
    end = Deed("end", points={"step": 65}, ends=5)
    WithoutCells(run, journal(*deeds, end), said.append).play()
    assert [text for text in said if text] == ["101: done", "4 deeds were repeated."]


def test_a_program_that_ends_before_a_cell_is_a_failure():
    with pytest.raises(UsageError, match="ended before it came to point 50"):
        said_until(30, cell("a", 50))


def test_watches_and_stops_change_nothing():
    deeds = [
        Deed("watch", points={"step": 3}, plan=9, every=1),
        Deed("end", points={"step": 8}, ends=9),
        Deed("go", points={"step": 3}),
    ]
    assert deeds_of(journal(*deeds)) == []


def test_cells_that_never_ran_are_left_out():
    never = cell("a", 5, statuses={"0-3": "aborted"})
    partly = cell("b", 5, statuses={"0": "error", "1": "aborted"})
    assert deeds_of(journal(never, partly)) == [partly]


@pytest.mark.parametrize(
    ("deeds", "what"),
    [
        ([Deed("execute", text="x", ranks="0")], "not all of its ranks were at one"),
        ([Deed("execute", ranks="0", early=True)], "before the program had begun"),
        ([cell("x", 3, large=True)], "too large"),
        (
            [cell("x", 3), Deed("set", points={"solve": 3})],
            "several kinds, solve, step",
        ),
    ],
)
def test_what_cannot_be_repeated_is_said_before_anything_is_done(deeds, what):
    with pytest.raises(UsageError, match=what):
        Replay(Run(), journal(*deeds))


def test_another_number_of_ranks_is_refused():
    with pytest.raises(UsageError, match="3 ranks; this has 4"):
        Replay(Run(), journal(ranks=3)).play()


def test_a_point_that_is_past_is_refused():
    run = Run()
    run.point = 9
    with pytest.raises(UsageError, match="at point 5, and the run is at point 9"):
        WithoutCells(run, journal(plan("a", 5))).play()
    with pytest.raises(UsageError, match="at point 5, and the run is at point 9"):
        WithoutCells(run, journal(cell("a", 5))).play()


def test_a_plan_that_comes_late_ends_the_replay():
    run = Run()
    late = SimpleNamespace(kind="planned", point=6, text="a: at point 6", facts={})
    run.do = lambda verb, /, **wanted: late
    with pytest.raises(UsageError, match="should be done at point 5: a: at point 6"):
        WithoutCells(run, journal(plan("a", 5))).play()
