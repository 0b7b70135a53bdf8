"""What a rank's helper threads do to bring blocked ranks back (`core/freeing.py`).

    recipe    what the call is in which main waits, exactly
    find      the communicators on which something is to be done, and keep them
    flag      let main raise KeyboardInterrupt before its next bytecode
    act       send, take, or join in, in place of main
    settle    give up what is not done, and say what was left somewhere
    drain     throw away messages that nobody will receive

All of them need MPI_THREAD_MULTIPLE, and threads of their own: a call may block. Each
belongs to a *try* (`core/unsticking.py`), and is done for the last one only that was
heard of. A collective cannot be given up: its thread waits until all have come, and
that is told.

A message that frees a rank is sent synchronously (Issend): when that is complete, the
message was received, and otherwise it lies there. Requests that are not complete are
kept, with what they name, because MPI may still read or write it.
"""

from __future__ import annotations

import ast
import gc
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from time import monotonic, thread_time
from types import FrameType
from typing import Any

from steer.core.freeing import (
    Act,
    Done,
    Drained,
    Joined,
    Lost,
    Mark,
    Recipe,
    Stale,
)
from steer.core.rankstates import ANY, UNKNOWN, Call
from steer.engines import mpi
from steer.engines.blocked import LONGEST_LOOK, call_node
from steer.engines.comms import Members, as_number, numbering
from steer.engines.evaluating import CannotEvaluate, Evaluator
from steer.engines.interrupting import LASTS, Interrupt
from steer.engines.looking import Watcher
from steer.engines.pauses import Pauses
from steer.engines.peeking import check_call
from steer.engines.underway import bytes_of, kinds

LONGEST_ACTS = 4.0
"""Seconds for all that is to be done at once; less than the hub waits."""
RAISING = 3.0
"""Seconds in which main raises when its call was ended."""
WINDOW = LASTS / 2
"""Seconds after a try was heard of in which something is done for it: long before
interrupts are taken back."""
STOPPING = 1.0
"""Seconds in which a helper sees that it is to stop."""
LARGEST = 1 << 20
"""Bytes of an object that travels to those who take part in a reduction."""
_TRACING = "/steer/engines/tracing.py:"
_PACKAGE = "/steer/engines/"
CHUNK = 1000
"""Objects that are looked through at once, with the GIL."""
CALM = 0.05
"""Seconds without a message after which no more are on their way on this host."""

_PARAMETERS: dict[str, tuple[str, ...]] = {
    "Barrier": (),
    "Bcast": ("recvbuf", "root"),
    "Gather": ("sendbuf", "recvbuf", "root"),
    "Scatter": ("sendbuf", "recvbuf", "root"),
    "Allgather": ("sendbuf", "recvbuf"),
    "Alltoall": ("sendbuf", "recvbuf"),
    "Reduce": ("sendbuf", "recvbuf", "op", "root"),
    "Allreduce": ("sendbuf", "recvbuf", "op"),
    "Scan": ("sendbuf", "recvbuf", "op"),
    "Exscan": ("sendbuf", "recvbuf", "op"),
    "barrier": (),
    "bcast": ("obj", "root"),
    "gather": ("sendobj", "root"),
    "scatter": ("sendobj", "root"),
    "allgather": ("sendobj",),
    "alltoall": ("sendobj",),
    "reduce": ("sendobj", "op", "root"),
    "allreduce": ("sendobj", "op"),
    "scan": ("sendobj", "op"),
    "exscan": ("sendobj", "op"),
    "Dup": ("info",),
    "Split": ("color", "key"),
}
_REDUCTIONS = (
    "SUM", "PROD", "MAX", "MIN", "LAND", "BAND", "LOR", "BOR", "LXOR", "BXOR",
    "MAXLOC", "MINLOC",
)  # fmt: skip


# -- the recipe


def recipe(watcher: Watcher) -> Recipe:
    """What the call is in which main waits."""
    frame = watcher.frame()
    while frame is not None and _TRACING in frame.f_code.co_filename:
        frame = frame.f_back  # it only makes the call that the program wants
    node = None if frame is None else call_node(frame)
    if frame is None or node is None:
        return Recipe("", problem="its call cannot be read")
    if _PACKAGE in frame.f_code.co_filename:
        return Recipe("", problem="its call is one of Steer's own")
    if not isinstance(node.func, ast.Attribute):
        return Recipe("", problem="its call is made by another name")
    MPI = sys.modules["mpi4py.MPI"]
    if MPI.Query_thread() != MPI.THREAD_MULTIPLE:
        level = "its MPI allows one thread at a time only (no MPI_THREAD_MULTIPLE)"
        return Recipe(node.func.attr, problem=level)
    return _Cook(MPI, frame, node, node.func.attr).recipe()


