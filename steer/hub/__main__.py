"""The hub's process: `python -m steer.hub --connection FILE`.

Engines are started before anything else is even imported: they need longer than we do.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from steer.config import Connection
from steer.errors import SteerError
from steer.hub.jobs import Jobs
from steer.log import configure
from steer.node.processes import Process, is_alive, same_process, start_time
from steer.node.watch import require_pidfd


def main() -> int:
    """Run a hub until it is told to stop."""
    arguments = _parse()
    path = Path(arguments.connection)
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a notebook's Ctrl-C is for its code
    try:
        configure(arguments.log_level)
        require_pidfd()
        return _run(path, arguments)
    except (SteerError, OSError) as error:
        print(f"steer hub: {error}", file=sys.stderr, flush=True)
        return 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steer.hub", description=__doc__)
    parser.add_argument("--connection", required=True, help="the connection file")
    parser.add_argument("--start", metavar="RECIPE", help="start engines at once")
    parser.add_argument("--n", type=int, default=1, help="how many engines")
    parser.add_argument("--options", default="{}", help="the recipe's options, as JSON")
    parser.add_argument("--cwd", help="where the engines run")
    parser.add_argument("--program", default="[]", help="what they run, as JSON")
    parser.add_argument("--stdio", default="[]", help="their descriptors, as JSON")
    parser.add_argument("--restore", action="store_true", help="take over running jobs")
    parser.add_argument("--owner", type=_process, metavar="PID:START", help="end with")
    parser.add_argument("--log-level", default=os.environ.get("STEER_LOG", "info"))
    return parser.parse_args()


def _process(text: str) -> Process:
    pid, _, began = text.partition(":")
    return Process(int(pid), int(began))


def _run(path: Path, arguments: argparse.Namespace) -> int:
    connection = Connection.read(path)
    folder = path.parent

    def store(jobs: list[object]) -> None:
        nonlocal connection
        connection = connection.replace(jobs=jobs)
        connection.write(path)

    jobs = Jobs(path, folder, store)
    if arguments.restore:
        jobs.adopt(connection.jobs)
    if arguments.start:
        options = json.loads(arguments.options)
        program, stdio = json.loads(arguments.program), json.loads(arguments.stdio)
        jobs.start(
            arguments.start,
            arguments.n,
            options,
            arguments.cwd,
            program=program,
            stdio=stdio,
        )
        for descriptor in stdio:
            os.close(descriptor)  # the end of the run's is the end for who reads them
    from steer.hub.serve import serve

    pid = os.getpid()

    def bound(port: int) -> None:
        nonlocal connection
        connection = connection.replace(
            hub_pid=pid, hub_began=start_time(pid) or 0, port=port
        )
        connection.write(path)

    owner: Process | None = arguments.owner
    serve(connection, folder, jobs, bound, owner, arguments.restore)
    if owner is not None and not (same_process(*owner) and is_alive(owner.pid)):
        shutil.rmtree(folder, ignore_errors=True)  # who would do it, or read it?
    return 0


if __name__ == "__main__":
    sys.exit(main())
