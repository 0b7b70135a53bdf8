"""What a dead engine ran."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from steer.blackbox import NOBODY, BlackBox, Reader


def test_the_task_that_runs_is_read_from_outside():
    box = BlackBox()
    reader = Reader(os.getpid(), box.fd)
    assert reader.running() == NOBODY
    box.runs("c0ffee12", 7)
    assert reader.running() == ("c0ffee12", 7)
    box.rests()
    assert reader.running() == NOBODY
    reader.close()


def test_it_is_read_when_the_process_is_dead():
    script = (
        "from steer.blackbox import BlackBox; import os, sys\n"
        "box = BlackBox(); box.runs('client', 2**40); print(box.fd, flush=True)\n"
        "sys.stdin.read(); os.kill(os.getpid(), 9)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=-1, stdout=-1, text=True
    ) as child:
        reader = Reader(child.pid, int(child.stdout.readline()))
        child.stdin.close()
        assert child.wait(10) == -9
    assert reader.running() == ("client", 2**40)
    reader.close()


def test_what_is_no_box_is_refused():
    read, write = os.pipe()
    with pytest.raises((OSError, ValueError)):
        Reader(os.getpid(), read)
    with pytest.raises(OSError, match="No such file"):
        Reader(os.getpid(), 9999)
    os.close(read)
    os.close(write)
