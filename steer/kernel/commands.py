"""`steer kernel …` and `steer console`: their options, and what they do.

Imported with the whole command line, so nothing of Jupyter's is imported here before a
command runs.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import Any

from steer.kernel.needs import from_extra
from steer.kernel.plan import add_job, add_place, plan_of

__all__ = ["add_console", "add_kernel"]


def add_kernel(commands: Any) -> None:
    """The subcommands of `steer kernel`."""
    text = "Install, list and remove Jupyter kernels whose cells run on ranks"
    parser = commands.add_parser("kernel", help=text, description=f"{text}.")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _add_install(verbs)
    text = "List the installed kernels"
    verb = verbs.add_parser("list", help=text, description=f"{text}.")
    verb.set_defaults(run=_list)
    text = "Remove a kernel; what runs with it goes on"
    verb = verbs.add_parser("remove", help=text, description=f"{text}.")
    verb.add_argument("names", nargs="+", metavar="NAME")
    verb.set_defaults(run=_remove)


def _add_install(verbs: Any) -> None:
    text = "Add a kernel to Jupyter"
    parser = verbs.add_parser(
        "install",
        help=text,
        description=f"{text}. Each notebook with it starts ranks of its own, which "
        "end with it; with --cluster-id it attaches to a running cluster, which goes "
        "on.",
    )
    add_job(parser)
    add_place(parser)
    parser.add_argument("--name", default="steer", help='default: "steer"')
    parser.add_argument(
        "--display-name", default="", metavar="TEXT", help="what notebooks show"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--user", action="store_true", help="for this user, whatever the environment"
    )
    where.add_argument(
        "--sys-prefix",
        action="store_true",
        help="for this Python environment (the default inside of one)",
    )
    where.add_argument("--prefix", metavar="DIR", help="for the environment in DIR")
    parser.set_defaults(run=_install)


def add_console(commands: Any) -> None:
    """The command `steer console`."""
    text = "Open a Jupyter console on ranks of a running cluster"
    parser = commands.add_parser(
        "console",
        help=text,
        description=f"{text}. Leaving it ends nothing of the cluster.",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--rank", dest="ranks", metavar="RANK", help="one rank")
    where.add_argument("--ranks", metavar="RANKS", help="some, such as 0-2,5")
    add_place(parser)
    parser.add_argument(
        "--existing",
        action="store_true",
        help="do not open it here: say how other front ends open it",
    )
    parser.set_defaults(run=_console)


# -- what they do


def _install(arguments: argparse.Namespace) -> int:
    spec = _spec()
    plan = plan_of(arguments)
    prefix, user = arguments.prefix, arguments.user
    in_environment = sys.prefix != sys.base_prefix
    if prefix is None and not user and (arguments.sys_prefix or in_environment):
        prefix = sys.prefix
    where = spec.install(
        plan,
        name=arguments.name,
        display_name=arguments.display_name,
        user=prefix is None,
        prefix=prefix,
    )
    _say(f"Installed the kernel {arguments.name!r} in {where}.")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    rows = list(_spec().installed())
    if not rows:
        _say("There are no kernels of Steer's. `steer kernel install -n 4` adds one.")
    for one in rows:
        _say(f"{one.name:16} {one.display_name}")
        _say(f"{'':16} {shlex.join(one.options) or 'a rank for each core'}")
        _say(f"{'':16} {one.folder}")
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    spec = _spec()
    for name in arguments.names:
        _say(f"Removed {spec.remove(name)}.")
    return 0


def _spec() -> Any:
    with from_extra("kernel"):
        from steer.kernel import spec
    return spec


def _console(arguments: argparse.Namespace) -> int:
    from steer.client.client import Client
    from steer.magics.targets import parse

    plan = plan_of(arguments)
    with Client(
        profile=plan.profile,
        profile_dir=plan.profile_dir,
        cluster_id=plan.cluster,
    ) as client:
        found = parse(plan.ranks or "all", client.ids, client.groups, client.link.gone)
        if arguments.existing:
            return _existing(client.direct_view(found))
        connection = client.link.connection
    with from_extra("console"):
        from steer.kernel.console import open_console

    open_console(connection, plan.ranks)
    return 0


def _existing(view: Any) -> int:
    import signal

    with view.console():
        _say("Press Ctrl-C to end it.")
        ends = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, ends)
        signal.sigwait(ends)
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
