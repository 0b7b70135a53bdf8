"""Questions of ranks, and the person who answers them.

What ranks ask (input, getpass) waits here until the main thread waits for a result, of
whichever request: then the person is asked, by Python's own input and getpass, which a
notebook has replaced by its own. Where nobody can type, the ranks are told so.

A question is asked once for a request: the answer is that of all ranks that come to the
same question, early or late. A rank may also ask again because a hub was started anew
or a line was cut; it too gets the answer that was given.
"""

from __future__ import annotations

import builtins
import contextlib
import getpass
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from steer.client import live
from steer.ranks import RankSet
from steer.wire.messages import Typed

Send = Callable[[Typed, bytes], object]
Wake = Callable[[], object]
Where = dict[tuple[str, int], list[int]]
"""Engines by request and number."""

GATHER = 0.2
"""Seconds that a question waits for other ranks to ask the same: nobody types as
fast."""

NOBODY = "input() on a rank needs a person at the client, and nobody can type there"


class Prompt(NamedTuple):
    """A question, and the ranks that wait for its answer."""

    ranks: RankSet
    text: str
    password: bool

    def __str__(self) -> str:
        word = "ranks" if len(self.ranks) > 1 else "rank"
        return f"[{word} {self.ranks}] {self.text}"


class _Question(NamedTuple):
    """A question, of each rank that asks it under the same number."""

    number: int
    text: str
    password: bool


class _Answer(NamedTuple):
    """What became of a question."""

    text: str
    closed: str = ""


def ask_person(text: str, password: bool) -> str:
    """Ask whoever sits at this program."""
    if password:
        return getpass.getpass(text)
    return builtins.input(text)


