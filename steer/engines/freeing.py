"""What a rank's helper threads do to bring blocked ranks back (`core/freeing.py`).

    recipe    what the call is in which main waits, exactly
    find      the communicators on which something is to be done, and keep them
    flag      let main raise KeyboardInterrupt before its next bytecode
    act       send, take, or join in, in place of main
    drain     throw away messages that nobody will receive

All of them need MPI_THREAD_MULTIPLE, and threads of their own: a call may block.
"""

from __future__ import annotations

import _thread
import ast
import gc
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from time import monotonic, thread_time
from types import FrameType
from typing import Any

from steer.core.freeing import Act, Recipe
from steer.engines import mpi
from steer.engines.blocked import LONGEST_LOOK, call_node
from steer.engines.comms import Members, as_number, numbering
from steer.engines.evaluating import CannotEvaluate, Evaluator
from steer.engines.looking import Watcher
from steer.engines.peeking import check_call
from steer.engines.underway import bytes_of
from steer.ranks import RankSet

LONGEST_ACT = 5.0
"""Seconds for one message to be sent or taken."""
LARGEST = 1 << 20
"""Bytes of an object that travels to those who take part in a reduction."""
NAP = 0.0005
_TRACING = "/steer/engines/tracing.py:"
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
            root = as_number(self._value("root", 0))
            if root is None:
                return Recipe(op, problem="its root is not known")
            reduction = self._reduction()
            if op[0].islower() or op in ("Barrier", "Dup", "Split"):
                value = self._object() if reduction else b""
                return Recipe(op, root, reduction=reduction, value=value)
            count, datatype = self._buffer(root)
            return Recipe(op, root, count, datatype, reduction)
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

    def _buffer(self, root: int) -> tuple[int, str]:
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
            return _extent(self._MPI, spec)
        raise unknown


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


def _extent(MPI: Any, spec: Any) -> tuple[int, str]:
    """Items and datatype of a buffer, as mpi4py reads it."""
    count = datatype = None
    data = spec
    if isinstance(spec, list | tuple):
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
        count = view.nbytes // datatype.Get_size()
    return count, datatype.Get_name().removeprefix("MPI_")


# -- acting

Key = tuple[str, str]
"""Of a communicator: its ranks, and its name."""


