"""A program that is to run on ranks and be steered: what its user has said of it.

An engine is told of it on its command line, where `ps` shows it to everybody:
`python -m steer.engines --run=sim -- sim.py --its-arguments`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

NO_STOP = -1
"""The program is not to be stopped before somebody asks for it."""


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """A program, and how a user wants it run."""

    run: str
    """What the run is called."""
    argv: tuple[str, ...]
    """Its file, and its arguments."""
    module: bool = False
    """It is the name of a module, as with `python -m`."""
    keep: bool = False
    """Its ranks stay when it has ended."""
    post_mortem: bool = False
    """Its ranks stay when it has failed."""
    wait: bool = False
    """It begins when somebody has come to steer it."""
    stop_at: int = NO_STOP
    """It stops there by itself; 0: at its first point."""
    stop_label: str = ""
    """In which loop; empty: the first that a rank comes to."""
    points: tuple[str, ...] = ()
    """Where to put points that its source does not have: `sim.py:40`."""
    replay_of: str = ""
    """The journal that is replayed on it."""

    def to_arguments(self) -> tuple[str, ...]:
        """The command line of its engines."""
        flags = {
            "--module": self.module,
            "--keep": self.keep,
            "--post-mortem": self.post_mortem,
            "--wait": self.wait,
        }
        return (
            f"--run={self.run}",
            *(flag for flag, wanted in flags.items() if wanted),
            *([f"--stop-at={self.stop_at}"] if self.stop_at != NO_STOP else []),
            *([f"--stop-label={self.stop_label}"] if self.stop_label else []),
            *(f"--point={point}" for point in self.points),
            *([f"--replay-of={self.replay_of}"] if self.replay_of else []),
            "--",
            *self.argv,
        )


def from_arguments(argv: Sequence[str]) -> Script | None:
    """The program of an engine that was started like this, if it has one."""
    if not argv:
        return None
    import argparse  # most engines have no program

    parser = argparse.ArgumentParser(prog="python -m steer.engines", add_help=False)
    parser.add_argument("--run", required=True)
    parser.add_argument("--module", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--post-mortem", action="store_true")
    parser.add_argument("--wait", action="store_true")
    parser.add_argument("--stop-at", type=int, default=NO_STOP)
    parser.add_argument("--stop-label", default="")
    parser.add_argument("--point", action="append", default=[])
    parser.add_argument("--replay-of", default="")
    parser.add_argument("argv", nargs=argparse.REMAINDER)
    told = parser.parse_args(list(argv))
    program = told.argv[1:] if told.argv[:1] == ["--"] else told.argv
    return Script(
        run=told.run,
        argv=tuple(program),
        module=told.module,
        keep=told.keep,
        post_mortem=told.post_mortem,
        wait=told.wait,
        stop_at=told.stop_at,
        stop_label=told.stop_label,
        points=tuple(told.point),
        replay_of=told.replay_of,
    )
