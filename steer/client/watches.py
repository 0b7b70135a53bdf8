"""Numbers of a run that are seen while it goes on, and conditions that stop it.

    residual = run.watch("residual")          # a curve that grows
    run.watch("isnan(u).any()", on="freeze")  # hold that rank when it happens
    run.until("residual < 1e-6")              # run on until then, and hold there

An expression is evaluated on every rank, in the frame of the loop, at every point or
every k-th. A watch belongs to the run, not to who asked for it: everybody who is
connected sees its numbers, and it goes on when he leaves.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from steer.client import curves
from steer.client.told import Told
from steer.errors import NotYet, PlanError, UsageError
from steer.wire.plans import Watch as Deed
from steer.wire.plans import encode_deed

if TYPE_CHECKING:
    from concurrent.futures import Future

    from steer.client.client import Client
    from steer.wire.messages import News
    from steer.wire.messages import Sample as Message

ON = ("freeze", "align", "collective")
RANKS_A_SECOND = 2000
"""Messages that a hub shall get from watches: many ranks send theirs less often."""
PERIOD = 0.1

_POINT = re.compile(r"\s*(?:step|point)\s*==?\s*([0-9]+)\s*")
_rows = msgspec.msgpack.Decoder(list[tuple[int, float, float, float, int, int]])

Listener = Callable[["Watch"], object]


class Watch:
    """One expression that is watched."""

    def __init__(self, run: Watching, number: int, text: str, every: int) -> None:
        self._run = run
        self.number = number
        """Of the plan that it is."""
        self.text = text
        self.every = every
        self.curve = curves.Curve(text)
        self.listeners: list[Listener] = []
        """Called in the I/O thread when there are new numbers."""
        self.ended = False
        self.changed = threading.Condition()

    @property
    def last(self) -> curves.Sample | None:
        """The latest numbers: point, least, median and most over ranks."""
        return self.curve.last

    def wait(self, n: int = 1, timeout: float | None = None) -> Watch:
        """Wait until numbers of n points have come; PlanError if the watch, or the run,
        ends before."""
        link, curve = self._run.client.link, self.curve

        def there_is_no_more_to_wait_for() -> bool:
            return curve.points >= n or self.ended or link.trouble is not None

        with self.changed:
            came = self.changed.wait_for(there_is_no_more_to_wait_for, timeout)
        if curve.points >= n:
            return self
        had = f"{self.text}: numbers of {curve.points} points have come"
        if not came:
            raise NotYet(f"{had} in {timeout:g} s, not {n}.")
        if self.ended:
            raise PlanError(f"{had}, and not {n}: it is not watched any more.")
        assert link.trouble is not None
        raise link.trouble.with_traceback(None)

    def end(self) -> None:
        """Watch it no more; what was seen stays here."""
        self._run.unwatch(self.number)

    def end_here(self) -> None:
        """It is over: no more numbers will come. In the I/O thread."""
        self.ended = True
        self.wake()

    def wake(self) -> None:
        """Have those who wait look whether they still should."""
        with self.changed:
            self.changed.notify_all()

    def took(self, rows: list[tuple[int, float, float, float, int, int]]) -> None:
        """New numbers; in the I/O thread."""
        with self.changed:
            for row in rows:
                self.curve.add(curves.Sample(*row))
            self.changed.notify_all()
        for listener in list(self.listeners):
            listener(self)

    def __repr__(self) -> str:
        return curves.line(self.curve)

    def _ipython_display_(self) -> None:
        """Where a notebook can show it, the curve grows before one's eyes."""
        from steer.client import livecurve

        livecurve.show(self, self._run.client.link.call_later)


class Watches(Told, list[Watch]):
    """What is watched."""

    def __repr__(self) -> str:
        return "\n".join(map(repr, self)) or "Nothing is watched."


