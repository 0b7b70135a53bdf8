"""The rank's process: `mpiexec -n 4 python -m steer.engines`.

It registers at once, and starts MPI behind that, so that a slow start of MPI is seen as
such. What it needs to know comes in the environment: STEER_CONNECTION, the connection
file; STEER_JOB, STEER_SIZE, what its launcher was asked for; STEER_LOCAL, if it runs
without MPI; STEER_PATH, where else the client imports from.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import uuid as uuids
from typing import Any

import zmq

from steer import importpath, sockets
from steer.config import Connection
from steer.engines import here, mpi
from steer.engines.io import Wire
from steer.engines.namespace import Namespace
from steer.engines.output import Capture
from steer.engines.run import Runner
from steer.errors import LaunchError, SteerError
from steer.hosts import host_name, kernel
from steer.node.processes import start_time
from steer.wire.messages import VERSION, Ready, Register
from steer.wire.peers import peer_name

GOODBYE = 1.0
"""Seconds that MPI has to finalize: it waits for ranks that may be dead."""


class Life:
    """One engine, from its first message to its last."""

    def __init__(self, connection: Connection) -> None:
        self.uuid = uuids.uuid4().hex[:16]
        self.local = bool(os.environ.get("STEER_LOCAL"))
        self.asked = int(os.environ.get("STEER_SIZE") or 1)
        self.place = mpi.environment_rank()
        self.ready = False
        url, keys = connection.endpoint()
        context: zmq.Context[Any] = zmq.Context()
        work = sockets.dealer(context, peer_name("work", self.uuid), url, keys)
        self.monitor = sockets.monitor(work)
        self.wire = Wire(context, url, keys, self.monitor, self.register, self.uuid)
        work.connect(url)
        self.capture = Capture(self.wire.loop, self.wire.emit)
        self.namespace = Namespace()
        self.runner = Runner(work, self.wire, self.capture, self.namespace)
        if not self.local:
            self.runner.bars.share_with(self.place.size)
        here.current = self.runner

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
        )

    def run(self) -> int:
        """Live."""
        if not self.local:
            # Under Open MPI ranks outlive a killed mpiexec as orphans.
            self.wire.watch_parent(os.getppid(), lambda: os._exit(1))
        faulthandler.enable(self.capture.real_stderr)
        self.wire.start()
        try:
            self._get_ready()
        except LaunchError as error:
            print(error, file=self.capture.real_stderr, flush=True)
            return 2
        self.runner.run()
        self.capture.stop()
        self.wire.stop()
        self.runner.close(self.monitor)
        if not self.local:
            mpi.leave(GOODBYE)
        return 0

    def _get_ready(self) -> None:
        """Start MPI and say so; nothing runs before the hub has answered."""
        ready = Ready(self.uuid, 0, 1)
        if not self.local:
            world = mpi.init()
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