class _Cook:
    """Reads one call of a collective."""

    def __init__(self, MPI: Any, frame: FrameType, node: ast.Call, op: str) -> None:
        self._MPI = MPI
        self._op = op
        names = _PARAMETERS.get(op, ())
        evaluator = Evaluator(
            frame.f_locals, frame.f_globals, frame.f_builtins,
            allow=_only_looks, deadline=thread_time() + LONGEST_LOOK, clock=thread_time,
        )  # fmt: skip
        self._evaluate = evaluator.evaluate
        assert isinstance(node.func, ast.Attribute)
        self._owner = node.func.value
        self._given: dict[str, ast.expr] = dict(zip(names, node.args, strict=False))
        self._given |= {word.arg or "": word.value for word in node.keywords}

    def recipe(self) -> Recipe:
        op = self._op
        if op not in _PARAMETERS:
            message = op.lower().rstrip("e") in (
                "send", "ssend", "rsend", "bsend", "recv", "prob", "mprob", "sendrecv",
                "sendrecv_replac",
            )  # fmt: skip
            return Recipe(op, problem="" if message else "nobody else can take part")
        try:
            comm = self._evaluate(self._owner)
            if type(comm) not in kinds(self._MPI.Comm):
                return Recipe(op, problem="its communicator is not known")
            if comm.Is_inter():
                return Recipe(op, problem="its communicator is between two groups")
            root = as_number(self._value("root", 0))
            if root is None:
                return Recipe(op, problem="its root is not known")
            reduction = self._reduction()
            if op[0].islower() or op in ("Barrier", "Dup", "Split"):
                value = self._object() if reduction else b""
                return Recipe(op, root, reduction=reduction, value=value)
            count, datatype = self._buffer(comm.Get_size())
            in_place = "root" not in _PARAMETERS[op] and self._is_in_place()
            return Recipe(op, root, count, datatype, reduction, in_place=in_place)
        except CannotEvaluate as error:
            return Recipe(op, problem=str(error) or "its arguments are not known")
        except Exception as error:  # noqa: BLE001  objects of the program's say anything
            return Recipe(op, problem=f"its arguments are not known ({error!r})")

    def _value(self, name: str, default: Any = None) -> Any:
        node = self._given.get(name)
        return default if node is None else self._evaluate(node)

    def _reduction(self) -> str:
        if "op" not in _PARAMETERS[self._op]:
            return ""
        op = self._value("op", self._MPI.SUM)
        for name in _REDUCTIONS:
            if op is getattr(self._MPI, name):
                return name
        raise CannotEvaluate("its operation is the program's own")

    def _object(self) -> bytes:
        """What a rank gives to a reduction of objects.

        Main reduces with the interrupt pending: an operator written in Python would
        raise it in the middle, and leave the others waiting for ever.
        """
        try:
            value = self._value("sendobj")
        except CannotEvaluate:
            return b""
        if not _is_native(value):
            kind = type(value).__name__
            raise CannotEvaluate(f"it reduces objects of the program's own ({kind})")
        if not 0 <= bytes_of(value, 3) <= LARGEST:  # before it is written out
            raise CannotEvaluate("what it reduces is too large")
        body = pickle.dumps(value)
        if len(body) > LARGEST:
            raise CannotEvaluate("what it reduces is too large")
        return body

    def _is_in_place(self) -> bool:
        try:
            return type(self._value("sendbuf")) is type(self._MPI.IN_PLACE)
        except CannotEvaluate:
            return False

    def _buffer(self, size: int) -> tuple[int, str]:
        """How many items of what a rank gives, or gets from a root."""
        unknown = CannotEvaluate("its buffers are not known")
        names = ("recvbuf", "sendbuf") if self._op == "Scatter" else (
            "sendbuf", "recvbuf")  # fmt: skip
        for name in names:
            try:
                spec = self._value(name)
            except CannotEvaluate as error:
                unknown = error
                continue
            if spec is None or type(spec) is type(self._MPI.IN_PLACE):
                continue
            parts = size if (self._op, name) in _OF_ALL else 1
            return _extent(self._MPI, spec, parts)
        raise unknown


