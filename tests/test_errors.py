"""Texts are ipyparallel's, types the user's, and the whole tree can travel."""

from __future__ import annotations

import pickle
import sys
import traceback
from dataclasses import dataclass
from typing import Any

import pytest

from steer import errors
from steer.errors import (
    AlreadyDisplayedError,
    CompositeError,
    EngineError,
    HubUnreachable,
    InternalError,
    LaunchError,
    MPITaskError,
    NoEnginesRegistered,
    RemoteError,
    SteerError,
    TaskAborted,
    collect_exceptions,
    from_wire,
)

HERE = {"engine_id": 3, "method": "execute", "rank": 3, "size": 8, "host": "node17"}


@dataclass
class Info:
    ename: str
    evalue: str
    traceback: tuple[str, ...] = ()
    pickled: bytes = b""


class Custom(Exception):
    """Cannot be made from its args."""

    def __init__(self, what: str, *, number: int) -> None:
        super().__init__(f"{what} {number}")
        self.number = number

    def __reduce__(self) -> Any:
        return _custom, (str(self), self.number)


def _custom(text: str, number: int) -> Custom:
    error = Custom.__new__(Custom, text)
    error.args = (text,)
    error.number = number
    return error


class Slotted(Exception):
    __slots__ = ("where",)

    def __reduce__(self) -> Any:
        return _slotted, (self.where,)


def _slotted(where: int) -> Slotted:
    error = Slotted()
    error.where = where
    return error


class Stubborn(Exception):
    """Refuses to have subclasses."""

    def __init_subclass__(cls) -> None:
        raise TypeError("no children")


def wire(error: BaseException, *lines: str) -> Info:
    name = type(error).__name__
    return Info(name, str(error), lines, pickle.dumps(error, protocol=5))


def composite(n: int, *methods: str | None) -> CompositeError:
    methods = methods or ("execute", "apply", None)
    return CompositeError(
        "one or more exceptions raised in: f",
        [
            (
                "ZeroDivisionError",
                "division by zero",
                "line1\nline2",
                {"engine_id": i, "method": methods[i % len(methods)]},
            )
            for i in range(n)
        ],
    )


# -- ipyparallel's texts, as its version 9.2 prints them


def test_texts_of_a_remote_error() -> None:
    info = {"engine_id": 3, "method": "execute"}
    error = RemoteError("ZeroDivisionError", "division by zero", "l1\nl2", info)
    assert str(error) == "[3:execute] ZeroDivisionError: division by zero"
    assert repr(error) == "<RemoteError[3]:ZeroDivisionError(division by zero)>"
    assert error.args == ("ZeroDivisionError", "division by zero")
    assert error.render_traceback() == ["[3:execute]", "l1", "l2"]


def test_texts_of_a_remote_error_from_nowhere() -> None:
    error = RemoteError("E", "v", "", None)
    assert str(error) == "[Engine Exception] E: v"
    assert error.render_traceback() == ["[Engine Exception]", "No traceback available"]


def test_texts_of_a_composite_error() -> None:
    assert str(composite(7)) == (
        "one or more exceptions raised in: f\n"
        "[0:execute]ZeroDivisionError: division by zero\n"
        "[1:apply]ZeroDivisionError: division by zero\n"
        "[2:None]ZeroDivisionError: division by zero\n"
        "[3:execute]ZeroDivisionError: division by zero\n"
        ".... 3 more exceptions ..."
    )
    assert str(composite(4)).count("\n") == 4
    assert repr(composite(7)) == "CompositeError(7)"
    assert composite(1).ename is None


def test_tracebacks_of_a_composite_error(capsys: pytest.CaptureFixture[str]) -> None:
    error = composite(6, "apply")
    shown = [line for i in range(4) for line in (f"[{i}:apply]:", "line1", "line2", "")]
    assert error.render_traceback() == [*shown, "... 2 more exceptions ..."]
    error.print_traceback()
    assert capsys.readouterr().out.splitlines() == error.render_traceback()
    error.print_traceback(5)
    assert capsys.readouterr().out == "[5:apply]:\nline1\nline2\n"
    assert composite(1, "apply").render_traceback()[-1] == ""