class Helper:
    """What a rank does for others, and has done to its own main thread."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._found: dict[Key, Any] = {}
        """Communicators: the frames that have them may be gone when main is back."""
        self._underway: dict[tuple[Any, ...], threading.Event] = {}
        """Collectives in which this rank takes part already, for others."""
        self._lock = threading.Lock()
        self._acts: dict[str, Callable[[Any, Any, Act], None]] = {
            "send": _send,
            "take": _take,
            "join": self._join,
        }

    def find(self, wanted: list[Key]) -> str:
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
        self._found = kept
        return ""

    def flag(self, seen: Recipe) -> str:
        """Let main raise KeyboardInterrupt when it comes back; or why not."""
        if recipe(self._watcher) != seen:
            return "it has gone on meanwhile"
        _thread.interrupt_main(signal.SIGINT)
        return ""

    def act(self, acts: list[Act]) -> str:
        """Do this for others; or why it could not be done."""
        MPI = sys.modules["mpi4py.MPI"]
        for act in acts:
            comm = self._found.get((act.members, act.name))
            if not comm:  # freed by main, if it was there
                return f"{_comm_text((act.members, act.name))} is gone"
            try:
                self._acts[act.kind](MPI, comm, act)
            except (MPI.Exception, TimeoutError) as error:
                return f"{act.kind}: {error}"
        return ""

    def _join(self, MPI: Any, comm: Any, act: Act) -> None:
        """Take part in a collective; not twice, if it is asked for again while it waits
        for others who take part."""
        assert act.recipe is not None
        what = act.members, act.name, act.recipe.op, act.recipe.root
        with self._lock:
            before = self._underway.get(what)
            over = self._underway.setdefault(what, threading.Event())
        if before is not None:
            before.wait()
            return
        try:
            _join(MPI, comm, act)
        finally:
            with self._lock:
                del self._underway[what]
            over.set()

    def drain(self, keys: list[Key]) -> int:
        """Throw away the messages that have come on these communicators; how many."""
        MPI = sys.modules["mpi4py.MPI"]
        me = numbering(MPI).Get_rank()
        mine = [key for key in keys if me in RankSet.parse(key[0])]
        found = _find(MPI, mine, self._watcher.frame()).values()
        self._found = {}
        return _drain(MPI, [comms[0] for comms in found if len(comms) == 1])


def _comm_text(key: Key) -> str:
    ranks, name = key
    return f"the communicator {name} of ranks {ranks}".replace("  ", " ")


def _communicators(MPI: Any, main: FrameType | None) -> Iterator[Any]:
    """All that Python objects refer to: they are not known to the collector
    themselves, so who refers to them is looked through."""
    frame = main
    while frame is not None:
        yield from (v for v in frame.f_locals.values() if isinstance(v, MPI.Comm))
        frame = frame.f_back
    everything = gc.get_objects()
    for start in range(0, len(everything), CHUNK):
        held = gc.get_referents(*everything[start : start + CHUNK])
        yield from [thing for thing in held if isinstance(thing, MPI.Comm)]


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
        key = Members(MPI, thing).describe("").key
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


def _until(over: Callable[[], Any], what: str) -> Any:
    end = monotonic() + LONGEST_ACT
    while True:
        found = over()
        if found:
            return found
        if monotonic() > end:
            raise TimeoutError(what)
        time.sleep(NAP)


def _send(MPI: Any, comm: Any, act: Act) -> None:
    """Let a receive end: with nothing, or with the object None."""
    body = MPI.pickle.dumps(None) if act.pickled else b""
    request = comm.Isend([body, MPI.BYTE], _local(MPI, comm, act.peer), act.tag)
    _until(request.Test, "nobody received the message")


def _take(MPI: Any, comm: Any, act: Act) -> None:
    """Let a send end."""
    status = MPI.Status()
    source = _local(MPI, comm, act.peer)
    message = _until(
        lambda: comm.Improbe(source, act.tag, status), "the message did not come"
    )
    _swallow(MPI, message, status)


def _swallow(MPI: Any, message: Any, status: Any) -> None:
    body = bytearray(status.Get_count(MPI.BYTE))
    request = message.Irecv([body, MPI.BYTE])
    _until(request.Test, "the message did not come whole")


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
        return [bytearray(length * times), datatype]

    at_root = comm.Get_rank() == recipe.root
    match recipe.op:
        case "Bcast":
            call(room(), root=recipe.root)
        case "Gather":
            call(room(), room(size) if at_root else None, root=recipe.root)
        case "Scatter":
            call(room(size) if at_root else None, room(), root=recipe.root)
        case "Allgather":
            call(room(), room(size))
        case "Alltoall":
            call(room(), room())
        case "Reduce":
            op = getattr(MPI, recipe.reduction)
            call(room(), room() if at_root else None, op=op, root=recipe.root)
        case _:
            call(room(), room(), op=getattr(MPI, recipe.reduction))


def revoke(watcher: Watcher) -> None:
    """End all calls of main on communicators that have lost a rank, and all others."""
    MPI = sys.modules["mpi4py.MPI"]
    found = [c for c in _communicators(MPI, watcher.frame()) if c and c != mpi.own]
    for comm in [*found, MPI.COMM_WORLD]:
        if comm != MPI.COMM_SELF and not comm.Is_revoked():
            comm.Revoke()


# -- what is left over


def _drain(MPI: Any, comms: list[Any]) -> int:
    dropped = 0
    quiet = monotonic() + CALM
    while comms and monotonic() < quiet:
        for comm in comms:
            status = MPI.Status()
            message = comm.Improbe(MPI.ANY_SOURCE, MPI.ANY_TAG, status)
            if message is not None:
                _swallow(MPI, message, status)
                dropped += 1
                quiet = monotonic() + CALM
        time.sleep(NAP)
    return dropped
