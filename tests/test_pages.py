"""Pages as shared memory, and barriers over processes."""

from __future__ import annotations

import os

import pytest

from steer import pages
from steer.core import page


def test_another_process_may_map_it_and_it_outlives_its_rank():
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        mapped = pages.make()
        page.begin(mapped.words, os.getpid(), 1, 3, 4, "sim")
        os.write(ready[1], str(mapped.fd).encode())
        os.read(go[0], 1)
        os._exit(9)
    mapped = pages.open_of(child, int(os.read(ready[0], 20)))
    mapped.words[page.Head.CONTROLLER] = 77
    os.write(go[1], b"x")
    os.waitpid(child, 0)
    assert page.look(mapped.words).rank == 3
    mapped.close()
    for fd in (*ready, *go):
        os.close(fd)


def test_what_is_no_page_is_refused():
    fd = os.memfd_create("other")
    with pytest.raises(ValueError, match="is no page"):
        pages.open_of(os.getpid(), fd)
    os.close(fd)
    with pytest.raises(OSError, match="No such file"):
        pages.open_of(os.getpid(), 9999)


def test_barriers():
    if not pages.barrier_works():
        pytest.skip("membarrier(2) is not allowed here")
    assert pages.take_part()
    pages.barrier()
