"""Curves of watches: no peak is lost, no NaN is hidden."""

from __future__ import annotations

import math
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from steer.client.curvepicture import levels, points, svg
from steer.client.curves import GAP, Curve, Sample, line, sparkline

numbers = st.floats(-1e300, 1e300)


def curve_of(*medians: float, spread: float = 0.0, most: int = 2000) -> Curve:
    curve = Curve("residual", most)
    for point, median in enumerate(medians, 1):
        curve.add(Sample(point, median - spread, median, median + spread, 7, 2))
    return curve


@given(st.lists(st.tuples(numbers, numbers), min_size=1), st.integers(2, 9))
def test_however_many_come_the_extremes_and_the_latest_stay(
    pairs: list[tuple[float, float]], most: int
):
    curve = Curve("x", most)
    for point, pair in enumerate(pairs, 1):
        low, high = sorted(pair)
        curve.add(Sample(point, low, high, high))

    assert len(curve) <= most
    assert min(s.low for s in curve) == min(map(min, pairs))
    assert max(s.high for s in curve) == max(map(max, pairs))
    assert curve.last is not None
    assert curve.last.point == curve.samples[-1].point == len(pairs)
    assert curve.last.high == max(pairs[-1])
    assert [s.point for s in curve] == sorted({s.point for s in curve})


def test_nan_stays_when_samples_are_joined():
    curve = curve_of(*range(1, 20), most=4)
    curve.add(Sample(20, math.nan, 1.0, math.nan, 3, 3))
    for point in range(21, 60):
        curve.add(Sample(point, 1.0, 1.0, 1.0))

    assert sum(not sample.finite for sample in curve) == 1


def test_what_is_not_newer_is_left():
    curve = curve_of(1.0, 2.0)
    curve.add(Sample(2, 9.0, 9.0, 9.0))

    assert len(curve) == 2
    assert curve.last == curve.samples[1]


def test_a_line_shows_where_it_goes():
    falling = curve_of(*(10.0**-n for n in range(8)), spread=0.0)

    assert sparkline(falling) == "█▇▆▅▄▃▂▁"
    assert line(falling) == "residual  █▇▆▅▄▃▂▁  point 8: 1e-07 on all ranks"
    apart = curve_of(1.0, 2.0, spread=0.5)
    assert line(apart).endswith("min 1.5 (r7)  med 2  max 2.5 (r2)")
    assert line(Curve("u")) == "u  nothing yet"


def test_a_line_has_a_gap_for_what_is_no_number():
    assert sparkline(curve_of(1.0, math.nan, 2.0)) == f"▁{GAP}█"
    assert sparkline(curve_of(math.nan)) == GAP
    assert len(sparkline(curve_of(*range(100)), 10)) == 10


@given(st.lists(st.floats(), max_size=30))
def test_every_curve_has_a_picture(medians: list[float]):
    picture = svg(curve_of(*medians))

    root = ElementTree.fromstring(picture)
    assert root.get("aria-label", "").startswith("residual: ")
    for mark in root.iter("{http://www.w3.org/2000/svg}polyline"):
        for pair in mark.get("points", "").split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= 640
            assert 0 <= y <= 220


def test_a_picture_has_a_band_where_ranks_differ_and_marks_what_is_no_number():
    band = svg(curve_of(1.0, 2.0, 3.0, spread=0.5))
    equal = svg(curve_of(1.0, 2.0, 3.0))
    broken = svg(curve_of(1.0, 2.0, math.nan, 3.0, 4.0))

    assert "<polygon" in band
    assert "<polygon" not in equal
    assert broken.count("<polyline") == 2
    assert "point 3: " in broken


def test_names_are_text():
    curve = Curve("a < b & '\x07'")
    curve.add(Sample(1, 0.0, 0.0, 0.0))

    ElementTree.fromstring(svg(curve))


def test_axes_have_round_numbers():
    assert levels(0.0, 1.0, False) == [
        (0.0, "0"), (0.2, "0.2"), (0.4, "0.4"), (0.6000000000000001, "0.6"),
        (0.8, "0.8"), (1.0, "1"),
    ]  # fmt: skip
    assert [label for _, label in levels(-6.2, 0.1, True)] == [
        "1e-6", "1e-4", "1e-2", "1e0",
    ]  # fmt: skip
    assert points(413, 423) == [414, 416, 418, 420, 422]
    assert points(5, 5) == [5]
