"""What a rank asks, without a rank: the thread that asks, and the one that answers."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from steer.engines.prompts import Prompts
from steer.testing.waiting import wait_until
from steer.wire.frames import unpack
from steer.wire.messages import Typed


class Asker:
    """Prompts that say what they ask to a list, and threads that ask."""

    def __init__(self) -> None:
        self.said: list[tuple[int, str | None, bool]] = []
        self.prompts = Prompts()
        self.prompts._say = lambda body: self.said.append(tuple(unpack(body)))
        self.prompts.begin("a-1")

    def ask(self, text: str = "n? ", password: bool = False) -> Callable[[], str]:
        """Ask in a thread; gives what waits for its outcome."""
        outcome: list[str] = []

        def run() -> None:
            try:
                outcome.append(self.prompts.ask(text, password=password))
            except EOFError as error:
                outcome.append(f"EOF: {error}")

        asked = len(self.said)
        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: len(self.said) > asked, 5, "the question")

        def wait() -> str:
            thread.join(5)
            return outcome[0]

        return wait

    def typed(self, number: int, text: bytes, request: str = "a-1", closed: str = ""):
        self.prompts.typed(Typed(request, "0", number, closed), [text])


@pytest.fixture
def asker():
    return Asker()


def test_what_is_typed_comes_back(asker):
    answer = asker.ask("who? ", password=True)
    assert asker.said == [(1, "who? ", True)]
    asker.typed(1, "Zoë".encode())
    assert answer() == "Zoë"
    assert list(asker.prompts.open()) == []


def test_answers_to_others_are_left(asker):
    answer = asker.ask()
    asker.typed(2, b"another number")
    asker.typed(1, b"another request", request="a-9")
    asker.typed(1, b"mine")
    asker.typed(1, b"twice")
    assert answer() == "mine"


def test_numbers_begin_anew_with_each_request(asker):
    first = asker.ask()
    asker.typed(1, b"x")
    first()
    second = asker.ask()
    assert asker.said[-1][0] == 2
    asker.typed(2, b"y")
    second()
    asker.prompts.begin("a-2")
    third = asker.ask()
    assert asker.said[-1][0] == 1
    asker.typed(1, b"z", request="a-2")
    assert third() == "z"


def test_the_end_of_a_request_ends_its_questions(asker):
    answer = asker.ask()
    asker.prompts.end()
    assert answer().startswith("EOF: The request that asked this is over")
    with pytest.raises(EOFError, match="none runs now"):
        asker.prompts.ask("n? ", password=False)


def test_where_nobody_can_type_the_code_gets_eof(asker):
    answer = asker.ask()
    asker.typed(1, b"", closed="Nobody is there.")
    assert answer() == "EOF: Nobody is there."


def test_an_interrupt_says_that_it_asks_no_more(asker):
    def interrupted(body: bytes) -> None:
        asker.said.append(tuple(unpack(body)))
        if len(asker.said) == 1:
            raise KeyboardInterrupt

    asker.prompts._say = interrupted
    with pytest.raises(KeyboardInterrupt):
        asker.prompts.ask("n? ", password=False)
    assert asker.said == [(1, "n? ", False), (1, None, False)]
    assert list(asker.prompts.open()) == []


def test_open_questions_are_known_to_be_asked_again(asker):
    answer = asker.ask("half \ud800 ")
    ((request, body),) = asker.prompts.open()
    assert request == "a-1"
    assert tuple(unpack(body)) == (1, "half \\ud800 ", False)
    asker.typed(1, b"\xff")
    assert answer() == "�"