def test_one_of_a_composite_error() -> None:
    error = composite(3)
    with pytest.raises(RemoteError, match=r"^\[2:None\] Zero") as caught:
        error.raise_exception(2)
    assert caught.value is error.exceptions[2]
    for call in (error.raise_exception, error.print_traceback):
        with pytest.raises(IndexError, match="index 20 does not exist"):
            call(20)


def test_elist_is_a_list_of_tuples() -> None:
    assert composite(1, "apply").elist == [
        (
            "ZeroDivisionError",
            "division by zero",
            "line1\nline2",
            {"engine_id": 0, "method": "apply"},
        )
    ]
    mixed = CompositeError("m", [TaskAborted("gone"), composite(2)])
    assert [entry[0] for entry in mixed.elist] == ["TaskAborted"] + [
        "ZeroDivisionError"
    ] * 2


def test_text_of_what_was_displayed() -> None:
    error = AlreadyDisplayedError(composite(3))
    assert str(error) == AlreadyDisplayedError(3).render_traceback()[0] == "3 errors"
    assert repr(error) == "<AlreadyDisplayedError(3 errors)>"
    assert error._render_traceback_() == ["3 errors"]
    assert len(error.original_error.exceptions) == 3


def test_collect_exceptions() -> None:
    error = RemoteError("E", "v", "", {"engine_id": 0, "method": "apply"})
    assert collect_exceptions([1, ValueError]) == [1, ValueError]
    with pytest.raises(CompositeError, match=r"raised in: f$") as caught:
        collect_exceptions({0: error, 1: 2}, "f")
    assert caught.value.exceptions == (error,)


IPYPARALLEL = [
    "AlreadyDisplayedError",
    "CompositeError",
    "DependencyTimeout",
    "EngineError",
    "IPythonError",
    "ImpossibleDependency",
    "InvalidDependency",
    "KernelError",
    "NoEnginesRegistered",
    "RemoteError",
    "TaskAborted",
    "TaskRejectError",
    "TaskTimeout",
    "UnmetDependency",
]


def test_names_of_ipyparallel() -> None:
    for name in IPYPARALLEL:
        assert issubclass(getattr(errors, name), errors.IPythonError)
    assert errors.TimeoutError is TimeoutError


# -- what is new


def test_the_original_type_survives() -> None:
    error = from_wire(wire(ZeroDivisionError("division by zero"), "a", "b"), HERE)
    assert isinstance(error, ZeroDivisionError)
    assert isinstance(error, RemoteError)
    assert str(error) == "[3:execute] ZeroDivisionError: division by zero"
    assert error.args == ("division by zero",)
    assert error.traceback == "a\nb"


def test_plain_python_shows_the_remote_traceback() -> None:
    sent = wire(KeyError("k"), "\x1b[31mFile\x1b[39m x", "KeyError: 'k'")
    error = from_wire(sent, HERE)
    text = "".join(traceback.format_exception(error))
    assert "rank 3 of 8 on node17\nFile x\nKeyError: 'k'\n" in text
    assert text.endswith("steer.errors.RemoteError: [3:execute] KeyError: 'k'\n")
    assert error._render_traceback_() == ["[3:execute]", *sent.traceback]


def test_fields_of_the_original_survive() -> None:
    gone = from_wire(wire(FileNotFoundError(2, "No such file", "data.h5")), HERE)
    assert isinstance(gone, FileNotFoundError)
    assert (gone.errno, gone.strerror, gone.filename) == (2, "No such file", "data.h5")

    custom = from_wire(wire(Custom("bad", number=7)), HERE)
    assert isinstance(custom, Custom)
    assert custom.number == 7
    assert custom.args == ("bad 7",)

    undecodable = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid")
    decode = from_wire(wire(undecodable), HERE)
    assert isinstance(decode, UnicodeDecodeError)
    assert (decode.object, decode.reason) == (b"\xff", "invalid")

    there = from_wire(wire(_slotted(5)), HERE)
    assert isinstance(there, Slotted)
    assert there.where == 5


