"""Run a cell on ranks with options: what `%px` and the Steer kernel both do.

    run(view, code, options)        # send, wait with the ladder of Ctrl-C, show

Errors of ranks are raised as the client raises them, or as an AlreadyDisplayedError if
they were shown while they came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steer.errors import (
    AlreadyDisplayedError,
    CompositeError,
    HubUnreachable,
    NoEnginesRegistered,
    RemoteError,
    SteerError,
)
from steer.magics import targets as wanted
from steer.magics.ladder import Ladder
from steer.magics.mistakes import Interrupted, MagicError, TimedOut
from steer.magics.options import Options

if TYPE_CHECKING:
    from steer.client.asyncresult import AsyncResult
    from steer.client.views import DirectView

DEFAULTS = Options()


def run(
    view: DirectView,
    code: str,
    options: Options = DEFAULTS,
    targets: wanted.Targets | None = None,
) -> AsyncResult | None:
    """Send a cell; if it blocks, wait and show it. None if no rank was to run it."""
    result = send(view, code, options, targets)
    if result is not None and blocks(view, options):
        finish(result, options)
    return result


def blocks(view: DirectView, options: Options) -> bool:
    """Whether to wait for a cell."""
    return bool(view.block if options.block is None else options.block)


def send(
    view: DirectView,
    code: str,
    options: Options = DEFAULTS,
    targets: wanted.Targets | None = None,
) -> AsyncResult | None:
    """Send a cell and do not wait; None if `--when` is true on no rank."""
    there = _present(view, targets)
    if options.when:
        true = _where(view, options, there)
        if true is None:
            return None
        there = true
    return view.execute(
        code, silent=False, block=False, targets=there, on_error=options.on_error
    )


def _present(view: DirectView, targets: wanted.Targets | None) -> wanted.Targets:
    """The targets of a cell; raises a sentence if they are not there."""
    client = view.client
    link = client.link
    if link.trouble is not None:
        raise HubUnreachable(str(link.trouble))
    chosen = view.targets if targets is None else targets
    if not client.ids:
        why = " ".join(dict.fromkeys(link.gone[one] for one in sorted(link.gone)))
        raise NoEnginesRegistered(f"{NoEnginesRegistered()} {why}".rstrip())
    if isinstance(chosen, list | tuple | int):
        wanted.check(chosen, client.ids, link.gone)
    return "all" if chosen is None else chosen


def _where(
    view: DirectView, options: Options, targets: wanted.Targets
) -> wanted.Targets | None:
    """Those of the targets on which the expression is true."""
    try:
        compile(options.when, "--when", "eval")
    except SyntaxError as error:
        raise MagicError(f"--when {options.when!r}: {error.msg}.") from None
    asked = view.pull(f"bool({options.when})", targets=targets, block=False)
    with Ladder(options.signal, timeout=options.timeout) as ladder:
        ladder.wait(asked)
    _raise_if_ended(ladder, None)
    truths = asked.get_dict()
    found = [rank for rank, true in truths.items() if true]
    if not found:
        return None
    return found[0] if isinstance(targets, int) else found


def finish(
    result: AsyncResult,
    options: Options = DEFAULTS,
    *,
    magic: str = "pxresult",
) -> None:
    """Wait for a cell, show what it gives, raise what it raised."""
    streams, after = options.streams, options.progress_after
    fold = options.fold and options.group is None
    shown = (
        result.stream_output(fold, after) if streams else result.measure_progress(after)
    )
    ladder = Ladder(options.signal, timeout=options.timeout, magic=magic)
    with ladder, shown:
        ended = ladder.wait(result)
    error = None
    if ended:
        if not streams:
            result.display_outputs(options.group or (None if options.fold else "type"))
        error = _error_of(result, shown=streams)
    _raise_if_ended(ladder, error)
    if error is not None:
        raise error


def _error_of(result: AsyncResult, *, shown: bool) -> SteerError | None:
    """The error of a cell, as a notebook gets it."""
    try:
        result.get()
    except CompositeError as error:
        return AlreadyDisplayedError(error) if shown else error
    except RemoteError as error:
        return AlreadyDisplayedError(1) if shown else error
    except SteerError as error:
        return error
    return None


def _raise_if_ended(ladder: Ladder, error: Any) -> None:
    """Raise that somebody, or the clock, has ended the wait."""
    if not (ladder.pressed or ladder.timed_out):
        return
    story = ladder.story()
    if ladder.timed_out:
        raise TimedOut(f"--timeout is over: {story}")
    unseen = isinstance(error, RemoteError) and not isinstance(
        error, AlreadyDisplayedError
    )
    raise Interrupted(story, error._render_traceback_() if unseen else ())
