"""The command `steer`: start, list, stop and clean clusters from a terminal.

Exit status: 0, or 1 with a sentence on stderr; 2 for a wrong command line; 10 from
`start` when the cluster runs already; 11 from `stop` when none does; 130 after Ctrl-C.

Only what a subcommand needs is imported, by itself: `steer --help` must feel instant.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steer.client.cluster import Cluster
    from steer.client.found import Found

__all__ = ["main"]

ALREADY_RUNNING = 10
NONE_RUNNING = 11
INTERRUPTED = 130

_TRAITS = {
    "Hub.ip": "ip",
    "Hub.port": "port",
    "Hub.location": "location",
    "Hub.log_level": "log-level",
    "Cluster.n": "n",
    "Cluster.engines": "engines",
    "Cluster.cluster_id": "cluster-id",
    "Cluster.profile": "profile",
    "Cluster.profile_dir": "profile-dir",
    "Cluster.cwd": "cwd",
    "Cluster.engine_timeout": "timeout",
}
"""Options in the form that Jupyter's users know, and what they are called here."""


class NoClusters(Exception):
    """There is nothing to stop."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = _parse(sys.argv[1:] if argv is None else argv)
    try:
        status: int | None = arguments.run(arguments)
        return status or 0
    except KeyboardInterrupt:
        _complain("interrupted.")
        return INTERRUPTED
    except BrokenPipeError:  # `steer list | head`
        sys.stderr.close()
        return 1
    except NoClusters as error:
        _complain(str(error))
        return NONE_RUNNING
    except _users_errors() as error:
        _complain(str(error))
        return _status(error)


def _users_errors() -> tuple[type[Exception], ...]:
    """What is one sentence for a user; anything else is our mistake."""
    from steer.errors import SteerError

    return (SteerError, OSError)  # TimeoutError is an OSError


def _status(error: Exception) -> int:
    from steer.client.starting import AlreadyRunning

    return ALREADY_RUNNING if isinstance(error, AlreadyRunning) else 1


def _complain(text: str) -> None:
    print(f"steer: {text}", file=sys.stderr)


# -- the command line


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="steer",
        description="Hold the wheel of a running MPI program.",
        epilog="`steer COMMAND --help` explains a command. In Python: "
        "`steer.Client()` connects to what `steer start` has started.",
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="print the version, and end"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_run(commands)
    _add_start(commands)
    _add_engines(commands)
    _add_list(commands)
    _add_stop(commands)
    _add_clean(commands)
    _add_launchers(commands)
    _add_kernels(commands)
    _add_attach(commands)
    _add_journal(commands)
    if argv[:1] in (["run"], ["replay"]):  # what looks like a setting is the program's
        return parser.parse_args(argv)
    return parser.parse_args([_plain(word, parser) for word in argv])


def _plain(word: str, parser: argparse.ArgumentParser) -> str:
    """`--Hub.port=5555` as `--port=5555`."""
    trait, equals, value = word.removeprefix("--").partition("=")
    if not word.startswith("--") or "." not in trait or not trait[0].isupper():
        return word
    if trait not in _TRAITS:
        parser.error(f"there is no setting {trait}; there are {', '.join(_TRAITS)}.")
    if not equals:
        parser.error(f"{word} needs a value: {word}=VALUE.")
    return f"--{_TRAITS[trait]}={value}"


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"steer {version('mpi-steer')}")
        parser.exit()


def _count(text: str) -> int:
    return _whole_number(text, 1, None)


def _port(text: str) -> int:
    return _whole_number(text, 0, 65535)


def _whole_number(text: str, least: int, most: int | None) -> int:
    wanted = f"of at least {least}" if most is None else f"from {least} to {most}"
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least or (most is not None and number > most):
        raise argparse.ArgumentTypeError(f"must be a number {wanted}, not {text!r}")
    return number


def _add(commands: Any, name: str, run: Any, text: str, more: str = "") -> Any:
    parser = commands.add_parser(name, help=text, description=f"{text}. {more}".strip())
    parser.set_defaults(run=run)
    return parser


def _add_place(parser: argparse.ArgumentParser, *, cluster: bool = True) -> None:
    parser.add_argument("--profile", default="", help="IPython's profile")
    parser.add_argument("--profile-dir", help="the profile's folder itself")
    if cluster:
        parser.add_argument(
            "--cluster-id", default="", metavar="ID", help="the cluster's name"
        )


def _add_job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-n", "--n", type=_count, help="how many engines; default: one for each core"
    )
    parser.add_argument(
        "--engines",
        "--launcher",
        metavar="HOW",
        help='how they are started: "mpi" (the default), "local" (without MPI), a '
        "recipe's name or file; `steer launchers` lists them",
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the recipe, such as hosts=node1,node2",
    )
    parser.add_argument("--cwd", metavar="FOLDER", help="where the engines run")
    parser.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="how long engines have to be there; default: 60",
    )


def _add_run(commands: Any) -> None:
    from steer.client.runcommand import add_run

    add_run(commands, _add_job, _options)


def _add_journal(commands: Any) -> None:
    from steer.client.journalcommands import add_journal, add_replay

    add_journal(commands)
    add_replay(commands, _add_job, _options)


def _add_start(commands: Any) -> None:
    parser = _add(
        commands,
        "start",
        _start,
        "Start a cluster in the background",
        "It runs until `steer stop`, also when this terminal is closed.",
    )
    _add_job(parser)
    _add_place(parser)
    parser.add_argument(
        "--ip",
        default="",
        help="listen for other hosts too, encrypted, on this address",
    )
    parser.add_argument(
        "--port", type=_port, default=0, help="the port for that; default: a free one"
    )
    parser.add_argument(
        "--location", default="", metavar="HOST", help="how other hosts call this one"
    )
    parser.add_argument(
        "--restore",
        action="store_true",
        help="bring the hub back that died; its engines keep what they have",
    )
    parser.add_argument(
        "--foreground", action="store_true", help="stay, and stop it with Ctrl-C"
    )
    parser.add_argument("--daemonize", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "--log-level",
        default="info",
        choices=("debug", "info", "warning", "error"),
        help="of the hub's log; default: info",
    )


def _add_engines(commands: Any) -> None:
    parser = _add(commands, "engines", _engines, "Add engines to a running cluster")
    _add_job(parser)
    _add_place(parser)


def _add_list(commands: Any) -> None:
    parser = _add(commands, "list", _list, "List clusters, and what to do about them")
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="in what form"
    )
    parser.add_argument("--profile", help="only those of this profile")


def _add_stop(commands: Any) -> None:
    parser = _add(
        commands,
        "stop",
        _stop,
        "Stop clusters and leave nothing behind",
        'Without an ID: the one that `steer start` starts, "default".',
    )
    parser.add_argument("ids", nargs="*", metavar="ID", help="the clusters' names")
    parser.add_argument("--all", action="store_true", help="all that run")
    _add_place(parser)


def _add_clean(commands: Any) -> None:
    parser = _add(
        commands,
        "clean",
        _clean,
        "Remove what dead clusters have left",
        "Engines without a hub, files, sockets, logs, and shared memory of MPI that "
        "nobody uses.",
    )
    parser.add_argument(
        "--force", action="store_true", help="stop clusters that run, too"
    )


def _add_launchers(commands: Any) -> None:
    _add(commands, "launchers", _launchers, "List the ways to start engines")


def _add_kernels(commands: Any) -> None:
    from steer.kernel.commands import add_console, add_kernel

    add_kernel(commands)
    add_console(commands)


def _add_attach(commands: Any) -> None:
    from steer.magics.commands import add_attach

    add_attach(commands)


# -- starting


def _start(arguments: argparse.Namespace) -> int:
    import time

    began = time.monotonic()
    cluster = _cluster(arguments)
    if arguments.restore:
        cluster.start_controller_sync(restore=True)
        print(f"The hub of cluster {_name(cluster)!r} is back.")
    else:
        _start_all(cluster, began)
    return _stay(cluster) if arguments.foreground else 0


def _start_all(cluster: Cluster, began: float) -> None:
    import time

    line = _Line()
    try:
        cluster.start_cluster_sync()
        if cluster.replaced:
            line.print(cluster.replaced)
        try:
            cluster.wait_for_engines_sync(progress=line.progress)
        except BaseException as error:
            cluster.stop_cluster_sync(keep_logs=isinstance(error, Exception))
            raise
    finally:
        line.clear()
    one = cluster.engine_set
    assert one is not None
    took = time.monotonic() - began
    print(
        f"Started cluster {_name(cluster)!r}: {one.n} engines ({one.recipe}) "
        f"in {took:.1f} s. Stop it with `{_command('stop', cluster)}`."
    )


def _engines(arguments: argparse.Namespace) -> int:
    cluster = _cluster(arguments)
    if not cluster.controller.running:
        raise NoClusters(
            f"no cluster {_name(cluster)!r} is running. "
            f"Start it with `{_command('start', cluster)}`."
        )
    line = _Line()
    try:
        name = cluster.start_engines_sync()
        cluster.wait_for_engines_sync(progress=line.progress)
    finally:
        line.clear()
    one = cluster.engines[name]
    print(f"Added {one.n} engines ({one.recipe}) to cluster {_name(cluster)!r}.")
    return 0


def _stay(cluster: Cluster) -> int:
    """Tell what happens, until the cluster ends or the user wants it to."""
    import signal

    def leave(*_: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    print("Press Ctrl-C to stop it.", flush=True)
    try:
        for text in cluster.watch():
            print(text, flush=True)
    except KeyboardInterrupt:
        print("Stopping.", flush=True)
    cluster.stop_cluster_sync()
    return 0


def _cluster(arguments: argparse.Namespace) -> Cluster:
    from steer.client.cluster import Cluster

    return Cluster(
        n=arguments.n,
        engines=arguments.engines,
        profile=arguments.profile,
        profile_dir=arguments.profile_dir,
        cluster_id=_id(arguments.cluster_id),
        options=_options(arguments.option),
        cwd=arguments.cwd,
        engine_timeout=arguments.timeout,
        ip=getattr(arguments, "ip", ""),
        port=getattr(arguments, "port", 0),
        location=getattr(arguments, "location", ""),
        log_level=getattr(arguments, "log_level", "info"),
        shutdown_atexit=False,
    )


def _options(words: Sequence[str]) -> dict[str, str]:
    from steer.errors import UsageError

    options = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"--option {word} has no value; write NAME=VALUE.")
        options[name] = value
    return options


def _id(text: str) -> str:
    """A cluster's id as its files have it: that of "default" is empty."""
    return "" if text == "default" else text


