"""`steer attach`: its options, and what it does.

Imported with the whole command line, so nothing heavy is imported here before the
command runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

__all__ = ["add_attach"]


def add_attach(commands: Any) -> None:
    """The command `steer attach`."""
    text = "Take the wheel of a running program"
    parser = commands.add_parser(
        "attach",
        help=text,
        description=f"{text}: stop it, look at it, change it, step it, let it go. "
        "Leaving ends nothing, and several may be attached at once.",
        epilog="`steer list` shows what runs. Without a terminal, lines are read from "
        "the standard input.",
    )
    parser.add_argument(
        "name", nargs="?", default="", metavar="NAME",
        help="the run; not needed if there is only one",
    )  # fmt: skip
    parser.add_argument(
        "-c", dest="lines", action="append", metavar="LINE",
        help="do this and leave: a verb, as in -c stop -c 'step 10', or Python for "
        "the ranks; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS",
        help="how long the run may take to be there; default: it has to be there",
    )  # fmt: skip
    parser.add_argument("--profile", default="", help="IPython's profile")
    parser.set_defaults(run=_attach)


def _attach(arguments: argparse.Namespace) -> int:
    from steer.client.run import connect

    name, profile = arguments.name, arguments.profile
    with connect(name, wait=arguments.wait, profile=profile) as run:
        lines: Sequence[str] | None = arguments.lines
        if lines is None and sys.stdin.isatty():
            from steer.magics.attach import attach

            attach(run)
            return 0
        from steer.magics.session import Session

        given = [one for line in lines for one in line.split("\n")] if lines else None
        return Session(run).all(sys.stdin if given is None else given)
