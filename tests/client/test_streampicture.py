"""The picture tells the truth about what ran, and stays small."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ET

import pytest

from steer.client.stream import Run, TaskStream
from steer.client.streampicture import (
    COLOURS,
    FAILED,
    LEFT,
    OTHERS,
    columns,
    svg,
    ticks,
)

SVG = "{http://www.w3.org/2000/svg}"


def marks(text: str) -> list[ET.Element]:
    """The rectangles that say what they are."""
    root = ET.fromstring(text)
    return [r for r in root.iter(f"{SVG}rect") if r.find(f"{SVG}title") is not None]


def title(mark: ET.Element) -> str:
    return mark.findtext(f"{SVG}title") or ""


def test_a_run_is_where_it_was() -> None:
    runs = [Run("a", 0, 0.0, 10.0), Run("b", 5, 5.0, 5.0, "raised", "7", 4.0)]

    first, second = marks(svg(TaskStream(runs), 960))

    half = (960 - LEFT - 12) / 2
    assert float(first.attrib["x"]) == LEFT
    assert float(first.attrib["width"]) == pytest.approx(2 * half, abs=1)
    assert float(second.attrib["x"]) == pytest.approx(LEFT + half, abs=0.1)
    assert float(second.attrib["width"]) == pytest.approx(half, abs=2)
    assert float(second.attrib["y"]) > float(first.attrib["y"])
    assert title(first) == "a on rank 0: 10 s, from 0 s"
    assert title(second) == "b 7 on rank 5: 5.0 s, from 5.0 s, waited 1.0 s, raised"
    assert second.attrib["stroke"] == FAILED
    assert first.attrib["fill"] == COLOURS[0] != second.attrib["fill"]


def test_functions_beyond_the_colours_share_one() -> None:
    runs = [Run(f"f{k:02}", 0, k, 1 - k / 100) for k in range(20)]

    text = svg(TaskStream(runs))

    assert {m.attrib["fill"] for m in marks(text)} == {*COLOURS, OTHERS}
    assert f"{20 - len(COLOURS)} more functions: {20 - len(COLOURS)} runs" in text


def test_names_are_no_markup() -> None:
    text = svg(TaskStream([Run("<lambda>\x00&", 0, 0, 1)]))

    (mark,) = marks(text)
    assert title(mark).startswith("<lambda>�& on rank 0")


def test_many_short_tasks_make_a_small_picture() -> None:
    chance = random.Random(1)
    runs = [
        Run("noop", k % 4, k * 2e-5 + chance.random() * 1e-6, 4e-5)
        for k in range(50_000)
    ]

    text = svg(TaskStream(runs))

    assert len(text) < 600_000
    assert "noop: 50,000 runs, median 40 µs" in text


def test_short_tasks_are_as_busy_as_they_were() -> None:
    """Half of each pixel is worked on: the columns are half as high."""
    runs = [Run("noop", 0, k * 0.1, 0.05, id=str(k)) for k in range(1000)]

    found = list(columns(runs, 0.0, 1.0))

    assert len(found) == 1
    engine, column = found[0]
    assert engine == 0
    assert column.share == pytest.approx(0.5)
    assert (column.x, column.width, column.runs) == (0, 100, 1000)


def test_ranks_that_slow_down_are_seen_to() -> None:
    """Neighbours that differ by little are not all drawn like the last of them."""
    runs, time = [], 0.0
    while time < 800:
        runs.append(Run("noop", 0, time, 0.05))
        time += 0.05 + 0.0005 * time

    found = [column for _, column in columns(runs, 0.0, 1.0)]

    assert found[0].share > 0.9
    assert found[-1].share < 0.2
    assert len(found) > 20


def test_a_failure_among_many_is_seen() -> None:
    runs = [Run("noop", 0, k * 1e-3, 1e-3) for k in range(10_000)]
    runs[7000] = runs[7000]._replace(status="raised")

    red = [m for m in marks(svg(TaskStream(runs))) if m.attrib["fill"] == FAILED]

    assert len(red) == 1
    assert "1 failed" in title(red[0])


@pytest.mark.parametrize("ranks", [1, 64, 1000])
def test_any_number_of_ranks_fits(ranks: int) -> None:
    text = svg(TaskStream([Run("a", k, 0, 1) for k in range(ranks)]))

    height = float(ET.fromstring(text).attrib["viewBox"].split()[3])
    assert height < 3 * ranks + 700
    assert "rank 0" in text


@pytest.mark.parametrize(
    ("span", "wanted"),
    [
        (0, [0.0]),
        (4, [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4]),
        (95, [0, 20, 40, 60, 80]),
        (3e-5, [0, 5e-6, 1e-5, 1.5e-5, 2e-5, 2.5e-5, 3e-5]),
    ],
)
def test_ticks_are_round(span: float, wanted: list[float]) -> None:
    assert ticks(span) == pytest.approx(wanted)


def test_a_page_has_a_table() -> None:
    text = TaskStream([Run("solve", 0, 0, 2), Run("solve", 1, 0, 4)]).html()

    assert "<td>solve</td><td>2</td><td>0</td><td>6.0 s</td><td>3.0 s</td>" in text
