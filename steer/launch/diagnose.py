"""From the last words of a launcher to the next step of its user. Pure.

Launchers explain themselves at length, or not at all. A table of texts that people have
really met says in one sentence what helps. What is not in the table gets the plain
advice to read the log.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["MAKE_ROOM", "clean", "next_step"]

MAKE_ROOM = "Make room: /dev/shm or the disk is full (df -h /dev/shm /tmp)."
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
_RULE = re.compile(r"[=\-\s]*")


class _Known(NamedTuple):
    pattern: re.Pattern[str]
    advice: str


def _known(pattern: str, advice: str) -> _Known:
    return _Known(re.compile(pattern, re.IGNORECASE), advice)


# The first that matches speaks, so causes stand above what follows from them.
_TABLE = (
    _known(
        # MPICH's ranks get SIGBUS, and its mpiexec says the raw wait status.
        r"No space left on device|not enough space for|Bus error|EXIT CODE: 7\b",
        MAKE_ROOM,
    ),
    _known(
        r"attempt to run as root",
        "Start it as another user, or set OMPI_ALLOW_RUN_AS_ROOT=1 and "
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1.",
    ),
    _known(
        r"not enough slots",
        "Ask for fewer engines, or allow more than one on a core "
        "(Open MPI: --map-by :OVERSUBSCRIBE).",
    ),
    _known(
        r"unsupported PMI version",
        "This mpiexec belongs to another MPI than the one mpi4py loads: use the "
        "mpiexec of MPICH, or choose the library with $MPI4PY_LIBMPI.",
    ),
    _known(
        r"No module named '?steer",
        "Install Steer for the interpreter that runs the engines.",
    ),
    _known(
        r"No module named '?mpi4py",
        "Install mpi4py for the interpreter that runs the engines: "
        "pip install 'mpi-steer[mpich]'.",
    ),
    _known(
        r"cannot load MPI library|libmpi[\w.]*: cannot open shared object",
        "mpi4py finds no MPI library: pip install 'mpi-steer[mpich]', or name one in "
        "$MPI4PY_LIBMPI.",
    ),
    _known(
        r"could not be found|unable to find|could not (?:find|access) an executable"
        r"|execvp error|command not found|No such file or directory",
        "Check that the command, its interpreter and the file it names exist on every "
        "host.",
    ),
    _known(
        r"Resource temporarily unavailable|Cannot allocate memory|MemoryError",
        "Ask for fewer engines: the host is out of memory or processes (ulimit -u).",
    ),
    _known(
        r"Permission denied",
        "Check that you may run the command and write where it writes.",
    ),
)


def next_step(output: str) -> str | None:
    """What to do about a job that said this, or None if nothing better is known."""
    text = " ".join(output.split())  # Open MPI breaks its sentences at any word
    return next((row.advice for row in _TABLE if row.pattern.search(text)), None)


def clean(output: str) -> list[str]:
    """The lines of a log as plain text, without colours, rules and empty lines."""
    text = _ANSI.sub("", output).replace("\0", "")
    # A progress bar goes back to the start of its line: what stands there last counts.
    lines = (line.rstrip().rpartition("\r")[2] for line in text.split("\n"))
    return [line for line in lines if not _RULE.fullmatch(line)]
