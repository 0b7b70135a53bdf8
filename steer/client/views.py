"""Views: the same work on several engines at once.

A `DirectView` sends one request that names all its engines; the hub fans it out and
merges the answers, so a view of a thousand ranks costs its client what a view of one
does.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from steer.client import importing, partition
from steer.client.activation import activate
from steer.client.results import AsyncMapResult, AsyncResult
from steer.client.seeing import Seeing, offer_peek
from steer.client.steerable import Steerable
from steer.client.viewing import Targets, View
from steer.errors import UsageError
from steer.ranks import RankSet
from steer.wire import payload

if TYPE_CHECKING:
    from steer.client.client import Client
    from steer.client.console import Console
    from steer.client.remote import ParallelFunction, RemoteFunction

ON_ERROR = ("stop", "continue")


class DirectView(Seeing, View, Steerable):
    """Everything that is done on all engines of the view.

    With the target "all" these are the engines that are there at each call.
    """

    # -- code

    def execute(
        self,
        code: str,
        silent: bool = True,
        targets: Targets = None,
        block: bool | None = None,
        label: str | None = None,
        on_error: str = "stop",
    ) -> AsyncResult:
        """Run a cell; always returns the result, finished if it blocks.

        With `silent=False` it is a cell of a notebook: it waits until the cells before
        it have ended on all its engines, and is aborted on all of them if one of those
        fails; `on_error="continue"` runs it in any case, as soon as each engine can.
        """
        if not isinstance(code, str):
            raise TypeError(f"code must be text, not {type(code)}")
        if on_error not in ON_ERROR:
            wanted = " or ".join(map(repr, ON_ERROR))
            raise UsageError(f"on_error is {wanted}, not {on_error!r}.")
        ids, single = self._ids(targets)
        result = AsyncResult(
            self.client, "execute", fname="execute", single=single, code=code,
            label=label or self.label,
        )  # fmt: skip
        self._request(
            result, "execute", ids, [code.encode()], name="execute",
            silent=silent, store_history=not silent,
            joint=not silent and on_error == "stop",
        )  # fmt: skip
        self._finish(result, block)
        return result

    def run(
        self,
        filename: str,
        targets: Targets = None,
        block: bool | None = None,
        label: str | None = None,
    ) -> AsyncResult:
        """Run a local file on the engines."""
        code = Path(filename).expanduser().read_text()
        return self.execute(code + "\n", targets=targets, block=block, label=label)

    # -- names

    def push(
        self, ns: Mapping[str, Any], targets: Targets = None,
        block: bool | None = None, track: bool | None = None,
    ) -> Any:  # fmt: skip
        """Assign names on the engines; dotted ones too."""
        if not isinstance(ns, Mapping):
            raise TypeError(f"Must be a dict, not {type(ns)}")
        frames = payload.dumps_names(dict(ns), self.client._dump)
        return self._send("push", frames, targets=targets, block=block, name="push")

    def update(self, ns: Mapping[str, Any]) -> Any:
        """The same as push."""
        return self.push(ns)

    def pull(
        self, names: Any, targets: Targets = None, block: bool | None = None
    ) -> Any:
        """The values of names or expressions; a list of them gives lists."""
        if not isinstance(names, str):
            names = _checked_names(names)
        frames = payload.dumps(names)
        result = self._send("pull", frames, targets=targets, block=False, name="pull")
        if isinstance(names, str) and (self.block if block is None else block):
            try:
                offer_peek(result, names)
            except KeyboardInterrupt:
                return result  # as `_finish` has it
        return self._finish(result, block)

    def get(self, names: Any) -> Any:
        """The values of names or expressions; always waits."""
        return self.pull(names, block=True)

    def __getitem__(self, names: Any) -> Any:
        return self.get(names)

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def clear(self, targets: Targets = None, block: bool | None = None) -> Any:
        """Forget the user's names on the engines."""
        result = self._send("clear", [b""], targets=targets, block=False, name="clear")
        return self._nothing(result, block)

    def _nothing(self, result: AsyncResult, block: bool | None) -> Any:
        """Finish what has no values: None if it blocks."""
        done = self._finish(result, block)
        return done if done is result else None

    # -- sequences

    def scatter(
        self,
        key: str,
        seq: Any,
        dist: str = "b",
        flatten: bool = False,
        targets: Targets = None,
        block: bool | None = None,
        track: bool | None = None,
    ) -> Any:
        """Divide a sequence among the engines under a name."""
        ids, _ = self._ids(targets)
        seq = partition.sliceable(seq)
        shares = [partition.part(seq, i, len(ids), dist) for i in range(len(ids))]
        if flatten:
            shares = [share[0] if len(share) == 1 else share for share in shares]
        every = [payload.dumps_names({key: s}, self.client._dump) for s in shares]
        result = AsyncResult(
            self.client, "push", fname="scatter", label=self.label, requests=len(ids)
        )
        for engine, frames in zip(ids, every, strict=True):
            self._request(result, "push", [engine], frames, name="scatter")
        return self._nothing(result, block)

    def gather(
        self, key: str, dist: str = "b", targets: Targets = None,
        track: bool | None = None, block: bool | None = None,
    ) -> Any:  # fmt: skip
        """Put together what was scattered."""
        ids, _ = self._ids(targets)
        result = AsyncMapResult(
            self.client, "pull", fname="gather", label=self.label, dist=dist
        )
        self._request(result, "pull", ids, payload.dumps(key), name="gather")
        return self._finish(result, block)

    def map(self, f: Any, *sequences: Any, **options: Any) -> Any:
        """Call f on the elements, a chunk on each engine; waits if the view blocks."""
        block = options.pop("block", None)
        return self._finish(self._map(f, sequences, **options), block)

    def map_async(self, f: Any, *sequences: Any, **options: Any) -> AsyncMapResult:
        """The same, returning at once."""
        if "block" in options:
            raise TypeError("map_async doesn't take a `block` keyword argument.")
        return self._map(f, sequences, **options)

    def map_sync(self, f: Any, *sequences: Any, **options: Any) -> list[Any]:
        """The same, waiting."""
        if "block" in options:
            raise TypeError("map_sync doesn't take a `block` keyword argument.")
        values: list[Any] = self._finish(self._map(f, sequences, **options), True)
        return values

    def imap(self, f: Any, *sequences: Any, **options: Any) -> Iterator[Any]:
        """The same, giving results in order as they come."""
        return iter(self._map(f, sequences, **options))

    def _map(
        self,
        f: Any,
        sequences: Sequence[Any],
        *,
        return_exceptions: bool = False,
        dist: str = "b",
        track: bool | None = None,
        label: str | None = None,
        chunksize: int | None = None,
    ) -> AsyncMapResult:
        if not sequences:
            raise TypeError("must have some sequences to map onto!")
        if chunksize is not None:
            warnings.warn(
                "A DirectView makes one chunk for each engine; chunksize is ignored.",
                stacklevel=3,
            )
        ids, _ = self._ids()
        chunks = _chunks(sequences, len(ids), dist)
        name = getattr(f, "__name__", None) or repr(f)
        every = [
            payload.dumps_call(call_on_each, [f, *chunk], {}, self.client._dump)
            for chunk in chunks
        ]
        result = AsyncMapResult(
            self.client, "apply", fname=name, return_exceptions=return_exceptions,
            label=label or self.label, dist=dist, requests=len(chunks),
            lengths=[len(chunk[0]) for chunk in chunks],
        )  # fmt: skip
        if not chunks:
            result.set_result(None)
        for engine, frames in zip(ids, every, strict=False):
            self._request(result, "apply", [engine], frames, name=name)
        return result

    def _divide(self, f: ParallelFunction, whole: Sequence[Any], length: int) -> Any:
        """Call a function once on each engine, with its share of the sequences."""
        ids = self._ids()[0][: max(length, 1)]
        name = getattr(f.func, "__name__", repr(f.func))
        every = [
            payload.dumps_call(
                f.func,
                [partition.part(s, i, len(ids), f.dist) for s in whole],
                {},
                self.client._dump,
            )
            for i in range(len(ids))
        ]
        result = AsyncMapResult(
            self.client, "apply", fname=name, dist=f.dist, requests=len(ids),
            label=self.label,
        )  # fmt: skip
        for engine, frames in zip(ids, every, strict=True):
            self._request(result, "apply", [engine], frames, name=name)
        return self._finish(result, None)

    def _map_parallel(self, f: ParallelFunction, sequences: Sequence[Any]) -> Any:
        return self.map(f.func, *sequences, dist=f.dist)

    # -- decorators

    def remote(
        self, block: bool | None = None, **flags: Any
    ) -> Callable[[Any], RemoteFunction]:
        """A decorator: calls run on the engines."""
        from steer.client.remote import remote

        return remote(self, block=block, **flags)

    def parallel(
        self, dist: str = "b", block: bool | None = None, **flags: Any
    ) -> Callable[[Any], ParallelFunction]:
        """A decorator: a call's sequences are divided among the engines."""
        from steer.client.remote import parallel

        return parallel(self, dist=dist, block=block, **flags)

    # -- front ends

    def console(self, targets: Targets = None) -> Console:
        """Start a kernel on its engines for other front ends; says how to open it.

        It ends with the client, or by `close()`; the engines stay.
        """
        from steer.client.console import Console

        ids, _ = self._ids(targets)
        console = Console(self.client.link.connection, str(RankSet(ids)))
        self.client.at_close.append(console.close)
        sys.stdout.write(f"{console.command}\n")
        return console

    # -- modules

    @contextlib.contextmanager
    def sync_imports(self, local: bool = True, quiet: bool = False) -> Iterator[Self]:
        """Import on the engines what the block imports here."""
        if not local:
            raise UsageError("sync_imports always imports locally as well.")
        with importing.watching() as seen:
            yield self
        for statement, sentence in seen:
            if not quiet:
                sys.stdout.write(f"{sentence} on engine(s)\n")
            self.execute(statement, block=True).get()

    @property
    def importer(self) -> Any:
        """sync_imports(), as a property."""
        return self.sync_imports()

    def use_cloudpickle(self) -> None:
        """Pickle by cloudpickle from now on, always."""
        import cloudpickle

        self.client._dump = cloudpickle.dumps

    def use_pickle(self) -> None:
        """Pickle as is best for each value: plainly, by cloudpickle where it must
        be."""
        self.client._dump = None

    def use_dill(self) -> None:
        """Pickle by dill from now on."""
        try:
            import dill
        except ImportError:
            raise UsageError("dill is not installed; try pip install dill.") from None
        dill.extend(False)  # leave the rest of the program's pickling as it is
        self.client._dump = lambda value, **options: dill.dumps(
            value, protocol=options["protocol"]
        )

    def activate(self, suffix: str = "") -> None:
        """Let IPython's `%px` and its family, with a suffix, work on this view."""
        activate(self, suffix)


class BroadcastView(DirectView):
    """A DirectView; the fan-out is the same underneath."""

    def __init__(
        self,
        client: Client,
        targets: Targets,
        is_coalescing: bool = False,
        **flags: Any,
    ) -> None:
        ids, single = client._resolve(targets)
        super().__init__(client, ids[0] if single else ids, **flags)
        self.is_coalescing = is_coalescing


def _checked_names(names: Any) -> list[str]:
    if not isinstance(names, list | tuple | set):
        raise TypeError(f"names must be strs, not {names!r}")
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"keys must be str, not type {type(name)!r}")
    return list(names)


def _chunks(sequences: Sequence[Any], count: int, dist: str) -> list[list[Any]]:
    """For each engine its share of every sequence; the shortest rules."""
    whole = [partition.sliceable(sequence) for sequence in sequences]
    length = min(map(len, whole))
    engines = range(min(count, length))
    return [
        [partition.part(s[:length], i, len(engines), dist) for s in whole]
        for i in engines
    ]


def call_on_each(f: Any, *sequences: Iterable[Any]) -> list[Any]:
    """What map runs on an engine."""
    return list(itertools.starmap(f, zip(*sequences, strict=False)))