class Watching:
    """What a `Run` has of this."""

    client: Client
    name: str
    ask: Callable[..., Future[News]]
    do: Callable[..., News]
    status: Callable[[], dict[str, Any]]
    _watches: dict[int, Watch] | None = None

    def watch(
        self,
        expression: str = "",
        every: int = 1,
        on: str | None = None,
        *,
        label: str = "",
    ) -> Any:
        """Have an expression evaluated at points: a `Watch` that has its curve.

        With `on` it is a condition, and when it becomes true: "freeze" holds that rank,
        "align" stops all ranks a point or so later, "collective" stops all at that
        point, for which they have to talk to each other at each. Without an expression:
        all that is watched, by whomever.
        """
        self._take_numbers()
        if not expression.strip():
            return Watches(self._known().values())
        expression, every = _checked(expression, every)
        if on is not None and on not in ON:
            raise UsageError(f"on is one of {', '.join(ON)}, not {on!r}.")
        text = f"{on} when {expression}" if on else expression
        for watch in self._known().values():
            if (watch.text, watch.every) == (text, every):
                return watch
        news = self._ask_for("plan", Deed(expression, on or "", period=self._period()),
                             text, every, label=label)  # fmt: skip
        return self._watch_of(news.facts["plan"], text, every)

    def unwatch(self, expression: str | int | Watch = "") -> None:
        """Watch an expression no more, or the one of that number; without one, none."""
        known = self._known()
        if isinstance(expression, Watch):
            expression = expression.number
        wanted = str(expression).strip()
        doomed = [
            watch for watch in known.values() if not wanted or wanted in _names(watch)
        ]
        if wanted and not doomed:
            watched = ", ".join(f"{w.number}: {w.text}" for w in known.values())
            raise UsageError(
                f"{wanted} is not watched; there is {watched or 'nothing'}."
            )
        for watch in doomed:
            self.do("unplan", plan=watch.number)

    def until(
        self,
        condition: str,
        every: int = 1,
        on: str = "align",
        *,
        label: str = "",
        timeout: float | None = None,
    ) -> News:
        """Run until a point, `step=5000`, or until a condition is met, `residual<1e-6`,
        and hold there.

        It is looked at on every rank. With "align" all hold a point or so after one
        has met it, with "collective" at that very point, as with `watch`.
        """
        if (match := _POINT.fullmatch(condition)) is not None:
            return self.do("stop", timeout, point=int(match[1]), label=label)
        condition, every = _checked(condition, every)
        if on not in ON[1:]:
            raise UsageError(f"on is one of {', '.join(ON[1:])}, not {on!r}.")
        deed = Deed(condition, on, once=True)
        return self._ask_for("until", deed, f"until {condition}", every, timeout,
                             label=label)  # fmt: skip

    # -- helpers

    def _ask_for(
        self,
        verb: str,
        deed: Deed,
        text: str,
        every: int,
        timeout: float | None = None,
        *,
        label: str = "",
    ) -> News:
        news = self.do(
            verb, timeout, verb="watch", text=text, body=encode_deed(deed), every=every,
            label=label,
        )  # fmt: skip
        if news.kind == "dropped":
            raise PlanError(news.text)
        return news

    def _period(self) -> float:
        from steer.ranks import RankSet

        return max(PERIOD, len(RankSet.parse(self.status()["ranks"])) / RANKS_A_SECOND)

    def _known(self) -> dict[int, Watch]:
        """What is watched now."""
        known = {}
        for family in self.status()["families"]:
            for plan in family["plans"]:
                if plan["verb"] == "watch":
                    number = plan["plan"]
                    known[number] = self._watch_of(number, plan["text"], plan["every"])
        return known

    def _watch_of(self, number: int, text: str = "", every: int = 1) -> Watch:
        watches = self._take_numbers()
        watch = watches.get(number)
        if watch is None:
            watch = watches[number] = Watch(self, number, text, every)
        elif text:
            watch.text = watch.curve.name = text
            watch.every = every
        return watch

    def _take_numbers(self) -> dict[int, Watch]:
        """Take numbers from now on: they may come before we know what they are of."""
        if self._watches is None:
            self._watches = {}
            self.client.link.steering.takers.append(self._took)
            self.client.link.steering.listeners.append(self._told)
            self.client.link.steering.mourners.append(self._hub_is_gone)
        return self._watches

    def watched(self) -> list[Watch]:
        """What is watched, as far as its numbers have come here; asks nobody."""
        watches = list((self._watches or {}).values())
        return [watch for watch in watches if watch.text and not watch.ended]

    def _told(self, news: News) -> None:
        """A watch may have ended; in the I/O thread."""
        watches = self._watches or {}
        if news.run == self.name and news.kind == "over":
            doomed = list(watches.values())
        else:
            ends = [news.facts.get("ends")]
            if news.facts.get("over"):
                ends.append(news.facts.get("plan"))
            doomed = [watch for number, watch in watches.items() if number in ends]
        for watch in doomed:
            watch.end_here()

    def _hub_is_gone(self) -> None:
        for watch in list((self._watches or {}).values()):
            watch.wake()

    def _took(self, message: Message, body: bytes) -> None:
        """Numbers have come; in the I/O thread."""
        if message.run == self.name:
            self._watch_of(message.watch).took(_rows.decode(body))


def _names(watch: Watch) -> tuple[str, ...]:
    """What a watch may be called."""
    return watch.text, str(watch.number)


def _checked(expression: str, every: Any) -> tuple[str, int]:
    expression = expression.strip()
    try:
        compile(expression, "<watch>", "eval", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"{expression!r} is no expression: {error}.") from None
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise UsageError(f"every is a number of points from 1 on, not {every!r}.")
    return expression, every
