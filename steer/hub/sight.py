"""Stacks of ranks of this host that cannot answer, read from outside.

A signal makes them write their stack into memory that is open here since they came
(`steer.witness`); a moment later it is read. The memory is kept until the process's end
has been told, so that what it wrote last can be told too.
"""

from __future__ import annotations

import linecache
import logging
from collections.abc import Callable

from steer.core.events import Event
from steer.core.hub import HubCore
from steer.core.outside import read_faulthandler, where_it_died
from steer.core.registry import Engine
from steer.core.sight import Outside, SeenOutside
from steer.eventloop import Loop
from steer.node.processes import Process
from steer.node.signals import send
from steer.wire.messages import Register
from steer.witness import SHOW, Witnessed

log = logging.getLogger("steer.hub")

FIRST_LOOK = 0.01
LONGEST = 0.4
"""Seconds until a process has had time to write, on a crowded machine too."""


class Outsight:
    """Sees ranks from outside."""

    def __init__(
        self, core: HubCore, loop: Loop, feed: Callable[[Event], None]
    ) -> None:
        self._core = core
        self._loop = loop
        self._feed = feed
        self._witnessed: dict[str, Witnessed] = {}

    def register(self, message: Register) -> None:
        """An engine has come."""
        if message.dump < 0 or message.uuid in self._witnessed:
            return
        engine = self._core.registry.engines.get(message.uuid)
        if engine is None or not self._core.registry.watchable(engine):
            return
        try:
            self._witnessed[message.uuid] = Witnessed(message.pid, message.dump)
        except OSError as error:
            log.debug("what %s writes cannot be had: %s", message.uuid, error)

    def ended(self, uuid: str) -> None:
        """Its process is no more, and that was told."""
        witnessed = self._witnessed.pop(uuid, None)
        if witnessed is not None:
            witnessed.close()

    def last_words(self, uuid: str) -> str:
        """Where it died, as the end of a sentence; empty if nothing is known of it."""
        witnessed = self._witnessed.get(uuid)
        if witnessed is None:
            return ""
        words = witnessed.last_words()
        died = where_it_died(words)
        if died:
            log.warning("a rank died of a signal:\n%s", words)
            return f" at {died}"
        age, seen = witnessed.last_note()
        before = f" {age:.0f} s before" if age >= 2 else ""
        return f"; it was last seen{before} at {seen}" if seen else ""

    def show(self, action: Outside) -> None:
        """Have engines write their stacks."""
        for id in action.engines:
            engine = self._core.registry.by_id.get(id)
            if engine is None or engine.uuid not in self._witnessed:
                continue
            witnessed = self._witnessed[engine.uuid]
            if stopped := witnessed.stopped():
                self._feed_soon(SeenOutside(id, "", halted=stopped))
                continue
            before = witnessed.size()
            starved = witnessed.starves()
            if starved:
                # When it has been given a core it answers by itself. If it never is,
                # there is its stack.
                self._feed_soon(SeenOutside(id, "", starved=True))
            if send(Process(engine.info.pid, engine.info.began), SHOW):
                self._await(engine, before, FIRST_LOOK, starved)

    def _feed_soon(self, event: Event) -> None:
        """Not from within the carrying out of the core's actions."""
        self._loop.call_soon(lambda: self._feed(event))

    def _await(self, engine: Engine, before: int, pause: float, starved: bool) -> None:
        self._loop.call_later(pause, lambda: self._read(engine, before, pause, starved))

    def _read(self, engine: Engine, before: int, pause: float, starved: bool) -> None:
        """Read what it wrote; its last line says that it is whole."""
        witnessed = self._witnessed.get(engine.uuid)
        if witnessed is None:
            return
        text = witnessed.since(before)
        if not _is_whole(text) and pause < LONGEST / 2:
            self._await(engine, before, pause * 2, starved)
            return
        frames = read_faulthandler(text)
        source = self._line(frames[-1]) if frames else ""
        halted = "" if frames else witnessed.halted()
        self._feed(SeenOutside(engine.id, text, source, starved, halted))

    def _line(self, frame: tuple[str, int, str]) -> str:
        """The source of a line: of a file, or of a cell."""
        file, number, _ = frame
        if file.startswith("<cell"):
            return self._core.sight.cells.line(file, number)
        return linecache.getline(file, number)


def _is_whole(text: str) -> bool:
    """Whether the outermost frame is there, or as many as are ever written."""
    last = text.rstrip("\n").rpartition("\n")[2]
    return text.endswith("\n") and ("_run_module_as_main" in last or "  ..." in last)
