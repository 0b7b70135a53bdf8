"""Which call of MPI the main thread is blocked in, told from its frame alone.

Nothing is instrumented: a program that never hangs pays nothing. The frame says which
instruction it is at; the instruction has its place in the source to the column; the
source there is the call, whole::

    self.comm.Recv([self.ghost, MPI.DOUBLE], source=left, tag=7)

Its parts are evaluated in the frame's names (`evaluating.py`), as far as that runs no
code of the program's. What cannot be evaluated is UNKNOWN, and the verdict treats it
so.

Peers are translated to ranks of the world, and communicators to the ranks they have, by
calls of MPI that are local (the standard: Group_translate_ranks and its like do not
communicate). With less than MPI_THREAD_MULTIPLE another thread may not make them while
main is in MPI: then the communicator stays unknown.
"""

from __future__ import annotations

import ast
import itertools
import linecache
import sys
import types
from functools import lru_cache
from time import thread_time
from types import FrameType
from typing import Any

from steer.core.mpiops import OPS, Need
from steer.core.rankstates import UNKNOWN, Call, Comm
from steer.engines.comms import Members, as_number
from steer.engines.evaluating import CannotEvaluate, Evaluator
from steer.engines.underway import bytes_of

LONGEST_LOOK = 0.05
"""Seconds for the evaluation of one call, of a core: on a crowded machine it may be
given none for as long."""
LARGEST = 10_000
"""Bytes of arrays that are computed with: it is done each second, in the thread that
everything needs. How large `a + b` is, is not known then; that of `a` is."""
_LONGEST_TEXT = 24
_DATA = ("data", "buf", "obj", "sendbuf", "sendobj", "recvbuf")
_UNSEEN = object()
"""An argument that could not be evaluated. No number: MPI's own are negative too."""


def pending(frame: FrameType) -> tuple[Call | None, str]:
    """The call of MPI that a frame is in, if it is one; and what its source calls."""
    at = frame.f_lasti
    node = call_node(frame)
    if node is None:
        return None, ""
    said = _short(ast.unparse(node.func))
    MPI = sys.modules.get("mpi4py.MPI")
    if MPI is None:
        return None, said
    evaluator = Evaluator(
        frame.f_locals,
        frame.f_globals,
        frame.f_builtins,
        allow=_only_local_queries,
        deadline=thread_time() + LONGEST_LOOK,
        clock=thread_time,
        largest=LARGEST,
    )
    try:
        return _Reader(MPI, evaluator, node, frame).call(), said
    except _WentOn:
        return None, said
    except MPI.Exception:
        if frame.f_lasti != at:  # main freed the communicator meanwhile
            return None, said
        raise


def _only_local_queries(function: Any, text: str) -> None:
    owner = getattr(function, "__self__", None)
    name = getattr(function, "__name__", "")
    if name in ("Get_rank", "Get_size") and type(owner).__module__ == "mpi4py.MPI":
        return
    if not any(function is known for known in (len, int, abs, min, max, divmod)):
        raise CannotEvaluate(f"{text} is not called")


# -- the source of the call


