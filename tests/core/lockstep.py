"""Threads that take turns at every word of a page, in an order of chance.

So the code of `fences` and `points` itself runs in orders that nobody would meet by
waiting. One thread runs at a time; at each read and write a seed says who is next.
"""

from __future__ import annotations

import random
import threading


class Deadlock(AssertionError):
    """Nobody moved for a long time."""


class Lockstep:
    """Some threads, of which one runs."""

    def __init__(self, seed, most=40_000):
        self.random = random.Random(seed)
        self.gates = {}
        self.threads = {}
        self.errors = []
        self.left = most
        self.free = False

    def add(self, name, call):
        gate = self.gates[name] = threading.Semaphore(0)

        def run():
            gate.acquire()
            try:
                call()
            except BaseException as error:  # noqa: BLE001
                self.errors.append(error)
                self.free = True
            del self.gates[name]
            self._pass_on()

        self.threads[name] = threading.Thread(target=run, name=name, daemon=True)

    def run(self):
        for thread in self.threads.values():
            thread.start()
        self._pass_on()
        for thread in self.threads.values():
            thread.join(30)
            assert not thread.is_alive(), thread.name
        if self.errors:
            raise self.errors[0]

    def _pass_on(self):
        if self.free:
            for gate in list(self.gates.values()):
                gate.release()
        elif self.gates:
            self.random.choice(list(self.gates.values())).release()

    def switch(self):
        """Let chance say who is next."""
        if self.free:
            if self.errors:
                raise SystemExit
            return
        gate = self.gates.get(threading.current_thread().name)
        if gate is None:
            return
        self.left -= 1
        if self.left < 0:
            raise Deadlock("nothing came of many steps")
        # A few steps in a row make rare orders likelier than a coin at each one.
        if self.random.random() < 0.5:
            return
        self._pass_on()
        gate.acquire()
        if self.errors:
            raise SystemExit


class SteppedWords:
    """A page whose every access is a place to switch."""

    def __init__(self, lockstep, length=1024):
        self.words = [0] * length
        self.lockstep = lockstep

    def __getitem__(self, place):
        self.lockstep.switch()
        return self.words[place]

    def __setitem__(self, place, value):
        self.lockstep.switch()
        self.words[place] = value
