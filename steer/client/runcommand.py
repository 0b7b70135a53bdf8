"""The command `steer run`: its options, and what they mean."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steer.errors import UsageError

if TYPE_CHECKING:
    from steer.client.cluster import Cluster

Begun = Callable[["Cluster"], object]
"""Is called when the program is about to begin."""

EPILOG = """
Options stand before the program; what stands behind it is the program's. It is started
as by `mpiexec -n N python PROGRAM ...`: input, output, signals and the exit status are
passed through, and Ctrl-C interrupts it. If it has points (`steer.loop`, `steer.point`,
or --point here), `steer attach` in any other terminal, or `steer.connect()` in any
notebook, takes the wheel.
"""


def add_run(
    commands: Any,
    add_job: Callable[[Any], None],
    options: Callable[[Any], dict[str, str]],
) -> None:
    """Add the subcommand; `add_job` adds the options that all have who start ranks,
    `options` reads those of recipes."""
    parser = commands.add_parser(
        "run",
        help="Run a program on ranks, so that it can be steered",
        description="Run a program on ranks, so that it can be steered.",
        epilog=EPILOG,
        usage="steer run [-n N] [options] PROGRAM.py|-m MODULE [arguments...]",
    )
    parser.set_defaults(run=run, options=options)
    add_options(parser, add_job)


def add_options(
    parser: argparse.ArgumentParser, add_job: Callable[[Any], None]
) -> None:
    """The options of those who run a program; the program itself comes last."""
    add_job(parser)
    parser.add_argument(
        "--name", help="what the run is called; default: as the program's file"
    )
    parser.add_argument(
        "-m",
        dest="module",
        action="store_true",
        help="PROGRAM is the name of a module, as with `python -m`",
    )
    parser.add_argument(
        "--point",
        action="append",
        default=[],
        metavar="PLACE",
        help="put a point there: FILE.py:LINE, or a name such as Solver.step; may be "
        "given again",
    )
    parser.add_argument(
        "--stop-at",
        type=_point,
        default=None,
        metavar="POINT",
        help="hold all ranks at this point; 0: at the first one",
    )
    parser.add_argument(
        "--label",
        default="",
        help="the loop of which --stop-at means a point, as in "
        '`steer.loop(..., "main")`; default: the first that there is',
    )
    parser.add_argument(
        "--wait-for-client",
        action="store_true",
        help="begin when somebody has come to steer it",
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="keep the ranks when the program has ended, to look at what it has left",
    )
    parser.add_argument(
        "--post-mortem",
        action="store_true",
        help="keep a rank on which the program has failed, to look at why",
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="say nothing of our own"
    )
    parser.add_argument("--profile", default="", help="IPython's profile")
    parser.add_argument("--profile-dir", help="the profile's folder itself")
    parser.add_argument(
        "--ip", default="", help="let other hosts connect, encrypted, at this address"
    )
    parser.add_argument("--log-level", default="info", help=argparse.SUPPRESS)
    parser.add_argument("program", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(
    arguments: argparse.Namespace,
    begun: Begun = lambda cluster: None,
    replay_of: str = "",
) -> int:
    """Run it, perhaps to replay a journal on it; the program's exit status."""
    program = list(arguments.program)
    if program[:1] == ["--"]:
        del program[0]
    if not program:
        raise UsageError("steer run needs a program: `steer run -n 4 sim.py`.")
    if arguments.engines == "local" and (arguments.n or 1) > 1:
        raise UsageError(
            'Without MPI a program runs as one process: leave out "-n", or leave out '
            '"--engines local".'
        )
    if arguments.label and arguments.stop_at is None:
        raise UsageError("--label says of which loop --stop-at means a point.")
    folder = _folder(arguments)
    if not arguments.module:
        _check_readable(os.path.join(folder, program[0]))
    _check_points(arguments.point, folder)
    from steer.client.running import run_program
    from steer.launch.script import NO_STOP, Script

    script = Script(
        run=arguments.name or _name_of(program[0], arguments.module),
        argv=tuple(program),
        module=arguments.module,
        keep=arguments.keep,
        post_mortem=arguments.post_mortem,
        wait=arguments.wait_for_client,
        stop_at=NO_STOP if arguments.stop_at is None else arguments.stop_at,
        stop_label=arguments.label,
        points=tuple(arguments.point),
        replay_of=replay_of,
    )
    settings = {
        "n": 1 if arguments.engines == "local" else arguments.n,
        "engines": arguments.engines,
        "options": arguments.options(arguments.option),
        "cwd": arguments.cwd,
        "engine_timeout": arguments.timeout,
        "profile": arguments.profile,
        "profile_dir": arguments.profile_dir,
        "ip": arguments.ip,
        "log_level": arguments.log_level,
    }
    return run_program(
        script, bool(arguments.name), settings, quiet=arguments.quiet, begun=begun
    )


def _point(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be a point, 0 or more, not {text!r}")
    return number


def _name_of(program: str, module: bool) -> str:
    """`sim` for `code/sim.py` and for `code.sim`."""
    if module:
        return program.rpartition(".")[2]
    return os.path.splitext(os.path.basename(program))[0] or "run"


def _check_readable(path: str) -> None:
    """Before many ranks say it."""
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise UsageError(f"can't open file {path!r}: {error.strerror}") from None


def _folder(arguments: argparse.Namespace) -> str:
    """Where the program will run; empty if here."""
    from steer.settings import load

    if arguments.cwd:
        return str(arguments.cwd)
    folder = arguments.profile_dir
    settings = load(arguments.profile, Path(folder) if folder else None)
    return str(settings.get("cwd") or "")


def _check_points(places: list[str], folder: str) -> None:
    """Refuse what cannot be, as far as it can be seen from here."""
    import ast

    from steer.core.placing import parse, place

    for text in places:
        spot = parse(text)
        path = os.path.join(folder, spot.file)
        if spot.line and os.path.isfile(path):
            with open(path, "rb") as file:
                source = file.read()
            try:
                tree = ast.parse(source, path)
            except SyntaxError:
                continue  # Python will tell
            place(tree, "__main__", spot)