_OF_ALL = (
    ("Gather", "recvbuf"), ("Scatter", "sendbuf"), ("Allgather", "recvbuf"),
    ("Alltoall", "sendbuf"), ("Alltoall", "recvbuf"),
)  # fmt: skip
"""Buffers that have a part for each rank."""


def _is_native(value: Any, deep: int = 3) -> bool:
    """Whether its operators are written in C."""
    cls = type(value)
    if cls in (int, float, complex, bool, str, bytes):
        return True
    if cls in (list, tuple):
        return bool(deep) and all(_is_native(item, deep - 1) for item in value)
    dtype = getattr(value, "dtype", None) if cls.__module__ == "numpy" else None
    return dtype is not None and dtype.char != "O"


def _only_looks(function: Any, text: str) -> None:
    """New arrays may be made anew to see how large they are: their own are out of
    reach while the call has them. Else what may be called by `peek`."""
    home = getattr(function, "__module__", None)
    name = getattr(function, "__name__", "")
    if home == "numpy" and name in ("zeros", "ones", "empty", "full", "arange"):
        return
    check_call(function, text)


def _extent(MPI: Any, spec: Any, parts: int) -> tuple[int, str]:
    """Items and datatype of a part of a buffer, as mpi4py reads it: a count that is
    given is a part's."""
    count = datatype = None
    data = spec
    if type(spec) in (list, tuple):
        data = spec[0]
        for item in spec[1:]:
            if isinstance(item, MPI.Datatype):
                datatype = item
            elif isinstance(item, int):
                count = item
            elif isinstance(item, str):
                datatype = MPI.Datatype.fromcode(item)
            elif item is not None:
                raise CannotEvaluate("it gives parts of different sizes")
    view = memoryview(data)
    if datatype is None:
        datatype = MPI.Datatype.fromcode(view.format.lstrip("@=<"))
    if not datatype.is_predefined:
        raise CannotEvaluate("its datatype is the program's own")
    if count is None:
        count, rest = divmod(view.nbytes, datatype.Get_size() * parts)
        if rest:
            raise CannotEvaluate("its buffer is not of equal parts")
    return count, datatype.Get_name().removeprefix("MPI_")


# -- acting

Key = tuple[str, str]
"""Of a communicator: its ranks, and its name."""


class _GivenUp(Exception):
    """There is another try, or none any more."""


class _Work:
    """What a helper does for one try, until its deadline."""

    def __init__(self, is_current: Callable[[], bool], seconds: float) -> None:
        self._is_current = is_current
        self._end = monotonic() + seconds
        self.begun = False

    def left(self) -> float:
        """Seconds for what is still to be done."""
        if not self._is_current():
            raise _GivenUp("it was given up")
        return max(0.0, self._end - monotonic())

    def until(self, over: Callable[[], Any], what: str) -> Any:
        """Look until it gives something true."""
        pauses = Pauses()
        while not (found := over()):
            if not self.left():
                raise TimeoutError(what)
            pauses.rest()
        return found


