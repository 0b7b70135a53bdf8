"""Option lines, read."""

from __future__ import annotations

import dataclasses
import signal

import pytest

from steer.errors import UsageError
from steer.magics import options


@pytest.fixture
def cell():
    return options.cell_parser("%%px")


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("", {}),
        ("-b", {"block": True}),
        ("--block", {"block": True}),
        ("-a", {"block": False}),
        ("--noblock", {"block": False}),
        ("--stream", {"stream": True}),
        ("--no-stream", {"stream": False}),
        ("--progress-after 5", {"progress_after": 5.0}),
        ("--progress-after 0", {"progress_after": 0.0}),
        ("--progress-after -1", {"progress_after": -1.0}),
        ("--signal-on-interrupt SIGUSR1", {"signal": signal.SIGUSR1}),
        ("--signal-on-interrupt 15", {"signal": 15}),
        ("--signal-on-interrupt 0", {"signal": 0}),
        ("-r", {"group": "order"}),
        ("-e", {"group": "engine"}),
        ("--group-outputs type", {"group": "type"}),
        ("--group-outputs=engine", {"group": "engine"}),
        ("--fold", {"fold": True}),
        ("--no-fold", {"fold": False}),
        ("--verbose", {"verbose": True}),
        ("--no-verbose", {"verbose": False}),
        ("--timeout 2.5", {"timeout": 2.5}),
        ("--on-error continue", {"on_error": "continue"}),
        ("--on-error stop", {"on_error": "stop"}),
        ("--when 'rank % 2 == 0'", {"when": "rank % 2 == 0"}),
    ],
)
def test_settings(cell, line, changes):
    asked = options.parse(cell, line)
    assert asked.changes == changes
    assert dataclasses.replace(options.Options(), **asked.changes)


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("-t 0-3,7", "targets", "0-3,7"),
        ("--targets=::2", "targets", "::2"),
        ("-t -1", "targets", "-1"),
        ("-t -2:", "targets", "-2:"),
        ("--targets -2:", "targets", "-2:"),
        ("-t '[0, 2]'", "targets", "[0, 2]"),
        ("-o ar", "out", "ar"),
        ("--out ar", "out", "ar"),
        ("--local", "local", True),
        ("--help", "help", True),
        ("-h", "help", True),
    ],
)
def test_what_is_no_setting(cell, line, name, value):
    asked = options.parse(cell, line)
    assert getattr(asked, name) == value
    assert asked.changes == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--bogus", "unrecognized arguments: --bogus"),
        ("x = 1", "unrecognized arguments: x = 1"),
        ("--targ 0", "unrecognized"),
        ("--timeout soon", "'soon' is no number of seconds"),
        ("--timeout -1", "is no number of seconds above 0"),
        ("--timeout inf", "is no number of seconds above 0"),
        ("--signal-on-interrupt SIGWHAT", "'SIGWHAT' is no signal"),
        ("--signal-on-interrupt 4000", "'4000' is no signal"),
        ("--group-outputs rank", "choose from"),
        ("--on-error retry", "choose from"),
        ("--out 1x", "'1x' is no name of a variable"),
        ("-t", "expected one argument"),
        ("--when 'x", "no closing quotation"),
    ],
)
def test_mistakes_are_sentences(cell, line, said):
    with pytest.raises(UsageError) as caught:
        options.parse(cell, line)
    assert said in str(caught.value)
    assert str(caught.value).startswith("%%px: ")
    assert "\n" not in str(caught.value)


def test_each_magic_takes_its_own():
    config = options.config_parser("%pxconfig")
    asked = options.parse(config, "--group west=0-3 --group east=4-7 -a")
    assert asked.groups == ("west=0-3", "east=4-7")
    result = options.result_parser("%pxresult")
    assert options.parse(result, "-e --no-fold -o ar").out == "ar"
    for parser, line in ((config, "--local"), (config, "-o ar"), (result, "-t 0")):
        with pytest.raises(UsageError):
            options.parse(parser, line)


def test_output_streams_unless_grouped_or_nobody_watches(monkeypatch):
    for name in options.SILENCED_BY:
        monkeypatch.delenv(name, raising=False)
    assert options.Options().streams
    assert not options.Options(group="type").streams
    assert options.Options(group="type", stream=True).streams
    assert not options.Options(stream=False).streams
    for name in options.SILENCED_BY:
        monkeypatch.setenv(name, "1")
        assert not options.Options().streams
        assert options.Options(stream=True).streams
        monkeypatch.delenv(name)


def test_settings_are_described_as_they_are_written():
    names = [field.name for field in dataclasses.fields(options.Options)]
    shown = options.described(
        options.Options(stream=False, progress_after=2.5, signal=0),
        ("stream", "fold", "progress_after", "signal"),
    )
    assert "signal" in names
    assert shown == [
        "--no-stream",
        "--fold",
        "--progress-after 2.5",
        "--signal-on-interrupt 0",
    ]
