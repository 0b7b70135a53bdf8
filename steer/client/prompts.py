"""Questions of ranks, and the person who answers them.

What ranks ask (input, getpass) waits here until the main thread waits for a result, of
whichever request: then the person is asked, by Python's own input and getpass, which a
notebook has replaced by its own. Ranks that ask the same are answered at once. Where
nobody can type, the ranks are told so.

A question may come again, from a hub that was started anew or an engine that was cut
off: what was answered is sent again, and nobody is bothered.
"""

from __future__ import annotations

import builtins
import contextlib
import getpass
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from steer.ranks import RankSet
from steer.wire.messages import Typed

Send = Callable[[Typed, bytes], object]
Wake = Callable[[], object]
Where = dict[tuple[str, int], list[int]]
"""Engines by request and number."""

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
        self.while_asking: list[Callable[[], AbstractContextManager[object]]] = []
        """What is entered while a person is asked: live displays hold still."""
        self._send = send
        self._lock = threading.Lock()
        self._open: dict[str, dict[int, _Question]] = {}
        """By request and engine."""
        self._answers: dict[str, dict[tuple[int, int], _Answer]] = {}
        """By request, engine and number; as long as the request is under way."""
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
    ) -> None:
        """Some ranks ask something, perhaps again, or, without a text, no more."""
        if text is None:
            self.drop(request, engines)
            return
        again: dict[_Answer, list[int]] = {}
        with self._lock:
            answers = self._answers.get(request, {})
            for engine in engines:
                answer = answers.get((engine, number))
                if answer is not None:
                    again.setdefault(answer, []).append(engine)
                    continue
                asked = self._open.setdefault(request, {})
                asked[engine] = _Question(number, text, password)
            wake = self._wake if self._open else None
        for answer, some in again.items():
            self._tell(request, some, number, answer)
        if wake is not None:
            wake()

    def drop(self, request: str, engines: Iterable[int]) -> None:
        """These ranks ask nothing any more: they were interrupted, or have ended."""
        if request not in self._open:
            return
        with self._lock:
            asked = self._open.get(request, {})
            for engine in engines:
                asked.pop(engine, None)
            if not asked:
                self._open.pop(request, None)

    def forget(self, request: str) -> None:
        """A request is over."""
        if request not in self._open and request not in self._answers:
            return
        with self._lock:
            self._open.pop(request, None)
            self._answers.pop(request, None)

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
        with self._lock:
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
        chosen = self._oldest()
        if chosen is None:
            return 0.0
        question, where = chosen
        ranks = RankSet(engine for engines in where.values() for engine in engines)
        prompt = Prompt(ranks, question.text, question.password)
        try:
            with self._interruptible(where):
                self._answer_all(where, _Answer(self._ask_now(prompt)))
        except (EOFError, OSError, RuntimeError) as error:
            why = str(error) or type(error).__name__
            self._answer_all(where, _Answer("", f"{NOBODY}: {why}."))
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

    def _ask_now(self, prompt: Prompt) -> str:
        with contextlib.ExitStack() as stack:
            for hold_still in self.while_asking:
                stack.enter_context(hold_still())
            return self.ask_person(str(prompt), prompt.password)

    def _oldest(self) -> tuple[_Question, Where] | None:
        """A question, and who asks it."""
        first: _Question | None = None
        where: Where = {}
        with self._lock:
            for request, asked in self._open.items():
                for engine, question in sorted(asked.items()):
                    if (request, question.number) in self._declined[1]:
                        continue
                    first = first or question
                    if question[1:] == first[1:]:
                        key = request, question.number
                        where.setdefault(key, []).append(engine)
        return None if first is None else (first, where)

    def _answer_all(self, where: Where, answer: _Answer) -> None:
        for (request, number), engines in where.items():
            self._answer(request, engines, number, answer)

    def _answer(
        self, request: str, engines: list[int], number: int, answer: _Answer
    ) -> None:
        with self._lock:
            asked = self._open.get(request, {})
            engines = [
                engine
                for engine in engines
                if engine in asked and asked[engine].number == number
            ]
            answers = self._answers.setdefault(request, {})
            for engine in engines:
                del asked[engine]
                answers[engine, number] = answer
            if not asked:
                self._open.pop(request, None)
            if not answers:
                del self._answers[request]
        if engines:
            self._tell(request, engines, number, answer)

    def _tell(
        self, request: str, engines: list[int], number: int, answer: _Answer
    ) -> None:
        message = Typed(request, str(RankSet(engines)), number, answer.closed)
        text = answer.text.encode(errors="backslashreplace")
        self._send(message, text)