class Helper:
    """What a rank does for others, and has done to its own main thread."""

    def __init__(self, watcher: Watcher, interrupt: Interrupt) -> None:
        self._watcher = watcher
        self._interrupt = interrupt
        self._try = ""
        self._since = 0.0
        """When that was heard of."""
        self._found: dict[Key, Any] = {}
        """Communicators: the frames that have them may be gone when main is back."""
        self._underway: dict[Joined, threading.Event] = {}
        """Collectives in which this rank takes part already, for others."""
        self._lock = threading.Lock()
        self._acting = threading.Lock()
        """Held by the thread that sends and takes."""
        self._sent: list[tuple[Lost, Any, Any]] = []
        """Messages that nobody has received yet."""
        self._acts: dict[str, Callable[[Any, Any, Act, _Work], None]] = {
            "send": self._send,
            "take": self._take,
            "join": self._join,
        }

    # -- the I/O thread

    def begin(self, name: str) -> None:
        """There is a new try: what was to be done for another one is given up."""
        if name != self._try:
            self._try, self._since = name, monotonic()
            self._found = {}

    def flag(self, name: str, mark: Mark) -> str:
        """Let main raise KeyboardInterrupt when it comes back; or why not."""
        frame = self._watcher.frame()
        if frame is None or not _is_still(self._watcher, frame, mark):
            return "it has gone on meanwhile"
        return self._interrupt.set(name, frame)

    def joined(self) -> tuple[Joined, ...]:
        """Collectives in which it takes part for others."""
        with self._lock:
            return tuple(self._underway)

    # -- threads of its own

    def find(self, name: str, wanted: list[Key]) -> str:
        """Find these communicators before anybody is interrupted; or why they are not
        known here."""
        MPI = sys.modules["mpi4py.MPI"]
        kept: dict[Key, Any] = {}
        for key, found in _find(MPI, wanted, self._watcher.frame()).items():
            if not found:
                return f"nothing in Python has {_comm_text(key)} any more"
            if len(found) > 1:
                return f"{_comm_text(key)} is not told from others"
            kept[key] = found[0]
        if name == self._try:
            self._found = kept
        return ""

    def act(self, name: str, acts: list[Act]) -> Done:
        """Do this for others, and see whether they have done it for main."""
        flagged = self._interrupt.keep(name)
        work = _Work(lambda: name == self._try, LONGEST_ACTS)
        problem = self._do(name, acts, work) if acts else ""
        raised = self._interrupt.raised == name
        if flagged and not raised:
            # A failed helper may be the reason that it does not come: do not wait.
            raised = self._interrupt.came.wait(0 if problem else RAISING)
        return Done(problem, work.begun, (), raised)

    def _do(self, name: str, acts: list[Act], work: _Work) -> str:
        MPI = sys.modules["mpi4py.MPI"]
        if name != self._try or monotonic() > self._since + WINDOW:
            return "it was asked too late"
        if not self._acting.acquire(timeout=work.left()):
            return "it is at something else"
        try:
            for act in acts:
                comm = self._found.get((act.members, act.name))
                if not comm:  # freed by main, if it was there
                    return f"{_comm_text((act.members, act.name))} is gone"
                self._acts[act.kind](MPI, comm, act, work)
        except (MPI.Exception, TimeoutError, _GivenUp) as error:
            return f"{act.kind}: {error}"
        finally:
            self._acting.release()
        return ""

    def _join(self, MPI: Any, comm: Any, act: Act, work: _Work) -> None:
        """Take part in a collective, in a thread: nothing but the others ends it. Not
        twice, if it is asked for again while it waits for others who take part."""
        what = act.joins
        assert what is not None
        with self._lock:
            over = self._underway.get(what)
            if over is None:
                over = self._underway[what] = threading.Event()
                problems: list[str] = []
                job = self._joining, (MPI, comm, act, what, over, problems)
                threading.Thread(
                    target=job[0], args=job[1], name="steer-unstick-join", daemon=True
                ).start()
            else:
                problems = []
        work.begun = True
        work.until(over.is_set, f"not all ranks have come to its {what.op}")
        if problems:
            raise TimeoutError(problems[0])

    def _joining(
        self,
        MPI: Any,
        comm: Any,
        act: Act,
        what: Joined,
        over: threading.Event,
        problems: list[str],
    ) -> None:
        try:
            _join(MPI, comm, act)
        except (MPI.Exception, TimeoutError) as error:
            problems.append(str(error))
        finally:
            with self._lock:
                del self._underway[what]
            over.set()

    def _send(self, MPI: Any, comm: Any, act: Act, work: _Work) -> None:
        """Let a receive end: with nothing, or with the object None."""
        body = MPI.pickle.dumps(None) if act.pickled else b""
        me = numbering(MPI).Get_rank()
        lost = Lost(act.members, act.name, me, act.peer, act.tag)
        peer = _local(MPI, comm, act.peer)
        work.left()
        request = comm.Issend([body, MPI.BYTE], peer, act.tag)
        work.begun = True
        self._sent.append((lost, request, body))
        if not act.looks:
            work.until(request.Test, "nobody received the message")
            self._sent.pop()

    def _take(self, MPI: Any, comm: Any, act: Act, work: _Work) -> None:
        """Let a send end."""
        status = MPI.Status()
        source = _local(MPI, comm, act.peer)
        message = work.until(
            lambda: comm.Improbe(source, act.tag, status), "the message did not come"
        )
        work.begun = True
        _swallow(MPI, message, status, work)

    def settle(self, name: str, keep: bool) -> Done:
        """Give up what is not done; take main's interrupt back, unless it is to be
        kept; and say which messages may lie somewhere."""
        if self._try == name:
            self._try = ""
        if not keep:
            self._interrupt.take_back(name)
        problem = ""
        if self._acting.acquire(timeout=STOPPING):
            self._acting.release()
        else:
            problem = "it is at something else"
        self._sent = [each for each in self._sent if not each[1].Test()]
        lost = tuple(lost for lost, _, _ in self._sent)
        self._found = {}
        return Done(problem, False, lost, self._interrupt.raised == name)

    def drain(self, stale: list[Stale], busy: Callable[[], object]) -> Drained:
        """Throw away these messages."""
        MPI = sys.modules["mpi4py.MPI"]
        keys = list(dict.fromkeys((each.members, each.name) for each in stale))
        found = _find(MPI, keys, self._watcher.frame())
        unknown = [key for key, comms in found.items() if len(comms) != 1]
        known = {key: comms[0] for key, comms in found.items() if len(comms) == 1}
        work = _Work(lambda: True, STOPPING)
        dropped = 0
        problem = ""
        quiet = monotonic() + CALM
        pauses = Pauses()
        left = [each for each in stale if (each.members, each.name) in known]
        while left and monotonic() < quiet and work.left():
            for each in list(left):
                if not each.once and busy():
                    problem = "something runs there already"
                    left.remove(each)
                elif _drop(MPI, known[each.members, each.name], each, work):
                    dropped += 1
                    quiet = monotonic() + CALM
                    if each.once:
                        left.remove(each)
            pauses.rest()
        if unknown:
            problem = f"{_comm_text(unknown[0])} is not found there"
        return Drained(dropped, problem)