def _name(cluster: Cluster) -> str:
    return cluster.cluster_id or "default"


def _command(verb: str, cluster: Cluster) -> str:
    words = ["steer", verb]
    if cluster.cluster_id:
        words += ["--cluster-id", cluster.cluster_id]
    if cluster.profile not in ("", "default"):
        words += ["--profile", cluster.profile]
    return " ".join(words)


class _Line:
    """One line of a terminal that is written again and again; silent elsewhere."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty()
        if self._on:
            self._write("Starting the hub and the engines")

    def progress(self, here: int, n: int) -> None:
        if self._on and here < n:
            self._write(f"{here} of {n} engines are ready, the others start MPI")

    def print(self, text: str) -> None:
        self.clear()
        print(text)

    def clear(self) -> None:
        if self._on:
            self._write("")

    def _write(self, text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


# -- listing


def _list(arguments: argparse.Namespace) -> int:
    from steer.client.found import find_all

    rows = [_row(found) for found in find_all(arguments.profile)]
    if arguments.output == "json":
        import json

        print(json.dumps(rows, indent=1))
    elif not rows:
        print(
            "There are no clusters. `steer start -n 4` starts one, `steer run -n 4 "
            "sim.py` a program."
        )
    else:
        _print_table(rows)
    return 0


def _row(found: Found) -> dict[str, Any]:
    from steer.client.asking import what_is_there

    connection = found.connection
    state, engines, next_step = found.state.value, found.engines, found.next_step
    runs: list[dict[str, Any]] = []
    if found.state.value == "running":
        assert connection is not None
        here = what_is_there(connection)
        if here is not None:
            engines, runs = here
        else:
            state, next_step = "hung", "its hub does not answer; `steer stop` ends it"
    return {
        "cluster_id": found.name,
        "profile": found.files.profile or "default",
        "state": state,
        "running": state == "running",
        "engines": engines,
        "runs": runs,
        "processes_left": len(found.orphans),
        "launcher": found.launchers,
        "since": connection.started if connection else None,
        "host": connection.host if connection else "",
        "hub_pid": connection.hub_pid if connection else None,
        "cluster_file": str(found.files.connection),
        "next_step": found.problem or next_step,
    }


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    titles = ("CLUSTER", "PROFILE", "STATE", "ENGINES", "LAUNCHER", "SINCE")
    keys = ("cluster_id", "profile", "state", "engines", "launcher")
    table: list[tuple[str, ...]] = [titles]
    table += [(*(str(row[key]) for key in keys), _since(row["since"])) for row in rows]
    widths = [max(len(line[i]) for line in table) for i in range(len(titles))]
    for number, line in enumerate(table):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())
        for text in _more(rows[number - 1]) if number else ():
            print(f"    {text}")


def _more(row: dict[str, Any]) -> Iterator[str]:
    """What there is to say of a cluster besides."""
    if row["runs"]:
        from steer.client.runstate import summary

        yield from map(summary, row["runs"])
    if row["next_step"]:
        yield row["next_step"]


def _since(moment: float | None) -> str:
    import time

    if not moment:
        return ""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


# -- stopping


def _stop(arguments: argparse.Namespace) -> int:
    from steer.client.found import State, find_all

    if arguments.all:
        ended = (State.STALE, State.ELSEWHERE)
        wanted = [
            f for f in find_all(arguments.profile or None) if f.state not in ended
        ]
        if not wanted:
            raise NoClusters("no cluster is running.")
        for found in wanted:
            _stop_one(found)
        return 0
    for name in arguments.ids or [arguments.cluster_id]:
        _stop_one(_find(arguments, _id(name)))
    return 0


def _find(arguments: argparse.Namespace, name: str) -> Found:
    from pathlib import Path

    from steer.client.found import State, find_all, look
    from steer.config import ClusterFiles

    folder = arguments.profile_dir
    files = ClusterFiles(arguments.profile, name, Path(folder) if folder else None)
    found = look(files)
    if found.state is not State.STALE:
        return found
    running = [f.name for f in find_all() if f.state is State.RUNNING]
    if not running:
        raise NoClusters("no cluster is running.")
    raise NoClusters(
        f"no cluster {found.name!r} is running, but these are: {', '.join(running)}. "
        "`steer stop ID` stops one, `steer stop --all` all."
    )


def _stop_one(found: Found) -> None:
    from steer.client.asking import ask_to_end
    from steer.client.stopping import stop_cluster

    stop_cluster(found.files, ask_to_end, _complain)
    print(f"Stopped cluster {found.name!r}.")


def _clean(arguments: argparse.Namespace) -> int:
    from steer.client.cleaning import clean_cluster_files, clean_host

    done = clean_cluster_files(force=arguments.force) + clean_host()
    for text in done:
        print(text)
    if not done:
        print("There was nothing to clean.")
    return 0


# -- recipes


def _launchers(arguments: argparse.Namespace) -> int:
    from steer.errors import LaunchError
    from steer.launch.find import available
    from steer.launch.flavour import detect
    from steer.launch.recipe import load

    for name, path in available():
        try:
            text = load(path).description
        except LaunchError as error:
            text = f"cannot be used: {error}"
        print(f"{name:12} {text}\n{'':12} {path}")
    try:
        flavour = detect()
        print(f"MPI here: {flavour.title}, {flavour.mpiexec}")
    except LaunchError as error:
        print(f"MPI here: none. {error}")
    return 0
