"""How far loops on this rank are: `for step in steer.progress(range(1000)):`.

The loop only counts; the I/O thread looks at the count every INTERVAL, as long as it
moves, and sends what has changed. So an item costs a tenth of a microsecond, a loop of
a million items sends no more than one of ten, and an item that takes an hour wakes
nobody meanwhile.

A loop that is over leaves its bar to the next one of the same request: a loop in a loop
has one bar, however often it starts. Equal code on all ranks gives equal bars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from steer.engines import here
from steer.eventloop import Loop
from steer.wire.frames import pack

Item = TypeVar("Item")
State = tuple[str, int, int | None]
"""Label, how many are done, how many there are."""

INTERVAL = 0.1
MOST = 2000
"""States a second that all ranks of a world may send: more would keep the hub busy."""


class Bar:
    """One loop's count."""

    __slots__ = ("done", "label", "over", "total")

    def __init__(self, label: str, total: int | None) -> None:
        self.label = label
        self.total = total
        self.done = 0
        self.over = False

    def state(self) -> State:
        """What is told of it."""
        return self.label, self.done, self.total


class Page:
    """The bars of one request, by number, and what was told of them."""

    def __init__(self, request: str) -> None:
        self.request = request
        self.bars: list[Bar] = []
        self.told: dict[int, State] = {}
        self.over = False

    def add(self, bar: Bar) -> None:
        """One more, perhaps in the place of one that is over."""
        for number, other in enumerate(self.bars):
            if other.over:
                self.bars[number] = bar
                return
        self.bars.append(bar)

    def news(self) -> list[bytes]:
        """What is to be told: states that were not told yet."""
        bodies = []
        for number, bar in enumerate(self.bars):
            state = bar.state()
            if self.told.get(number) != state:
                self.told[number] = state
                bodies.append(pack((number, *state)))
        return bodies


class Bars:
    """The bars of this rank; `send(request, body)` is called in the loop's thread."""

    def __init__(self, loop: Loop, send: Callable[[str, bytes], object]) -> None:
        self.resting = True
        """Whether nobody looks at the counts: who counts then says so (`wake`)."""
        self._interval = INTERVAL
        self._loop = loop
        self._send = send
        self._page = Page("")
        self._due = False

    # -- in the thread that runs user code

    def share_with(self, ranks: int) -> None:
        """Look more seldom if so many ranks may send at once."""
        self._interval = max(INTERVAL, ranks / MOST)

    def begin(self, request: str) -> None:
        """Bars from now on are this request's."""
        if self._page.bars or self._page.over:
            self._page = Page(request)
        else:
            self._page.request = request

    def end(self) -> list[bytes]:
        """The request is over: what is still to be told."""
        self._page.over = True
        return self._page.news()

    def lay_aside(self) -> Page:
        """The request waits while others run: its bars stand still."""
        page, self._page = self._page, Page("")
        return page

    def take_up(self, page: Page) -> None:
        """The request goes on."""
        self._page = page
        self.wake()

    @property
    def used(self) -> bool:
        """Whether the request had any: the loop's thread may be sending of them."""
        return bool(self._page.bars)

    def open(self, label: str, total: int | None) -> Bar:
        """A bar for a loop that begins."""
        bar = Bar(label, total)
        self._page.add(bar)
        self.wake()
        return bar

    def wake(self) -> None:
        """Have the counts looked at again."""
        self.resting = False
        self._loop.call_soon(self._arm)

    # -- in the loop's thread

    def _arm(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_later(self._interval, self._look)

    def _look(self) -> None:
        self._due = False
        page = self._page
        self.resting = True  # first: a count that moves behind our look wakes us again
        if page.over:
            return
        bodies = page.news()
        for body in bodies:
            self._send(page.request, body)
        if bodies:
            self.resting = False
            self._arm()


def progress(
    iterable: Iterable[Item], label: str = "", total: int | None = None
) -> Iterable[Item]:
    """The items; while a loop takes them on ranks, the client sees how far it is.

    `total` is the number of items, if `len` does not know it. Anywhere but on a rank
    it is the iterable itself.
    """
    if here.current is None:
        return iterable
    if total is None:
        try:
            total = len(iterable)  # type: ignore[arg-type]
        except TypeError:
            total = None
    label = str(label).encode(errors="backslashreplace").decode()
    return _counted(iterable, here.current.bars, label, total)


def _counted(
    iterable: Iterable[Item], bars: Bars, label: str, total: int | None
) -> Iterator[Item]:
    bar = bars.open(label, total)
    done = 0
    try:
        for item in iterable:
            yield item
            done += 1
            bar.done = done
            if bars.resting:
                bars.wake()
    finally:  # also when the loop was left early
        bar.over = True
        bars.wake()