def _is_still(watcher: Watcher, frame: FrameType, mark: Mark) -> bool:
    """Whether main has been in this one call without a break."""
    still = watcher.still
    if still.runs_quickly() or still.runs != mark.runs:
        return False
    if frame.f_lasti != mark.instruction or (frame.f_lineno or 0) != mark.line:
        return False
    call = watcher.look().call
    return call is not None and _same(call, mark.call) and still.runs == mark.runs


def _same(call: Call, other: Call | None) -> bool:
    """Whether they may be the same: what could not be seen once is not compared."""
    if other is None or call.op != other.op:
        return False
    pairs: list[tuple[object, object]] = [(call.root, other.root)]
    if call.comm is not None and other.comm is not None:
        pairs.append((call.comm.key, other.comm.key))
    for mine, theirs in ((call.send, other.send), (call.receive, other.receive)):
        if mine is not None and theirs is not None:
            pairs += [(mine.peer, theirs.peer), (mine.tag, theirs.tag)]
    return all(a == b or UNKNOWN in (a, b) for a, b in pairs)


def mark(watcher: Watcher) -> Mark:
    """Where main is."""
    frame = watcher.frame()
    if frame is None:
        return Mark()
    return Mark(watcher.still.runs, frame.f_lasti, frame.f_lineno or 0)


def _comm_text(key: Key) -> str:
    ranks, name = key
    return f"the communicator {name} of ranks {ranks}".replace("  ", " ")


def _communicators(MPI: Any, main: FrameType | None) -> Iterator[Any]:
    """All that Python objects refer to: they are not known to the collector
    themselves, so who refers to them is looked through. Nothing is asked but what type
    it has: objects of the program's may answer with code of the program's."""
    wanted = kinds(MPI.Comm)
    frame = main
    while frame is not None:
        yield from [v for v in frame.f_locals.values() if type(v) in wanted]
        frame = frame.f_back
    everything = gc.get_objects()
    while everything:  # what was looked through is not kept alive by us
        held = gc.get_referents(*everything[-CHUNK:])
        del everything[-CHUNK:]
        found = [thing for thing in held if type(thing) in wanted]
        del held
        yield from found


def _find(MPI: Any, wanted: list[Key], main: FrameType | None) -> dict[Key, list[Any]]:
    """The communicators that have these names; several if they cannot be told apart."""
    found: dict[Key, list[Any]] = {key: [] for key in wanted}
    rest = [key for key in wanted if key[1] != "WORLD"]
    for key in found.keys() - set(rest):
        found[key] = [MPI.COMM_WORLD]
    seen: list[Any] = []
    for thing in _communicators(MPI, main) if rest else ():
        if not thing or thing == mpi.own or any(thing == other for other in seen):
            continue
        seen.append(thing)
        try:
            key = Members(MPI, thing).describe("").key
        except MPI.Exception:  # freed meanwhile
            continue
        if key in rest:
            found[key].append(thing)
    return found