class Prompts:
    """The questions of all requests of one client."""

    def __init__(self, send: Send) -> None:
        self.ask_person: Callable[[str, bool], str] = ask_person
        """How to ask; a kernel may have a way of its own."""
        self._send = send
        self._changed = threading.Condition()
        self._open: dict[str, dict[int, _Question]] = {}
        """By request and engine."""
        self._answers: dict[str, dict[_Question, _Answer]] = {}
        """By request, as long as it is under way."""
        self._awaited: dict[str, tuple[int, float]] = {}
        """How many ranks of a request may ask, and until when to wait for all."""
        self._declined: tuple[object, set[tuple[str, int]]] = (None, set())
        """What was interrupted, and the handler of the interrupt."""
        self._wake: Wake | None = None

    # -- in the I/O thread

    def heard(
        self,
        request: str,
        engines: Sequence[int],
        number: int,
        text: str | None,
        password: bool,
        *,
        left: int,
    ) -> None:
        """Some ranks ask something, perhaps again, or, without a text, no more.

        `left` is how many ranks of the request have not ended.
        """
        if text is None:
            self.drop(request, engines, number)
            return
        question = _Question(number, text, password)
        with self._changed:
            answer = self._answers.get(request, {}).get(question)
            if answer is None:
                asked = self._open.setdefault(request, {})
                if not asked:
                    self._awaited[request] = left, time.monotonic() + GATHER
                asked.update(dict.fromkeys(engines, question))
            self._changed.notify_all()
            wake = self._wake
        if answer is not None:
            self._tell(request, engines, number, answer)
        elif wake is not None:
            wake()

    def drop(
        self, request: str, engines: Iterable[int], number: int | None = None
    ) -> None:
        """These ranks do not ask this any more, or, without a number, anything."""
        if request not in self._open:
            return
        with self._changed:
            asked = self._open.get(request, {})
            for engine in engines:
                if engine in asked and number in (None, asked[engine].number):
                    del asked[engine]
            if not asked:
                self._open.pop(request, None)
            self._changed.notify_all()

    def forget(self, request: str) -> None:
        """A request is over."""
        if request in self._awaited:
            with self._changed:
                for known in (self._open, self._answers, self._awaited):
                    known.pop(request, None)

    # -- in the thread that waits

    @contextlib.contextmanager
    def attended(self, wake: Wake) -> Iterator[bool]:
        """Whether this thread can ask; if so `wake` is called when there is news."""
        if threading.current_thread() is not threading.main_thread():
            yield False
            return
        if signal.getsignal(signal.SIGINT) is not self._declined[0]:
            self._declined = (None, set())
        before, self._wake = self._wake, wake
        try:
            yield True
        finally:
            self._wake = before

    def __bool__(self) -> bool:
        """Whether there is something to ask."""
        return bool(self._open) and self._oldest() is not None

    def of(self, requests: Iterable[str]) -> list[Prompt]:
        """The questions of some requests that wait for an answer."""
        with self._changed:
            every = [self._open.get(request, {}) for request in requests]
        found: dict[tuple[str, bool], list[int]] = {}
        for asked in every:
            for engine, (_, text, password) in asked.items():
                found.setdefault((text, password), []).append(engine)
        return [Prompt(RankSet(some), *what) for what, some in found.items()]

    def ask(self) -> float:
        """Ask the person one question, outside of any lock; how long that took.

        All ranks that ask the same now are answered alike. Ctrl-C leaves the question
        open; what it means otherwise is for whoever handles it.
        """
        began = time.monotonic()
        chosen = self._gather()
        if chosen is None:
            return 0.0
        question, where = chosen
        ranks = RankSet(engine for engines in where.values() for engine in engines)
        prompt = Prompt(ranks, question.text, question.password)
        try:
            with self._interruptible(where):
                with live.aside():
                    typed = self.ask_person(str(prompt), prompt.password)
                self._answer(question, where, _Answer(typed))
        except (EOFError, OSError, RuntimeError) as error:
            why = str(error) or type(error).__name__
            self._answer(question, where, _Answer("", f"{NOBODY}: {why}."))
        return time.monotonic() - began

    @contextlib.contextmanager
    def _interruptible(self, where: Where) -> Iterator[None]:
        """Let Ctrl-C end the typing, then let it do what it would have done.

        A handler that raises nothing would leave the person in the question. Once it
        has been called, it is not asked again as long as that handler is there.
        """
        handler = signal.getsignal(signal.SIGINT)
        if not callable(handler) or handler is signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            yield
        except KeyboardInterrupt:
            self._declined = (handler, {*self._declined[1], *where})
            signal.signal(signal.SIGINT, handler)
            handler(signal.SIGINT, None)
        finally:
            signal.signal(signal.SIGINT, handler)

    def _gather(self) -> tuple[_Question, Where] | None:
        """A question, when all ranks ask something or have had a moment to."""
        with self._changed:
            while True:
                chosen = self._oldest()
                if chosen is None:
                    return None
                request, _ = next(iter(chosen[1]))
                ranks, until = self._awaited[request]
                wait = until - time.monotonic()
                if wait <= 0 or len(self._open[request]) >= ranks:
                    return chosen
                self._changed.wait(wait)

    def _oldest(self) -> tuple[_Question, Where] | None:
        """A question, and who asks it."""
        first: _Question | None = None
        where: Where = {}
        with self._changed:
            for request, asked in self._open.items():
                for engine, question in sorted(asked.items()):
                    if (request, question.number) in self._declined[1]:
                        continue
                    first = first or question
                    if question[1:] == first[1:]:
                        key = request, question.number
                        where.setdefault(key, []).append(engine)
        return None if first is None else (first, where)

    def _answer(self, question: _Question, where: Where, answer: _Answer) -> None:
        """Answer all who ask this now; who asks it later gets the same."""
        for request, number in where:
            mine = question._replace(number=number)
            with self._changed:
                asked = self._open.get(request, {})
                engines = [e for e, its in asked.items() if its == mine]
                if engines:
                    self._answers.setdefault(request, {})[mine] = answer
            if engines:
                self.drop(request, engines, number)
                self._tell(request, engines, number, answer)

    def _tell(
        self, request: str, engines: Sequence[int], number: int, answer: _Answer
    ) -> None:
        message = Typed(request, str(RankSet(engines)), number, answer.closed)
        text = answer.text.encode(errors="backslashreplace")
        self._send(message, text)