@pytest.mark.parametrize(
    "original", [Stubborn("no"), ExceptionGroup("g", [ValueError("v")])]
)
def test_what_cannot_be_both_is_the_cause(original: Exception) -> None:
    error = from_wire(wire(original, "tb"), HERE)
    assert type(error) is RemoteError
    assert type(error.__cause__) is type(original)
    assert "tb" in str(error.__cause__.__cause__)
    assert error.ename == type(original).__name__


@pytest.mark.parametrize(
    "original", [KeyboardInterrupt(), SystemExit(3), StopIteration(1), GeneratorExit()]
)
def test_what_would_end_the_client_does_not(original: BaseException) -> None:
    error = from_wire(wire(original, "tb"), HERE)
    assert type(error) is RemoteError
    assert error.ename == type(original).__name__


def test_an_error_of_mpi_does_not_begin_mpi_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    pickled = b"cmpi4py.MPI\nException\n(I15\ntR."
    error = from_wire(Info("Exception", "MPI_ERR_TRUNCATE", ("tb",), pickled), HERE)
    assert "mpi4py.MPI" not in sys.modules
    assert isinstance(error, RemoteError)
    assert (error.ename, error.evalue) == ("Exception", "MPI_ERR_TRUNCATE")


@pytest.mark.parametrize("pickled", [b"garbage", pickle.dumps("no exception"), b""])
def test_what_cannot_be_unpickled_keeps_its_texts(pickled: bytes) -> None:
    error = from_wire(Info("E", "('a', 'b')", ("tb",), pickled), HERE)
    assert type(error) is RemoteError
    assert str(error) == "[3:execute] E: ('a', 'b')"
    assert str(error.__cause__) == "rank 3 of 8 on node17\ntb"


def test_what_the_hub_says_is_of_its_class() -> None:
    error = from_wire(Info("EngineError", "Rank 3 on node17 was killed by 9."), HERE)
    assert type(error) is EngineError
    assert str(error) == "Rank 3 on node17 was killed by 9."
    assert (error.ranks, error.host, error.ename) == ("3", "node17", "EngineError")
    assert type(from_wire(Info("TaskAborted", "gone"), None)) is TaskAborted
    theirs = from_wire(Info("EngineError", "a user's class", ("tb",)), HERE)
    assert type(theirs) is RemoteError


def test_an_engine_error_keeps_its_facts_on_the_wire() -> None:
    sent = EngineError("Gone.", ranks="3", host="n", signal="SIGKILL", exit_status=-9)
    error = from_wire(wire(sent), HERE)
    assert type(error) is EngineError
    facts = (error.ranks, error.host, error.signal, error.exit_status)
    assert facts == ("3", "n", "SIGKILL", -9)
    assert error.engine_info == HERE
    assert str(error) == "Gone."


def test_groups_can_be_taken_apart() -> None:
    both = CompositeError(
        "one or more exceptions raised in: f",
        [from_wire(wire(e), HERE) for e in (ValueError("v"), KeyError("k"))],
    )
    seen = []
    try:
        try:
            raise both
        except* ValueError as group:
            seen.append(group)
    except* RemoteError as rest:
        seen.append(rest)
    assert [type(group) for group in seen] == [CompositeError] * 2
    assert [entry[0] for group in seen for entry in group.elist] == [
        "ValueError",
        "KeyError",
    ]


def test_equal_errors_are_folded() -> None:
    entries = [
        ("ValueError", "bad", "tb", {"engine_id": i, "method": "execute"})
        for i in (*range(64), 65)
    ]
    other = ("KeyError", "'k'", "tb2", {"engine_id": 64, "method": "execute"})
    error = CompositeError("m", [*entries, other])
    assert error.summary() == [
        "ranks 0-63,65: ValueError: bad",
        "rank 64: KeyError: 'k'",
    ]
    shown = ["[ranks 0-63,65:execute]:", "tb", "", "[64:execute]:", "tb2", ""]
    assert error._render_traceback_() == shown
    error.tb_limit = 1
    assert error.render_folded()[3:] == ["... 1 more exceptions ..."]