def _local(MPI: Any, comm: Any, rank: int) -> int:
    """A rank of the world in a communicator, or in the other group of one between
    two."""
    world = numbering(MPI).Get_group()
    group = comm.Get_remote_group() if comm.Is_inter() else comm.Get_group()
    try:
        return int(MPI.Group.Translate_ranks(world, [rank], group)[0])
    finally:
        group.Free()
        world.Free()


_unfinished: list[tuple[Any, Any]] = []
"""Receives that did not end in time, with what MPI still writes to."""


def _swallow(MPI: Any, message: Any, status: Any, work: _Work) -> None:
    body = bytearray(status.Get_count(MPI.BYTE))
    request = message.Irecv([body, MPI.BYTE])
    _unfinished[:] = [each for each in _unfinished if not each[0].Test()]
    _unfinished.append((request, body))
    work.until(request.Test, "the message did not come whole")


def _join(MPI: Any, comm: Any, act: Act) -> None:
    """Take part in a collective."""
    assert act.recipe is not None
    recipe, op = act.recipe, act.recipe.op
    call = getattr(comm, op)
    if op in ("Barrier", "barrier") or op == "Dup":
        call()
    elif op == "Split":
        call(MPI.UNDEFINED)
    elif op[0].islower():
        _join_with_objects(MPI, comm, recipe, call)
    else:
        _join_with_buffers(MPI, comm, recipe, call)


def _join_with_objects(MPI: Any, comm: Any, recipe: Recipe, call: Any) -> None:
    many = [None] * comm.Get_size()
    match recipe.op:
        case "bcast" | "gather":
            call(None, root=recipe.root)
        case "scatter":
            call(many if comm.Get_rank() == recipe.root else None, root=recipe.root)
        case "allgather":
            call(None)
        case "alltoall":
            call(many)
        case "reduce":
            call(_given(recipe), op=getattr(MPI, recipe.reduction), root=recipe.root)
        case _:
            call(_given(recipe), op=getattr(MPI, recipe.reduction))


def _given(recipe: Recipe) -> Any:
    """What a rank adds to a reduction: what another does, or a number, which most
    programs reduce."""
    return pickle.loads(recipe.value) if recipe.value else 0


def _join_with_buffers(MPI: Any, comm: Any, recipe: Recipe, call: Any) -> None:
    datatype = getattr(MPI, recipe.datatype)
    size = comm.Get_size()
    length = recipe.count * datatype.Get_size()

    def room(times: int = 1) -> list[Any]:
        return [bytearray(length * times), recipe.count, datatype]

    def given(times: int = 1) -> Any:
        return MPI.IN_PLACE if recipe.in_place else room(times)

    at_root = comm.Get_rank() == recipe.root
    match recipe.op:
        case "Bcast":
            call(room(), root=recipe.root)
        case "Gather":
            call(room(), room(size) if at_root else None, root=recipe.root)
        case "Scatter":
            call(room(size) if at_root else None, room(), root=recipe.root)
        case "Allgather":
            call(given(), room(size))
        case "Alltoall":
            call(given(size), room(size))
        case "Reduce":
            op = getattr(MPI, recipe.reduction)
            call(room(), room() if at_root else None, op=op, root=recipe.root)
        case _:
            call(given(), room(), op=getattr(MPI, recipe.reduction))


def revoke(watcher: Watcher) -> None:
    """End all calls of main on communicators that have lost a rank, and all others."""
    MPI = sys.modules["mpi4py.MPI"]
    found = [c for c in _communicators(MPI, watcher.frame()) if c and c != mpi.own]
    for comm in [*found, MPI.COMM_WORLD]:
        if comm != MPI.COMM_SELF and not comm.Is_revoked():
            comm.Revoke()


# -- what is left over


def _drop(MPI: Any, comm: Any, stale: Stale, work: _Work) -> bool:
    """Throw a message away; says whether there was one."""
    status = MPI.Status()
    tag = MPI.ANY_TAG if stale.tag == ANY else stale.tag
    message = comm.Improbe(_local(MPI, comm, stale.source), tag, status)
    if message is not None:
        _swallow(MPI, message, status, work)
    return message is not None
