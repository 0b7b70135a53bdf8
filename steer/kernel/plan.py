"""What a kernel starts or attaches to, as options of a command line and back.

The same options stand in a kernelspec's argv, in `steer kernel install`, and in what
starts the kernel of a console; what is not ours among them is ipykernel's.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field

from steer.errors import UsageError

__all__ = ["Plan", "add_job", "add_place", "options_of", "parse", "plan_of"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The ranks that a kernel's cells run on."""

    n: int | None = None
    engines: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    cwd: str | None = None
    timeout: float = 60.0
    profile: str = ""
    profile_dir: str | None = None
    cluster_id: str | None = None
    """The running cluster to attach to; None: start one that ends with the kernel."""
    connection: str | None = None
    """Its connection file, where that is known."""
    ranks: str = ""
    """The ranks that cells run on if they do not say otherwise; empty for all."""
    owner: int | None = None
    """The process that the kernel does not outlive."""
    ready: int | None = None
    """A descriptor to which a byte is written when it listens."""

    @property
    def cluster(self) -> str:
        """The cluster's name as its files have it: that of "default" is empty."""
        return "" if self.cluster_id in (None, "default") else str(self.cluster_id)

    @property
    def attaches(self) -> bool:
        """Whether the cluster is somebody else's."""
        return self.cluster_id is not None or self.connection is not None


def add_job(parser: argparse.ArgumentParser) -> None:
    """Options for the ranks that are started."""
    add = parser.add_argument
    add("-n", "--n", type=_count, help="how many ranks; default: one for each core")
    add("--launcher", "--engines", dest="engines", metavar="HOW",
        help='how they are started: "mpiexec" (the default), "local" (without MPI), a '
        "recipe's name or file; `steer launchers` lists them")  # fmt: skip
    add("--option", action="append", default=[], metavar="NAME=VALUE",
        help="an option of the recipe, such as hosts=node1,node2")  # fmt: skip
    add("--cwd", metavar="FOLDER",
        help="where the ranks run; default: the notebook's folder")  # fmt: skip
    add("--timeout", type=float, default=60.0, metavar="SECONDS",
        help="how long the ranks have to be there; default: 60")  # fmt: skip


def add_place(parser: argparse.ArgumentParser) -> None:
    """Options for the cluster that is meant."""
    add = parser.add_argument
    add("--profile", default="", help="IPython's profile")
    add("--profile-dir", metavar="FOLDER", help="the profile's folder itself")
    add("--cluster-id", metavar="ID",
        help='attach to the running cluster of this name ("default" is the one of '
        "`steer start`), instead of starting one")  # fmt: skip


def plan_of(arguments: argparse.Namespace) -> Plan:
    """What was asked for on a command line."""
    found = vars(arguments)
    plan = Plan(
        n=found.get("n"),
        engines=found.get("engines"),
        options=dict(map(_pair, found.get("option") or ())),
        cwd=found.get("cwd"),
        timeout=found.get("timeout", 60.0),
        profile=found["profile"],
        profile_dir=found["profile_dir"],
        cluster_id=found["cluster_id"],
        connection=found.get("connection"),
        ranks=found.get("ranks") or "",
        owner=found.get("owner"),
        ready=found.get("ready"),
    )
    started = plan.n is not None or plan.engines is not None or plan.options
    if plan.attaches and started:
        raise UsageError(
            "A kernel starts ranks (--n, --launcher, --option) or attaches to a "
            "running cluster (--cluster-id), not both."
        )
    return plan


def options_of(plan: Plan) -> list[str]:
    """The words that `parse` makes this plan of."""
    words: list[str] = []
    facts = {
        "--n": plan.n,
        "--launcher": plan.engines,
        "--cwd": plan.cwd,
        "--timeout": None if plan.timeout == 60.0 else f"{plan.timeout:g}",
        "--profile": plan.profile or None,
        "--profile-dir": plan.profile_dir,
        "--cluster-id": plan.cluster_id,
        "--connection": plan.connection,
        "--ranks": plan.ranks or None,
        "--owner": plan.owner,
        "--ready": plan.ready,
    }
    for name, value in facts.items():
        if value is not None:
            words.append(f"{name}={value}")
    words += [f"--option={name}={value}" for name, value in plan.options.items()]
    return words


def parse(words: Sequence[str]) -> tuple[Plan, list[str]]:
    """A kernel's command line: the plan, and what ipykernel has to read."""
    parser = argparse.ArgumentParser(
        prog="python -m steer.kernel", allow_abbrev=False, add_help=False
    )
    add_job(parser)
    add_place(parser)
    parser.add_argument("--connection")
    parser.add_argument("--ranks")
    parser.add_argument("--owner", type=int)
    parser.add_argument("--ready", type=int)
    arguments, rest = parser.parse_known_args(list(words))
    return plan_of(arguments), rest


def _count(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a number of at least 1, not {text!r}")


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise UsageError(f"--option {word} has no value; write NAME=VALUE.")
    return name, value
