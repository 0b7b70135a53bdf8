"""The rank's process: `mpiexec -n 4 python -m steer.engines`.

It registers at once, and starts MPI behind that, so that a slow start of MPI is seen as
such. What it needs to know comes in the environment: STEER_CONNECTION, the connection
file; STEER_JOB, STEER_SIZE, what its launcher was asked for; STEER_LOCAL, if it runs
without MPI; STEER_PATH, where else the client imports from. Its command line may name a
program to run (`script.py`); when that is over, it goes on as any engine until all
ranks have come to the end.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import uuid as uuids
from typing import TYPE_CHECKING, Any

import zmq

from steer import importpath, sockets
from steer.config import Connection
from steer.engines import here, mpi, shrinking
from steer.engines.io import Wire
from steer.engines.namespace import Namespace
from steer.engines.output import Capture
from steer.engines.passing import Passing
from steer.engines.run import Runner
from steer.errors import LaunchError, SteerError
from steer.hosts import host_name, kernel
from steer.launch.script import Script, from_arguments
from steer.node.processes import start_time
from steer.wire.messages import VERSION, Ready, Register
from steer.wire.peers import peer_name

if TYPE_CHECKING:
    from steer.engines.steered import Steered

GOODBYE = 1.0
"""Seconds that MPI has to finalize: it waits for ranks that may be dead."""
LAST_GOODBYE = 15.0
"""The same behind a program: all ranks have come to its end, and are only slow."""


class Life:
    """One engine, from its first message to its last."""

    def __init__(self, connection: Connection) -> None:
        self.uuid = uuids.uuid4().hex[:16]
        self.local = bool(os.environ.get("STEER_LOCAL"))
        self.asked = int(os.environ.get("STEER_SIZE") or 1)
        self.place = mpi.environment_rank()
        self.ready = False
        self.replaces = shrinking.place_of(sys.argv[1:])
        if self.replaces is not None:
            rank, self.asked = self.replaces
            self.place = mpi.Place(rank, self.asked)
        script = None if self.replaces else from_arguments(sys.argv[1:])
        self.steered = _steered(script) if script is not None else None
        self.passing = Passing()
        url, keys = connection.endpoint()
        context: zmq.Context[Any] = zmq.Context()
        work = sockets.dealer(context, peer_name("work", self.uuid), url, keys)
        self.monitor = sockets.monitor(work)
        self.wire = Wire(context, url, keys, self.monitor, self.register, self.uuid)
        work.connect(url)
        self.capture = Capture(self.wire.loop, self._emit)
        self.namespace = Namespace()
        self.runner = Runner(work, self.wire, self.capture, self.namespace)
        if not self.local:
            self.runner.bars.share_with(self.place.size)
        here.current = self.runner
        self.wire.steered = self.steered
        if self.steered is not None:
            self.runner.eyes.held = self.steered.where_held

    def register(self) -> Register:
        """Who this is, as far as it is known now; in the I/O thread."""
        with self.wire.lock:
            known, engine = self.wire.core.known(), self.wire.core.engine
        pid = os.getpid()
        return Register(
            version=VERSION,
            uuid=self.uuid,
            pid=pid,
            began=start_time(pid) or 0,
            host=host_name(),
            boot=kernel(),
            job=os.environ.get("STEER_JOB", ""),
            rank=-1 if self.local else self.place.rank,
            size=1 if self.local else self.place.size,
            engine=engine,
            ready=self.ready,
            known=known,
            box=self.runner.tasks.box.fd,
            page=self.steered.fd if self.steered is not None else -1,
            run=self.steered.script.run if self.steered is not None else "",
            dump=self.runner.eyes.witness.fd,
        )

    def _emit(self, request: str, name: str, text: str) -> None:
        """Send what was printed; a program's own output goes where it always goes."""
        if request or not self.passing.told(name, text):
            self.wire.emit(request, name, text)

    def run(self) -> int:
        """Live."""
        if not self.local:
            # Under Open MPI ranks outlive a killed mpiexec as orphans.
            self.wire.watch_parent(os.getppid(), lambda: os._exit(1))
        faulthandler.enable(self.runner.eyes.witness.fd, all_threads=False)
        self.wire.start()
        try:
            self._get_ready()
        except LaunchError as error:
            print(error, file=self.capture.real_stderr, flush=True)
            return 2
        status = 0
        if self.steered is not None:
            status = self._run_program(self.steered)
        else:
            self.runner.run()
        self.capture.stop()
        self.wire.stop()
        self.runner.close(self.monitor)
        if not self.local:
            mpi.leave(GOODBYE if self.steered is None else LAST_GOODBYE, status)
        return status

    def _run_program(self, steered: Steered) -> int:
        """Run the user's program, then what is asked for, until all have ended.

        A rank that has failed ends at once, and its world with it, rather than let the
        others wait for it for ever; unless somebody wants to look into it.
        """
        place = max(self.place.rank, 0), self.asked
        self.passing.begin(self.capture)
        try:
            ending = steered.run(self.runner, self.passing, *place)
        finally:
            self.passing.end()
        if ending.error is None:
            self.runner.run()
        elif steered.script.post_mortem:
            self.runner.mourn(ending.error)
            with steered.in_ruins(self.namespace, ending.error):
                self.runner.run()
        else:
            self.capture.stop()
            self.wire.stop()
            os._exit(ending.status)
        return ending.status

    def _get_ready(self) -> None:
        """Start MPI and say so; nothing runs before the hub has answered."""
        ready = Ready(self.uuid, 0, 1)
        if not self.local:
            world = mpi.init()
            if self.replaces is not None:
                shrinking.join(self.place.rank)
                world = mpi.describe()
            ready = Ready(
                self.uuid,
                world.rank,
                world.size,
                library=world.library,
                segments=tuple(mpi.mapped_segments()),
                problem=mpi.explain_singletons(world, self.asked),
            )
        self.wire.ready(ready)
        self.ready = True


def _steered(script: Script) -> Steered:
    from steer.engines.steered import Steered  # most engines have no program

    return Steered(script)


def main() -> int:
    """Run an engine."""
    try:
        path = os.environ["STEER_CONNECTION"]
        connection = Connection.read(path)
    except KeyError:
        print("An engine needs STEER_CONNECTION, the path of its cluster's connection "
              "file; `steer engines` sets it.", file=sys.stderr)  # fmt: skip
        return 2
    except (SteerError, OSError) as error:
        print(f"This engine cannot reach its cluster: {error}", file=sys.stderr)
        return 2
    importpath.adopt()
    return Life(connection).run()


if __name__ == "__main__":
    sys.exit(main())