# -- the plain ones


def test_texts_say_what_next() -> None:
    assert "steer start -n 4" in str(NoEnginesRegistered())
    launch = LaunchError(
        "It died.", command="mpiexec", exit_status=3, output="a\nb", next_step="Look."
    )
    assert str(launch) == (
        "It died. Look.\nThe command was: mpiexec\nExit status: 3\n"
        "Its last words:\n    a\n    b"
    )
    assert str(LaunchError("It died.")) == "It died."
    assert "report it" in str(InternalError("Odd.", story="1 2 3"))
    assert isinstance(HubUnreachable("gone"), ConnectionError)


SAMPLES: list[SteerError] = [
    NoEnginesRegistered(),
    LaunchError("died", recipe="mpiexec", exit_status=3, transient=True),
    InternalError("odd", story="s"),
    RemoteError("E", "v", "tb", HERE),
    EngineError("dead", ranks="3", host="n", signal="SIGKILL", exit_status=-9),
    composite(3),
    AlreadyDisplayedError(composite(2)),
    MPITaskError.of("f", [(0, 4, None), (1, 5, ValueError("v"))]),
]


def _tree(cls: type[SteerError]) -> list[type[SteerError]]:
    own = [c for c in cls.__subclasses__() if not issubclass(c, _combined())]
    return [cls, *(below for child in own for below in _tree(child))]


def _combined() -> tuple[type, ...]:
    """The classes made on the fly have RemoteError first and another type second."""
    return tuple(
        c for c in RemoteError.__subclasses__() if c.__qualname__ == "RemoteError"
    )


def test_samples_cover_what_needs_arguments() -> None:
    special = {c for c in _tree(SteerError) if "__init__" in vars(c)}
    assert special <= {type(sample) for sample in SAMPLES}


@pytest.mark.parametrize(
    "error",
    [
        *SAMPLES,
        *(
            c("text")
            for c in _tree(SteerError)
            if not issubclass(c, RemoteError | ExceptionGroup)
        ),
        from_wire(wire(FileNotFoundError(2, "No", "f"), "tb"), HERE),
        from_wire(wire(Stubborn("no"), "tb"), HERE),
    ],
    ids=lambda error: type(error).__name__,
)
def test_survives_pickling(error: SteerError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert repr(again) == repr(error)
    assert set(again.__dict__) == set(error.__dict__)
    assert type(again.__cause__) is type(error.__cause__)
    plain = (str, int, type(None), dict, bytes)
    for name, value in error.__dict__.items():
        if isinstance(value, plain):
            assert getattr(again, name) == value


def test_of_ranks_that_failed_those_that_only_waited_come_last() -> None:
    """Who reads the first line knows where to look."""
    waited = TaskAborted("Another rank failed.")
    told = [(0, 4, waited), (1, 5, ValueError("v")), (2, 6, waited)]
    error = MPITaskError.of("f", told)
    assert error.message == "f failed on rank 1 of 3, for which ranks 0,2 waited"
    assert [type(one) for one in error.exceptions] == [
        ValueError, TaskAborted, TaskAborted,
    ]  # fmt: skip
    ended = MPITaskError.of("f", [(0, 0, waited), (1, 1, waited)])
    assert ended.message == "f failed on ranks 0-1 of 2"


def test_a_task_of_several_ranks_tells_what_became_of_each() -> None:
    lost = EngineError("Engine 6 was killed by SIGKILL.")
    told = [(0, 4, None), (1, 5, ValueError("v")), (2, 6, lost)]
    error = MPITaskError.of("simulate", told)
    assert error.message == "simulate failed on ranks 1-2 of 3"
    assert error.ranks[0] == (4, "ok")
    assert error.ranks[1] == (5, "ValueError: v")
    assert error.exceptions[0].__notes__ == ["on rank 1 of 3, engine 5"]
    seen = []
    try:
        raise error
    except* ValueError as group:
        seen.append(group)
    except* EngineError as group:
        seen.append(group)
    assert [type(group) for group in seen] == [MPITaskError] * 2
