"""Which host this is, and whether two processes see the same processes."""

from __future__ import annotations

import functools
import os
import socket


@functools.cache
def host_name() -> str:
    """The host's name; Slurm's virtual one where several nodes share a host."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


@functools.cache
def kernel() -> str:
    """The same for processes that can see each other's pids: boot id and pid
    namespace."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        return f"{boot}:{os.readlink('/proc/self/ns/pid')}"
    except OSError:  # no Linux: only the host itself is the same for sure
        return f"{host_name()}:{os.getpid()}"
