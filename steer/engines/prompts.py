"""Questions that code on this rank asks whoever sits at the client: input and getpass.

A rank has no keyboard. `input(text)` sends its text behind what was printed before and
waits, in the thread that asks, until the I/O thread brings what was typed (`typed`). An
interrupt ends the waiting like any other code. Ranks that run the same code ask under
the same number with the same text, and the hub makes one question of that.

A question stays until it is answered, given up or its request is over; a hub that is
new, or was cut off, hears it again (`open`), and the client drops what it knows.
"""

from __future__ import annotations

import builtins
import getpass
import io
import itertools
import os
import queue
import sys
from collections.abc import Callable, Iterator, Sequence

import msgspec

from steer.wire.frames import pack
from steer.wire.messages import Typed

Say = Callable[[bytes], None]

NO_KEYBOARD = (
    "sys.stdin cannot be read on a rank: it has no keyboard. input(text) asks the "
    "person at the client."
)
OVER = "The request that asked this is over; nobody will answer any more."
NO_REQUEST = (
    "input() asks the client whose request runs, and none runs now: ask in the code of "
    "a request, or push the answer."
)


class _Question(msgspec.Struct, frozen=True):
    """What somebody waits for."""

    body: bytes
    answer: queue.SimpleQueue[str | EOFError]


class Prompts:
    """The questions of one rank."""

    def __init__(self) -> None:
        self._say: Say = lambda body: None
        self._request = ""
        self._numbers = itertools.count(1)
        self._waiting: dict[tuple[str, int], _Question] = {}

    def install(self, say: Say) -> None:
        """Let input, getpass and sys.stdin be what they can be on a rank; `say` sends
        what is asked."""
        self._say = say

        def input(prompt: object = "", /) -> str:
            """Ask the person at the client; what is typed comes back without its
            end."""
            return self.ask(str(prompt), password=False)

        def ask_password(prompt: str = "Password: ", *_: object, **__: object) -> str:
            """Ask the person at the client, who types unseen."""
            return self.ask(str(prompt), password=True)

        builtins.input = input
        getpass.getpass = ask_password
        # Under mpiexec rank 0 has the terminal of who started it, and would wait for
        # it; so would children.
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        sys.stdin = _NoKeyboard()

    # -- in the thread that runs user code

    def begin(self, request: str) -> None:
        """What is asked from now on belongs to this request."""
        self._request = request
        self._numbers = itertools.count(1)

    def end(self) -> None:
        """The request is over: threads that it left behind ask in vain."""
        self._request = ""
        for question in list(self._waiting.values()):
            question.answer.put(EOFError(OVER))

    def ask(self, text: str, *, password: bool) -> str:
        """Ask, and wait for what is typed; EOFError if nobody can be asked."""
        request = self._request
        if not request:
            raise EOFError(NO_REQUEST)
        text = text.encode(errors="backslashreplace").decode()
        number = next(self._numbers)
        body = pack((number, text, password))
        question = _Question(body, queue.SimpleQueue())
        self._waiting[request, number] = question
        try:
            self._say(body)
            answer = question.answer.get()  # as long as a person takes
        except BaseException:
            self._say(pack((number, None, password)))  # it asks no more
            raise
        finally:
            del self._waiting[request, number]
        if isinstance(answer, EOFError):
            raise answer
        return answer

    # -- in the I/O thread

    def typed(self, message: Typed, frames: Sequence[bytes]) -> None:
        """A person has answered; perhaps what nobody asks any more."""
        question = self._waiting.get((message.id, message.number))
        if question is None:
            return
        if message.closed or not frames:
            question.answer.put(EOFError(message.closed))
        else:
            question.answer.put(bytes(frames[0]).decode(errors="replace"))

    def open(self) -> Iterator[tuple[str, bytes]]:
        """The request and body of each question that waits."""
        for (request, _), question in list(self._waiting.items()):
            yield request, question.body


class _NoKeyboard(io.TextIOBase):
    """`sys.stdin`, which says what to do instead of reading."""

    encoding = "utf-8"
    name = "<stdin>"
    mode = "r"

    def read(self, size: int | None = -1, /) -> str:
        """Say that it cannot."""
        raise io.UnsupportedOperation(NO_KEYBOARD)

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        """Say that it cannot."""
        raise io.UnsupportedOperation(NO_KEYBOARD)

    def fileno(self) -> int:
        """The descriptor that children inherit; it is empty."""
        return 0

    def isatty(self) -> bool:
        """No."""
        return False
