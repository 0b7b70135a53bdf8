"""What the report of an impossible event shows."""

from __future__ import annotations

from steer.core.story import Story


def test_the_last_events_are_told_in_order():
    story = Story(length=2)
    for number in range(3):
        story.add(float(number), f"event {number}", ["one", "two"])
    assert story.tell().splitlines() == [
        "1.0000 'event 1' -> ['one', 'two']",
        "2.0000 'event 2' -> ['one', 'two']",
    ]


def test_users_data_are_cut_short():
    story = Story()
    story.add(0.0, b"x" * 10_000, [b"y" * 10_000])
    assert len(story.tell()) < 500
