"""Watching processes: a descriptor that becomes readable when one ends, and how it did.

A `Watch` holds a pidfd. The loop polls it like a socket; nobody polls pids. Engines are
grandchildren of the hub (their parent is mpiexec), and no child of it at all after the
hub was restarted, so waitpid cannot tell how they ended. The kernel can, by several
doors that open and close as a dead process goes its way:

    running ---- ends ----> zombie ---- reaped by its parent ----> gone
                            our child: waitid             PIDFD_GET_INFO
                            any: /proc/PID/stat           (Linux 6.15)

Nothing here reaps: whoever owns a child (a `Popen`) still gets its status.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import struct
from dataclasses import dataclass

from steer.errors import UsageError
from steer.node.processes import Process, same_process, start_time, zombie_status

__all__ = ["Exit", "Watch", "describe", "require_pidfd"]
__all__ += ["same_process", "start_time"]

# struct pidfd_info of <linux/pidfd.h>, its first version of 64 bytes:
# mask, cgroupid, pid, tgid, ppid, eight user and group ids, exit_code.
_PIDFD_INFO = struct.Struct("=QQ3I8Ii")
_PIDFD_INFO_EXIT = 1 << 3
_PIDFD_GET_INFO = 3 << 30 | _PIDFD_INFO.size << 16 | 0xFF << 8 | 11  # _IOWR(0xFF, 11)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: by a status or by a signal; both None if nobody knows."""

    returncode: int | None = None
    signal: int | None = None

    @classmethod
    def from_status(cls, status: int) -> Exit:
        """Read a wait status, as waitpid and the kernel's tables give it."""
        if os.WIFSIGNALED(status):
            return cls(signal=os.WTERMSIG(status))
        return cls(returncode=os.WEXITSTATUS(status))

    @classmethod
    def from_returncode(cls, returncode: int) -> Exit:
        """Read subprocess's convention: a negative number is a signal."""
        if returncode < 0:
            return cls(signal=-returncode)
        return cls(returncode=returncode)


def describe(ended: Exit) -> str:
    """Say how a process ended, to stand behind its name: "was killed by SIGKILL"."""
    if ended.signal is not None:
        return f"was killed by {_signal_name(ended.signal)}"
    if ended.returncode is not None:
        return f"exited with status {ended.returncode}"
    return "ended"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have numbers only
        return f"signal {number}"


def require_pidfd() -> None:
    """Raise UsageError where processes cannot be watched; called when a hub starts."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError) as error:
        raise UsageError(
            "Steer cannot watch processes on this host, because it has no pidfd_open "
            f"({error}). Run the hub on Linux 5.3 or newer."
        ) from None


class Watch:
    """One process under watch; readable in a poller from the moment it ended.

    Raises ProcessLookupError when the process is gone already (or, with a start time,
    when the pid has passed to another one).
    """

    def __init__(self, pid: int, start_time: int | None = None) -> None:
        self.pid = pid
        self._fd = os.pidfd_open(pid)
        # Asked after the opening: what then has this start time is what we hold.
        if start_time is not None and not same_process(pid, start_time):
            self.close()
            raise ProcessLookupError(errno.ESRCH, f"process {pid} is another one now")
        self._exit: Exit | None = None

    @classmethod
    def on(cls, process: Process) -> Watch:
        """Watch exactly this process."""
        return cls(process.pid, process.start_time)

    def fileno(self) -> int:
        """The descriptor to poll for reading; -1 once closed."""
        return self._fd

    def how(self) -> Exit | None:
        """How the process ended, as well as can be known; None while it runs."""
        if self._exit is None and self._fd != -1 and self._ended():
            self._exit = (
                self._as_child()
                or self._after_reaping()
                or self._as_zombie()
                or self._after_reaping()  # its parent may have come in between
                or Exit()
            )
        return self._exit

    def close(self) -> None:
        """Stop watching; what is known about the end stays known."""
        if self._fd != -1:
            os.close(self._fd)
            self._fd = -1

    def _ended(self) -> bool:
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        return bool(poller.poll(0))

    def _as_child(self) -> Exit | None:
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            result = os.waitid(os.P_PIDFD, self._fd, options)
        except ChildProcessError:
            return None
        if result is None:
            return None
        if result.si_code == os.CLD_EXITED:
            return Exit(returncode=result.si_status)
        return Exit(signal=result.si_status)

    def _after_reaping(self) -> Exit | None:
        info = bytearray(_PIDFD_INFO.size)
        struct.pack_into("=Q", info, 0, _PIDFD_INFO_EXIT)
        try:
            fcntl.ioctl(self._fd, _PIDFD_GET_INFO, info)
        except OSError:  # an older kernel, or one that did not keep it: not an answer
            return None
        mask, *_, status = _PIDFD_INFO.unpack(info)
        return Exit.from_status(status) if mask & _PIDFD_INFO_EXIT else None

    def _as_zombie(self) -> Exit | None:
        status = zombie_status(self.pid)
        return None if status is None else Exit.from_status(status)
