"""The settings of `steer_config.py` as traitlets: types, help texts, defaults.

Only imported if there is such a file. Every name is also an argument of `Cluster`, with
the same default, where a value that is given is stronger.
"""

from __future__ import annotations

from typing import Any

from traitlets import Bool, Dict, Enum, Float, Int, Unicode
from traitlets.config import Configurable


class Cluster(Configurable):
    """How clusters of this profile are started."""

    n = Int(
        None, min=1, allow_none=True, help="How many engines; as many as cores if None."
    ).tag(config=True)
    engines = Unicode(
        "mpi",
        help='How engines are started: "mpi" (mpiexec), "local" (without MPI), '
        "the name of a recipe, or the path of one.",
    ).tag(config=True)
    options: Dict[str, Any] = Dict(
        help='The recipe\'s options, such as {"hosts": "a,b"}.'
    ).tag(config=True)
    environment: Dict[str, Any] = Dict(
        help="Variables for the hub and its engines, beside the inherited ones."
    ).tag(config=True)
    cwd = Unicode(None, allow_none=True, help="Where engines run; here if None.").tag(
        config=True
    )
    engine_timeout = Float(
        60.0, min=0, help="How many seconds engines have to be there."
    ).tag(config=True)
    shutdown_atexit = Bool(
        True, help="Whether a cluster ends with the program that started it."
    ).tag(config=True)


class Hub(Configurable):
    """Where the hub listens, and what it says."""

    ip = Unicode(
        "", help="The address to listen on for other hosts; empty: this host only."
    ).tag(config=True)
    port = Int(0, min=0, max=65535, help="The port for that; 0: a free one.").tag(
        config=True
    )
    location = Unicode(
        "", help="How other hosts call this one, if they do not know its name."
    ).tag(config=True)
    log_level = Enum(
        ("debug", "info", "warning", "error"), "info", help="Of the hub's log."
    ).tag(config=True)


ALL: tuple[type[Configurable], ...] = (Cluster, Hub)
