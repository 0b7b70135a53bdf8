"""Log lines of our commands: one handler, one line each, with what the process is."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from steer import log
from steer.errors import UsageError

steers = logging.getLogger("steer")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = list(steers.handlers), steers.level, steers.propagate
    yield
    steers.handlers[:], steers.level, steers.propagate = before


def test_plain_lines() -> None:
    stream = io.StringIO()
    log.configure("info", stream=stream)
    logging.getLogger("steer.hub").info("engine %d is here", 3)
    logging.getLogger("steer.hub").debug("not this")
    assert stream.getvalue().endswith(" INFO steer.hub: engine 3 is here\n")
    assert stream.getvalue().count("\n") == 1


def test_json_lines_say_who_speaks() -> None:
    stream = io.StringIO()
    log.configure("debug", stream=stream, as_json=True, rank=3, session="c1")
    try:
        raise ValueError("with\nlines")
    except ValueError:
        logging.getLogger("steer.engine").exception("it\nfailed")
    [line] = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert (entry["rank"], entry["session"], entry["level"]) == (3, "c1", "error")
    assert entry["text"] == "it\nfailed"
    assert entry["traceback"].endswith("ValueError: with\nlines")
    assert entry["host"]
    assert entry["time"].endswith("Z")


def test_configuring_again_does_not_double_lines() -> None:
    first, second = io.StringIO(), io.StringIO()
    theirs = logging.NullHandler()
    steers.addHandler(theirs)
    log.configure(stream=first)
    log.configure(stream=second)
    logging.getLogger("steer.hub").warning("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1
    assert theirs in steers.handlers


def test_a_level_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="use debug, info"):
        log.configure("loud")
