from __future__ import annotations

import faulthandler
import tempfile

from steer.core.outside import look_from_outside, read_faulthandler
from steer.core.rankstates import Call, Look, Spot


def test_what_faulthandler_writes_is_read():
    with tempfile.TemporaryFile("w+") as file:
        faulthandler.dump_traceback(file, all_threads=False)
        faulthandler.dump_traceback(file, all_threads=False)
        file.seek(0)
        frames = read_faulthandler(file.read())
    assert frames[-1][0] == __file__
    assert frames[-1][2] == "test_what_faulthandler_writes_is_read"
    assert [name for *_, name in frames].count(frames[-1][2]) == 1


def test_the_call_is_guessed_by_the_source_of_its_line():
    frames = [("a.py", 9, "main"), ("a.py", 3, "step")]
    spot = Spot("a.py", 3, "step")
    source = "total = self.comm.allreduce(u.sum())"
    look = look_from_outside(frames, f"    {source}\n")
    assert look == Look(spot, source, Call("allreduce", size=-1, guessed=True))
    solved = look_from_outside(frames, "ksp.solve(b, x)\n")
    assert (solved.native, solved.call) == ("ksp.solve(b, x)", None)
    several = look_from_outside(frames, "comm.send(comm.recv(source=1), 2)\n")
    assert several.call == Call("send or recv", size=-1, guessed=True)
    assert look_from_outside([], "") == Look(Spot())