def call_node(frame: FrameType) -> ast.Call | None:
    """The call that the frame's instruction is, if it is one and has a source."""
    positions = frame.f_code.co_positions()
    at = next(itertools.islice(positions, frame.f_lasti // 2, None), None)
    if at is None or None in at:
        return None
    lines = linecache.getlines(frame.f_code.co_filename, frame.f_globals)
    line, end, column, last = at
    assert line is not None
    assert end is not None
    if not 1 <= line <= end <= len(lines):
        return None
    found = _parsed(tuple(lines[line - 1 : end]), column or 0, last or 0)
    if found is not None and not isinstance(found.func, ast.Name):
        return found
    # 3.12 says of a call of a method where the method's name stands, if that is on a
    # line of its own: what it belongs to stands before.
    return _enclosing(tuple(lines), end, last or 0) or found


@lru_cache(maxsize=64)
def _parsed(lines: tuple[str, ...], column: int, last: int) -> ast.Call | None:
    raw = [line.encode() for line in lines]
    raw[-1] = raw[-1][:last]
    raw[0] = raw[0][column:]
    try:
        tree = ast.parse(b"(" + b"".join(raw) + b"\n)", mode="eval")
    except (SyntaxError, ValueError):
        return None
    return tree.body if isinstance(tree.body, ast.Call) else None


@lru_cache(maxsize=16)
def _enclosing(lines: tuple[str, ...], end: int, last: int) -> ast.Call | None:
    """The outermost call that ends there."""
    try:
        tree = ast.parse("".join(lines))
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        ends = getattr(node, "end_lineno", 0), getattr(node, "end_col_offset", 0)
        if isinstance(node, ast.Call) and ends == (end, last):
            return node
    return None


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


# -- its meaning


def _is_method(function: Any) -> bool:
    """Whether it is a function of C's, or a method: asking those what they are runs no
    code of the program's."""
    cls = type(function)
    return issubclass(cls, types.BuiltinFunctionType | types.MethodType) or (
        cls.__name__ == "cython_function_or_method"
    )


class _WentOn(Exception):
    """Main is not in that call any more."""


class _Reader:
    """Evaluates one call."""

    def __init__(
        self, MPI: Any, evaluator: Evaluator, node: ast.Call, frame: FrameType
    ) -> None:
        self._MPI = MPI
        self._evaluator = evaluator
        self._node = node
        self._frame = frame
        self._at = frame.f_lasti
        # What mpi4py's own Python calls by such a name is MPI.
        self._sure = "/mpi4py/" in frame.f_code.co_filename

    def call(self) -> Call | None:
        """The call, or None if it is none of MPI's that can block."""
        found = self._receiver()
        if found is None:
            return None
        owner, op, text = found
        if op not in OPS:
            return None
        if owner is None and not self._sure:
            return Call(op, size=-1, guessed=True)
        if OPS[op].need is Need.REQUEST:
            return Call(op)
        comm = self._comm_of(owner)
        arguments = self._arguments(op)
        if comm is None:
            return Call(op, size=self._size(arguments))
        self._check()
        world = Members(self._MPI, comm)
        described = world.describe(text)
        self._check()
        if OPS[op].need is Need.MESSAGE:
            return self._messages(op, described, world, arguments)
        return Call(
            op,
            described,
            root=self._root(op, world, arguments),
            size=self._size(arguments),
        )

    def _check(self) -> None:
        """A communicator is only looked at while main is in a call of it."""
        if self._frame.f_lasti != self._at:
            raise _WentOn

    def _receiver(self) -> tuple[Any, str, str] | None:
        """What the method is called on, its name, and what the source calls the
        former."""
        function = self._node.func
        try:
            if isinstance(function, ast.Attribute):
                owner = self._evaluator.evaluate(function.value)
                op, text = function.attr, ast.unparse(function.value)
            else:
                method = self._evaluator.evaluate(function)
                if not _is_method(method):
                    return None
                owner, op = getattr(method, "__self__", None), method.__name__
                text = ""
        except CannotEvaluate:
            return self._by_name()
        except Exception:  # noqa: BLE001  whatever a half-made object says
            return None
        cls = owner if issubclass(type(owner), type) else type(owner)
        if not any(base.__module__ == "mpi4py.MPI" for base in cls.__mro__):
            return None
        return owner, op, text if len(text) <= _LONGEST_TEXT else ""

    def _by_name(self) -> tuple[Any, str, str] | None:
        """A property or a function gave the communicator: the name of the method is
        all there is, and others than MPI may have methods of that name."""
        function = self._node.func
        if not isinstance(function, ast.Attribute) or function.attr not in OPS:
            return None
        sure = {"Recv", "Ssend", "Barrier", "Allreduce", "Bcast", "Sendrecv", "Waitall"}
        sure |= {"Allgather", "Alltoall", "Reduce", "Gather", "Scatter", "allreduce"}
        return (None, function.attr, "") if function.attr in sure else None

    def _comm_of(self, owner: Any) -> Any:
        """The communicator of a call: its object, or an argument of it."""
        MPI = self._MPI
        if MPI.Query_thread() != MPI.THREAD_MULTIPLE:
            return None
        if issubclass(type(owner), MPI.Comm):
            return owner
        for node in (*self._node.args, *(word.value for word in self._node.keywords)):
            value = self._value(node)
            # isinstance would ask the object, if it is of the program's.
            if issubclass(type(value), MPI.Comm):
                return value
        return None

    def _arguments(self, op: str) -> dict[str, Any]:
        """Arguments by their names, _UNSEEN where one could not be evaluated."""
        found: dict[str, Any] = {}
        names = OPS[op].parameters
        for name, node in zip(names, self._node.args, strict=False):
            if isinstance(node, ast.Starred):
                return dict.fromkeys(names, _UNSEEN)
            found[name] = self._value(node)
        for keyword in self._node.keywords:
            if keyword.arg is None:
                return dict.fromkeys(names, _UNSEEN)
            found[keyword.arg] = self._value(keyword.value)
        return found

    def _value(self, node: ast.expr) -> Any:
        try:
            return self._evaluator.evaluate(node)
        except Exception:  # noqa: BLE001  arithmetic may fail in any way
            return _UNSEEN

    def _messages(
        self, op: str, comm: Comm, world: Members, arguments: dict[str, Any]
    ) -> Call | None:
        send = receive = None
        parameters = OPS[op].parameters
        if "dest" in parameters:
            tag = arguments.get("sendtag", arguments.get("tag", 0))
            send = world.message(arguments.get("dest", _UNSEEN), tag)
        if "source" in parameters:
            tag = arguments.get("recvtag", arguments.get("tag", self._MPI.ANY_TAG))
            source = arguments.get("source", self._MPI.ANY_SOURCE)
            receive = world.message(source, tag)
        if send is None and receive is None:
            return None  # from and to nobody: it does not wait
        size = self._size(arguments) if send is not None else 0
        return Call(op, comm, send, receive, size=size)

    def _root(self, op: str, world: Members, arguments: dict[str, Any]) -> int:
        if "root" not in OPS[op].parameters:
            return UNKNOWN
        root = as_number(arguments.get("root", 0))
        return UNKNOWN if root is None else world.rank(root)

    def _size(self, arguments: dict[str, Any]) -> int:
        sizes = [bytes_of(arguments[name]) for name in _DATA if name in arguments]
        return -1 if -1 in sizes else sum(sizes)
