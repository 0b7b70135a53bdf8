"""A program in py-spy's place, run for processes of this host."""

from __future__ import annotations

import os
import sys

import pytest

from steer.core.nativestacks import Spied, Spy
from steer.eventloop import Loop
from steer.hub import spying
from steer.hub.spying import NOT_THERE, Spying


@pytest.fixture
def run(tmp_path, monkeypatch):
    """What is fed to the hub of some processes, with this script as py-spy."""
    path = tmp_path / "bin"
    path.mkdir()
    monkeypatch.setenv("PATH", f"{path}:/usr/bin:/bin")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    def run(script, *pids):
        if script:
            program = path / "py-spy"
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
        loop, told = Loop(), []

        def feed(event: Spied) -> None:
            told.append(event)
            if len(told) == len(pids):
                loop.stop()

        loop.call_soon(lambda: Spying(loop, feed).show(Spy(1, dict(enumerate(pids)))))
        try:
            loop.run()
        finally:
            loop.close()
        return sorted(told, key=lambda event: event.engine)

    return run


def test_it_is_run_for_each_and_what_it_says_is_told(run):
    told = run('echo "$@"', *range(40, 47))
    want = "dump --native --full-filenames --json --pid {}\n"
    assert [event.text for event in told] == [want.format(i) for i in range(40, 47)]
    assert {event.why for event in told} == {""}


def test_much_is_read_whole(run):
    (told,) = run("head -c 3000000 /dev/zero | tr '\\\\0' x", 40)
    assert len(told.text) == 3_000_000


def test_it_may_be_missing(run):
    assert [event.why for event in run("", 40, 41)] == [NOT_THERE] * 2


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'Error: Permission Denied: Try sudo'; exit 1", "does not permit py-spy"),
        ("echo; echo 'Error: No such process.'; exit 1", "could not: No such process"),
        ("exit 3", "ended without a word"),
    ],
)
def test_it_may_fail(run, script, why):
    (told,) = run(script, 40)
    assert why in told.why
    assert told.text == ""


def test_it_may_hang(run, monkeypatch):
    monkeypatch.setattr(spying, "NATIVE_WITHIN", 0.2)
    (told,) = run("exec sleep 1000", os.getpid())
    assert told.why
