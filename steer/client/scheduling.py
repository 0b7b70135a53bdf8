"""What is done to a run at points to come, while it goes on.

    run.set(dt=0.01)                      # all ranks switch at the same point
    run.at("+50", "checkpoint()")
    movie = run.every(100, "render()")
    movie.end()

Each answers as soon as all ranks have agreed on the point, with a `Plan`. Whether
parameters may be changed like that is asked of all ranks before any of them does it.
"""

from __future__ import annotations

import ast
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from steer.client import changes
from steer.client.parameters import RunParameters
from steer.client.runstate import plan_lines
from steer.client.told import Told
from steer.errors import NotYet, PlanError, UsageError
from steer.wire import payload
from steer.wire.plans import Call, Code, Deed, encode_deed, verb_of

if TYPE_CHECKING:
    from concurrent.futures import Future

    from steer.client.client import Client
    from steer.wire.messages import News

LONGEST = 60
"""Characters of code that people are shown."""

LARGEST = 1 << 20
"""Bytes of code, or of a function and its arguments. Data goes by `push`."""

LOOK = 2.0
"""Seconds without news after which a hub that is new is asked."""


class Plan(Told):
    """Something that is to be done at a point."""

    def __init__(self, run: Scheduling, news: News, reports: Reports) -> None:
        self._run = run
        self._reports = reports
        self.number: int = news.facts["plan"]
        self.numbers: list[int] = news.facts.get("plans", [self.number])
        """Several where a run has several loops, each with points of its own."""
        self.point = news.point
        """Where it is done first."""
        self.every: int = news.facts.get("every", 0)
        self.text = news.text

    def wait(self, timeout: float | None = None) -> Plan:
        """Wait until all ranks have done it; PlanError if it was not done, or failed on
        some."""
        if self.every:
            raise UsageError(f"Plan {self.number} has no end: it recurs until unplan.")
        reports = self._reports
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.done:
            left = LOOK if deadline is None else min(LOOK, deadline - time.monotonic())
            if left <= 0:
                raise NotYet(f"{self.text}; that is not done after {timeout:g} s.")
            if not reports.wait(left) and left == LOOK and self._is_unknown():
                raise PlanError(f"{self.text}; what became of that is not known.")
        ends = [reports.over(number) for number in self.numbers]
        text = "\n".join(news.text for news in ends if news is not None)
        if any(news and (news.kind == "dropped" or news.facts.get("errors"))
               for news in ends):  # fmt: skip
            raise PlanError(text)
        self.text = text
        return self

    @property
    def done(self) -> bool:
        """Whether it is over, in whichever way."""
        return all(self._reports.over(number) for number in self.numbers)

    def end(self, timeout: float | None = None) -> Plan | None:
        """Do it no more."""
        return self._run.unplan(self, timeout=timeout)

    def _is_unknown(self) -> bool:
        """Whether the hub knows nothing of it, as one that is new."""
        known = [plan["plan"] for plan in self._run.plans()]
        missing = not any(number in known for number in self.numbers)
        return missing and not self.done

    def __repr__(self) -> str:
        return self.text


class PlanList(Told, list[dict[str, Any]]):
    """What is planned."""

    def __repr__(self) -> str:
        return "\n".join(plan_lines(self)) or "Nothing is planned."


