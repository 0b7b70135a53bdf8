"""How cells end without a traceback of ours."""

from __future__ import annotations

import pytest
from IPython.core.error import UsageError as IPythonUsageError

from steer.errors import (
    AlreadyDisplayedError,
    CompositeError,
    HubUnreachable,
    NoEnginesRegistered,
    RemoteError,
    TaskAborted,
    UsageError,
)
from steer.magics.mistakes import Interrupted, MagicError, TimedOut, as_sentences

COMPOSITE = CompositeError("in: x", [RemoteError("E", "1"), RemoteError("E", "2")])


@pytest.mark.parametrize(
    "error",
    [UsageError("wrong"), HubUnreachable("gone"), NoEnginesRegistered(),
     IndexError("No such engine: 9")],
)  # fmt: skip
def test_what_happened_becomes_a_sentence(error):
    with pytest.raises(MagicError) as caught, as_sentences():
        raise error
    assert str(caught.value) == str(error)
    assert caught.value._render_traceback_() == [f"UsageError: {error}"]
    assert isinstance(caught.value, IPythonUsageError)
    assert isinstance(caught.value, UsageError)


@pytest.mark.parametrize(
    "error",
    [RemoteError("E", "1"), COMPOSITE, AlreadyDisplayedError(COMPOSITE),
     MagicError("x"), TimedOut("late"), Interrupted("by you"), KeyError("ours")],
)  # fmt: skip
def test_what_has_its_own_text_passes(error):
    with pytest.raises(type(error)) as caught, as_sentences():
        raise error
    assert caught.value is error


def test_no_group_is_left_in_the_chain():
    """IPython shows the whole chain if there is one."""
    with pytest.raises(AlreadyDisplayedError) as caught, as_sentences():
        _raise_within()
    assert caught.value.__context__ is None


def _raise_within():
    try:
        raise COMPOSITE
    except CompositeError as error:
        raise AlreadyDisplayedError(error) from None


def test_a_cell_that_was_aborted_made_no_mistake():
    with pytest.raises(TaskAborted) as caught, as_sentences():
        raise TaskAborted("the cell before it failed.")
    assert caught.value._render_traceback_() == [
        "TaskAborted: the cell before it failed."
    ]
    assert not isinstance(caught.value, UsageError)


def test_names_are_those_that_people_know():
    for cls, base in (
        (MagicError, IPythonUsageError), (Interrupted, KeyboardInterrupt),
        (TimedOut, TimeoutError),
    ):  # fmt: skip
        assert cls.__name__ == base.__name__
        assert issubclass(cls, base)
    assert Interrupted("done", ["shown"])._render_traceback_() == [
        "shown",
        "KeyboardInterrupt: done",
    ]
