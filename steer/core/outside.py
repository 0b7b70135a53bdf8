"""What can be told of a rank from outside, when none of its threads can answer.

A signal makes `faulthandler` write the main thread's stack, also while native code
holds the GIL::

    Current thread 0x00007f12 (most recent call first):
      File "/home/ann/solver.py", line 120 in step
      File "/home/ann/solver.py", line 200 in <module>

Lines are all there is. If one names a call of MPI the rank *may* be in it: the same
line may do something else first, and others than MPI have methods of such names. So it
is shown as a guess, and no verdict is drawn from it.
"""

from __future__ import annotations

import re

from steer.core.mpiops import OPS
from steer.core.rankstates import Call, Look, Spot

_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$', re.MULTILINE)
_LIBRARY = re.compile(r"^<frozen|/steer/engines/|/IPython/|/mpi4py/|/lib/python3")
CARRIES = re.compile(r"^<frozen|/steer/engines/|/IPython/")
"""Files of the machinery around the user's code."""
_CALLED = re.compile(r"\.\s*(\w+)\s*\(")


def read_faulthandler(text: str) -> list[tuple[str, int, str]]:
    """The last stack in what faulthandler has written, the outermost frame first."""
    last = text.rpartition("(most recent call first):")[2]
    frames = [(file, int(line), name) for file, line, name in _FRAME.findall(last)]
    return frames[::-1]


def users_part(frames: list[tuple[str, int, str]]) -> list[tuple[str, int, str]]:
    """A stack without the outermost frames, which carry the user's code."""
    places = range(len(frames))
    first = next((i for i in places if not CARRIES.search(frames[i][0])), 0)
    return frames[first:]


def where_it_died(text: str) -> str:
    """The innermost line of the user's in what faulthandler wrote last."""
    frames = [f for f in read_faulthandler(text) if not _LIBRARY.search(f[0])]
    spot = Spot(*frames[-1]) if frames else Spot()
    return f"{spot} in {spot.function}" if frames else ""


def look_from_outside(frames: list[tuple[str, int, str]], source: str) -> Look:
    """What main does, from its stack and the source of its innermost line."""
    if not frames:
        return Look(Spot())
    spot = Spot(*frames[-1])
    named = [name for name in _CALLED.findall(source) if name in OPS]
    call = None
    if named:
        # `np.add.reduce(u)` is written as a call of MPI's is, and of
        # `comm.Allreduce(native_work(u), out)` it may be the argument that runs.
        op = " or ".join(dict.fromkeys(named))
        call = Call(op, size=-1, guessed=True)
    return Look(spot, native=source.strip()[:60], call=call)