class Reports:
    """How plans ended, as the news say."""

    KEPT = 1000

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._over: dict[int, News] = {}
        self._planned: dict[int, News] = {}

    def heard(self, news: News) -> None:
        """In the I/O thread."""
        with self._changed:
            if news.kind == "planned":
                self._heard_plan(news.facts["plan"], news)
            elif news.facts.get("over"):
                self._ended(news.facts["plan"], news)

    def _heard_plan(self, number: int, news: News) -> None:
        known = self._planned.get(number)
        if known is not None and (known.text, known.point) != (news.text, news.point):
            self._over.pop(number, None)  # a number that an earlier hub gave out
        _keep(self._planned, number, news, self.KEPT)
        ends = news.facts.get("ends", 0)
        if not ends:
            return
        self._ended(number, news)  # all there is to it is that all know of it
        ended = self._planned.get(ends)
        if ended is None or self.over(ends):
            return
        if ended.facts.get("every") or news.point <= ended.point:
            text = f"{ended.text}; it was taken back"
            told = msgspec.structs.replace(ended, kind="dropped", text=text)
            self._ended(ends, told)

    def _ended(self, number: int, news: News) -> None:
        _keep(self._over, number, news, self.KEPT)
        self._changed.notify_all()

    def over(self, plan: int) -> News | None:
        """How it ended."""
        return self._over.get(plan)

    def wait(self, seconds: float) -> bool:
        """Wait until there is another one."""
        with self._changed:
            return self._changed.wait(seconds)

    def wait_for(self, plans: Sequence[int], seconds: float) -> bool:
        """Wait until these have ended; whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: all(map(self.over, plans)), seconds)


def _keep(kept: dict[int, News], number: int, news: News, most: int) -> None:
    """Keep the latest."""
    kept[number] = news
    while len(kept) > most:
        del kept[next(iter(kept))]


class Scheduling:
    """What a `Run` has of this."""

    client: Client
    name: str
    ask: Callable[..., Future[News]]
    do: Callable[..., News]
    status: Callable[[], dict[str, Any]]
    _reports: Reports | None = None

    # -- parameters

    @property
    def params(self) -> RunParameters:
        """The parameters of the program: what they are, and may be. In a notebook with
        ipywidgets they can be changed there."""
        return RunParameters(self)

    def set(
        self,
        changes_: Mapping[str, Any] | None = None,
        /,
        *,
        at: int | str | None = None,
        ranks: Any = None,
        label: str = "",
        timeout: float | None = None,
        **values: Any,
    ) -> Plan:
        """Change parameters on all ranks at the same point, while the run goes on.

        `at` is that point, or "+50"; otherwise it is done as soon as all can. Those
        that may differ from rank to rank are changed on some `ranks`, or take a list
        with a value for each.
        """
        wanted = {**(changes_ or {}), **values}
        deed, text = changes.make(wanted, self._ranks(), ranks)
        return self._plan(deed, text, at, label=label, timeout=timeout)

    # -- code

    def at(
        self,
        point: int | str,
        code: str | Callable[..., Any],
        *args: Any,
        label: str = "",
        timeout: float | None = None,
        **kwargs: Any,
    ) -> Plan:
        """Run code at a point, on all ranks, without stopping them: "+50" is that many
        from now. It works in the frame of the loop; a function may be given instead."""
        deed, text = _to_run(code, args, kwargs)
        return self._plan(deed, text, point, label=label, timeout=timeout)

    def every(
        self,
        n: int,
        code: str | Callable[..., Any],
        *args: Any,
        label: str = "",
        timeout: float | None = None,
        **kwargs: Any,
    ) -> Plan:
        """Run code at every n-th point from now on, on all ranks."""
        if type(n) is not int or n < 1:
            raise UsageError(f"every takes a number of points from 1 on, not {n!r}.")
        deed, text = _to_run(code, args, kwargs)
        return self._plan(deed, text, None, every=n, label=label, timeout=timeout)

    def plans(self) -> PlanList:
        """What is to be done at points to come."""
        families = self.status()["families"]
        return PlanList(plan for family in families for plan in family["plans"])

    def unplan(
        self, plan: int | Plan | None = None, *, timeout: float | None = None
    ) -> Plan | None:
        """Do a planned action no more; without one, none of them."""
        if plan is None:
            self._unplan_all(timeout)
            return None
        numbers = plan.numbers if isinstance(plan, Plan) else [plan]
        reports = self.reports()
        for number in numbers:
            news = self.do("unplan", timeout, plan=number)
        return Plan(self, news, reports) if "plan" in news.facts else None

    # -- helpers

    def _unplan_all(self, timeout: float | None) -> None:
        """Those first that wait for the room that others leave."""
        for plan in sorted(self.plans(), key=lambda plan: not plan.get("waits")):
            try:
                self.unplan(plan["plan"], timeout=timeout)
            except UsageError:
                if any(other["plan"] == plan["plan"] for other in self.plans()):
                    raise
                # It has been done meanwhile.

    def _plan(
        self,
        deed: Deed,
        text: str,
        when: int | str | None,
        *,
        every: int = 0,
        label: str = "",
        timeout: float | None = None,
    ) -> Plan:
        point, ahead = _place(when)
        body = encode_deed(deed)
        if len(body) > LARGEST:
            raise UsageError(
                f"What is planned has {len(body):,} bytes, and may have {LARGEST:,}; "
                "send large data before, with run.view.push at a stop."
            )
        reports = self.reports()
        news = self.do(
            "plan", timeout, verb=verb_of(deed), text=text, body=body, point=point,
            ahead=ahead, every=every, label=label,
        )  # fmt: skip
        if news.kind == "dropped":
            raise PlanError(news.text)
        return Plan(self, news, reports)

    def reports(self) -> Reports:
        """How plans end; asked for before the hub can say anything about them."""
        if self._reports is None:
            self._reports = Reports()
            self.client.link.steering.listeners.append(self._reports.heard)
        return self._reports

    def _ranks(self) -> Sequence[int]:
        """The engines on which it runs."""
        return changes.ranks_of(self.status()["ranks"])


def _place(when: int | str | None) -> tuple[int, int]:
    """A point, or how many from now."""
    if when is None:
        return 0, 0
    text = str(when).strip()
    digits = text.removeprefix("+")
    whole = not isinstance(when, bool) and isinstance(when, int | str)
    if not whole or not digits.isdecimal() or int(digits) < 1:
        raise UsageError(
            f"A point is 500, or '+50' for so many from now, not {when!r}."
        )
    return (0, int(digits)) if text.startswith("+") else (int(digits), 0)


def _to_run(
    code: str | Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Deed, str]:
    """Code or a function, and how people are told of it."""
    if callable(code):
        name = getattr(code, "__name__", None) or type(code).__name__
        inside = [*map(repr, args), *(f"{k}={v!r}" for k, v in kwargs.items())]
        (pickled, *_) = payload.dumps_call(code, args, kwargs, payload.pickle_whole)
        return Call(name, bytes(pickled)), _shown(f"{name}({', '.join(inside)})")
    if args or kwargs:
        raise UsageError("What is to be run is code, or a function and its arguments.")
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, TypeError) as error:
        what = getattr(error, "msg", None) or error
        raise UsageError(f"{_shown(str(code))!r} is no Python: {what}.") from None
    return Code(code), _shown(code)


def _shown(code: str) -> str:
    lines = code.strip().splitlines() or [""]
    text = lines[0] if len(lines) == 1 else f"{lines[0]} ..."
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
