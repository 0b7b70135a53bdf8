"""Widgets made of a run's parameters: sliders, boxes and menus in a notebook.

ipywidgets is an extra, and imported here only: `pip install 'mpi-steer[widgets]'`. A
widget that is moved asks for the change as `run.set` does; what came of it, or why it
may not be, stands below. What others change is seen as soon as it is done.
"""

from __future__ import annotations

import contextlib
import html
import importlib.util
import math
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from steer.client.parameters import NONE, Known, ask
from steer.core.params import Bool, Choice, Float, Int, Parameter
from steer.errors import SteerError, UsageError

if TYPE_CHECKING:
    from steer.client.scheduling import Scheduling
    from steer.wire.messages import News

PATIENCE = 5.0
"""Seconds that a cell's thread waits for the answer to a change."""

DECADES = 2.0
"""A range of more has a logarithmic slider."""

LIVE = 5
"""Panels that follow what others do: ipywidgets keeps all that were ever shown."""

_live: list[Callable[[], object]] = []
"""Ends that of each."""

NOTCHES = 1000
"""Whole numbers of more values than this have a box instead of a slider."""


def can_be_shown() -> bool:
    """Whether there are ipywidgets, and a notebook to show them."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    in_notebook = getattr(shell, "kernel", None) is not None
    return in_notebook and importlib.util.find_spec("ipywidgets") is not None


def panel(run: Scheduling) -> Any:
    """A box with a widget for each parameter."""
    return Panel(run).box


def show(run: Scheduling) -> None:
    """Show it below the cell."""
    from IPython.display import display

    display(panel(run))  # type: ignore[no-untyped-call]


class Panel:
    """The widgets of one run."""

    def __init__(self, run: Scheduling) -> None:
        self._run = run
        self._kit = _import()
        known, _ = ask(run)
        self._quiet = False
        self._later = _in_main_thread()
        self.said = self._kit.HTML()
        self.widgets: dict[str, Any] = {}
        for name, one in known.items():
            self.widgets[name] = self._make(name, one)
        shown = list(self.widgets.values()) or [self._kit.Label(NONE)]
        self.box = self._kit.VBox([*shown, self.said])
        self._wanted = False
        """Whether a refresh is under way already."""
        self._listen()

    def _listen(self) -> None:
        listeners = self._run.client.link.steering.listeners
        listeners.append(self._heard)
        _live.append(lambda: listeners.remove(self._heard))
        if len(_live) > LIVE:
            _live.pop(0)()

    def _make(self, name: str, known: Known) -> Any:
        parameter = known.parameter
        widget = _widget(self._kit, parameter)
        widget.description = name
        widget.tooltip = parameter.doc or parameter.limits()
        widget.style.description_width = "initial"
        self._show(widget, known)

        def moved(change: dict[str, Any]) -> None:
            self._moved(name, _read(widget, parameter, change["new"]))

        widget.observe(moved, "value")
        return widget

    # -- what the user does

    def _moved(self, name: str, value: Any) -> None:
        if self._quiet:
            return
        try:
            plan = self._run.set({name: value}, timeout=PATIENCE)
        except SteerError as error:
            self._say(str(error), "#b00020")
            self.refresh()
        else:
            self._say(plan.text)

    def _say(self, text: str, colour: str = "inherit") -> None:
        self.said.value = f'<span style="color:{colour}">{html.escape(text)}</span>'

    # -- what others do

    def refresh(self) -> None:
        """Show what the values are now."""
        self._wanted = False
        try:
            known, _ = ask(self._run)
        except SteerError as error:
            self._say(str(error), "#b00020")
            return
        for name, widget in self.widgets.items():
            if name in known:
                self._show(widget, known[name])

    def _show(self, widget: Any, known: Known) -> None:
        value = known.values[0][0]
        differs = len(known.values) > 1
        with self._unheard():
            if not _equal(widget.value, value):
                widget.value = value
            name = widget.description.partition(" (")[0]
            widget.description = f"{name} ({known.text})" if differs else name

    @contextlib.contextmanager
    def _unheard(self) -> Iterator[None]:
        was, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = was

    def _heard(self, news: News) -> None:
        """In the I/O thread, which must not wait for an answer: later, in the thread
        that runs cells."""
        if news.facts.get("over") and self._later is not None and not self._wanted:
            self._wanted = True
            self._later(self.refresh)


def _import() -> Any:
    try:
        import ipywidgets
    except ImportError:
        raise UsageError(
            "Widgets need ipywidgets: pip install 'mpi-steer[widgets]'. Parameters can "
            "be changed without: run.set(dt=0.01)."
        ) from None
    return ipywidgets


def _in_main_thread() -> Callable[[Callable[[], None]], object] | None:
    """What has something called in the thread that runs cells; None if nothing can."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    loop = getattr(getattr(shell, "kernel", None), "io_loop", None)
    return loop.add_callback if loop is not None else None


def _widget(kit: Any, parameter: Parameter) -> Any:
    """What fits the kind of parameter; its changes come when the user lets go."""
    match parameter:
        case Float():
            return _of_float(kit, parameter)
        case Int():
            return _of_int(kit, parameter)
        case Bool():
            return kit.Checkbox(parameter.default, indent=False)
        case Choice():
            options = [(str(choice), choice) for choice in parameter.choices]
            return kit.Dropdown(options=options, value=parameter.default)
        case _:
            return kit.Text(parameter.default, continuous_update=False)


def _of_float(kit: Any, parameter: Float) -> Any:
    low, high, value = parameter.low, parameter.high, parameter.default
    if low is None or high is None or math.isinf(low) or math.isinf(high):
        return _bounded(kit.FloatText, kit.BoundedFloatText, parameter)
    if low > 0 and math.log10(high / low) > DECADES:
        return kit.FloatLogSlider(
            value=value, base=10, min=math.log10(low), max=math.log10(high), step=0.01,
            readout_format=".3g", continuous_update=False,
        )  # fmt: skip
    return kit.FloatSlider(
        value=value, min=low, max=high, step=(high - low) / 1000,
        readout_format=".4g", continuous_update=False,
    )  # fmt: skip


def _of_int(kit: Any, parameter: Int) -> Any:
    low, high = parameter.low, parameter.high
    if low is None or high is None or high - low > NOTCHES:
        return _bounded(kit.IntText, kit.BoundedIntText, parameter)
    return kit.IntSlider(
        value=parameter.default, min=low, max=high, continuous_update=False
    )


def _bounded(free: Any, bounded: Any, parameter: Float | Int) -> Any:
    """A box. One that is bounded on one side only lets the ranks say no."""
    if parameter.low is None or parameter.high is None:
        return free(value=parameter.default, continuous_update=False)
    return bounded(
        value=parameter.default, min=parameter.low, max=parameter.high,
        continuous_update=False,
    )  # fmt: skip


def _read(widget: Any, parameter: Parameter, value: Any) -> Any:
    """What the user means by a slider's place: 0.1 + 0.2 is not 0.3 there, and the end
    of a logarithmic one not always the end of the range."""
    if not isinstance(parameter, Float) or not hasattr(widget, "readout"):
        return value
    short = float(f"{value:.6g}" if hasattr(widget, "base") else f"{value:.12g}")
    return min(max(short, parameter.low), parameter.high)


def _equal(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other
