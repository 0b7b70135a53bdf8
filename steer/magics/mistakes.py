"""What ends a cell without a traceback of ours.

IPython shows what `_render_traceback_` gives. So a user's mistake reads as one
sentence, and the classes stay the ones that programs catch: a `MagicError` is IPython's
UsageError and Steer's, an `Interrupted` is a KeyboardInterrupt.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from IPython.core.error import UsageError as IPythonUsageError

from steer.errors import NotYet, RemoteError, SteerError, TaskAborted, UsageError


class MagicError(IPythonUsageError, UsageError):
    """The magic could not do what was asked; its text says why and what to do."""

    def _render_traceback_(self) -> list[str]:
        return [f"UsageError: {self}"]


class Interrupted(KeyboardInterrupt):
    """The person at the keyboard ended the cell."""

    def __init__(self, text: str, shown: Sequence[str] = ()) -> None:
        super().__init__(text)
        self._shown = list(shown)

    def _render_traceback_(self) -> list[str]:
        return [*self._shown, f"KeyboardInterrupt: {self}"]


class Aborted(TaskAborted):
    """The cell never ran: one before it failed, or somebody aborted it."""

    def _render_traceback_(self) -> list[str]:
        return [f"TaskAborted: {self}"]


class TimedOut(SteerError, TimeoutError):
    """The cell, or what a run was asked for, took longer than `--timeout` allows."""

    def _render_traceback_(self) -> list[str]:
        return [f"TimeoutError: {self}"]


# What is shown and recorded beside the text, as a cell's error name.
Aborted.__name__ = "TaskAborted"
MagicError.__name__ = "UsageError"
Interrupted.__name__ = "KeyboardInterrupt"
TimedOut.__name__ = "TimeoutError"


@contextlib.contextmanager
def as_sentences() -> Iterator[None]:
    """Let mistakes, and what happened to the cluster, end the cell as a sentence.

    Raised outside of `except`: IPython shows the whole chain if an exception group is
    anywhere in it.
    """
    told: BaseException | None = None
    try:
        yield
    except (RemoteError, MagicError, TimedOut, Interrupted) as error:
        told = error
    except TaskAborted as error:
        told = Aborted(str(error))
    except NotYet as error:
        told = TimedOut(str(error))
    except KeyboardInterrupt as error:
        if not str(error):
            raise
        told = Interrupted(str(error))
    except (SteerError, IndexError) as error:
        told = MagicError(str(error))
    if told is not None:
        told.__context__ = None
        raise told.with_traceback(None)
