"""What every view has: flags, calls, and questions about its own work."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

from steer.client.asyncresult import AsyncResult
from steer.client.history import History
from steer.client.requests import Request
from steer.client.undisturbed import Undisturbed
from steer.wire import payload

if TYPE_CHECKING:
    from steer.client.client import Client

Targets = int | Sequence[int] | str | None


class View:
    """Flags, and what every view has."""

    _flag_names: tuple[str, ...] = ("targets", "block", "track", "label")

    def __init__(self, client: Client, targets: Targets, **flags: Any) -> None:
        self.client = client
        self.targets = targets
        self.block = client.block
        self.track = False
        self.label = ""
        self._sent = History()
        self.set_flags(**flags)

    def set_flags(self, **flags: Any) -> Self:
        """Set attributes for all calls to come; returns the view."""
        for name, value in flags.items():
            if name not in self._flag_names:
                raise KeyError(f"Invalid name: {name!r}")
            setattr(self, name, value)
        return self

    @contextlib.contextmanager
    def temp_flags(self, **flags: Any) -> Iterator[None]:
        """Set attributes for the calls in a block."""
        before = {name: getattr(self, name, None) for name in flags}
        self.set_flags(**flags)
        try:
            yield
        finally:
            self.set_flags(**before)

    @property
    def history(self) -> list[str]:
        """The ids of the messages it has sent, the latest last."""
        return self._sent.msg_ids()

    @property
    def outstanding(self) -> set[str]:
        """Its messages that are not answered yet."""
        return self.client._memory.outstanding(set(self._sent.requests()))

    @property
    def results(self) -> dict[str, Any]:
        """The values of its messages, as far as the client still keeps them."""
        mine = set(self.history)
        return {i: r for i, r in self.client.results.items() if i in mine}

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of its messages, as far as the client still keeps them."""
        mine = set(self.history)
        return {i: m for i, m in self.client.metadata.items() if i in mine}

    def _ids(self, targets: Targets = None) -> tuple[list[int], bool]:
        """Engine ids, and whether one was meant rather than a list."""
        return self.client._resolve(self.targets if targets is None else targets)

    def __len__(self) -> int:
        return len(self._ids()[0])

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.targets}>"

    # -- calls

    def apply(self, f: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call f on the engines; waits if the view blocks."""
        return self._apply(f, args, kwargs, self.block)

    def apply_async(self, f: Any, /, *args: Any, **kwargs: Any) -> AsyncResult:
        """Call f on the engines; returns at once."""
        result: AsyncResult = self._apply(f, args, kwargs, False)
        return result

    def apply_sync(self, f: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call f on the engines and wait."""
        return self._apply(f, args, kwargs, True)

    def _apply(
        self, f: Any, args: Sequence[Any], kwargs: dict[str, Any], block: bool | None
    ) -> Any:
        name = getattr(f, "__name__", None) or repr(f)
        frames = payload.dumps_call(f, args, kwargs, self.client._dump)
        return self._send("apply", frames, block=block, name=name)

    def _send(
        self,
        kind: Any,
        frames: Sequence[Any],
        *,
        targets: Targets = None,
        block: bool | None = None,
        name: str = "",
    ) -> Any:
        """Send one request; gives its result, or what it holds if `block`."""
        ids, single = self._ids(targets)
        result = AsyncResult(
            self.client, kind, fname=name, single=single, label=self.label
        )
        self._request(result, kind, ids, frames, name=name)
        return self._finish(result, block)

    def _request(
        self,
        result: AsyncResult,
        kind: Any,
        ids: Sequence[int],
        frames: Sequence[Any],
        **options: Any,
    ) -> None:
        """Send a request whose answers belong to a result."""
        link, label = self.client.link, result._about.label

        def submit(sink: Request) -> Any:
            return link.submit(kind, ids, frames, sink, label=label, **options)

        with Undisturbed():  # what was sent is known here too
            request = result._add(submit, ids)
            self.client._note(request)
            self._sent.add(request)

    def _finish(self, result: AsyncResult, block: bool | None) -> Any:
        if self.block if block is None else block:
            try:
                return result.get()
            except KeyboardInterrupt:
                pass  # the work goes on: hand it out
        return result

    # -- about work

    def spin(self) -> None:
        """Do nothing: answers come by themselves. Old notebooks call it."""

    def wait(self, jobs: Any = None, timeout: float | None = -1) -> bool:
        """Wait for these, or for all that this view has sent."""
        mine = set(self._sent.requests())
        wanted = self.client._memory.unfinished(mine) if jobs is None else jobs
        return self.client.wait(wanted, timeout)

    def get_result(
        self, ids: Any, block: bool | None = None, owner: bool = True
    ) -> Any:
        """A result by its id; see `Client.get_result`."""
        return self.client.get_result(ids, block=block, owner=owner)

    def abort(
        self, jobs: Any = None, targets: Targets = None, block: Any = None
    ) -> None:
        """Do not start these, or anything this view has sent."""
        wanted = self.outstanding if jobs is None else jobs
        self.client.abort(wanted, self.targets if targets is None else targets)

    def queue_status(self, targets: Targets = None, verbose: bool = False) -> Any:
        """What its engines have to do."""
        wanted = self.targets if targets is None else targets
        return self.client.queue_status(wanted, verbose)

    def purge_results(self, jobs: Any = (), targets: Any = ()) -> None:
        """Forget results, here and in the journal."""
        self.client.purge_results(jobs, targets)

    def shutdown(
        self, targets: Targets = None, restart: bool = False, hub: bool = False,
        block: bool | None = None,
    ) -> None:  # fmt: skip
        """End its engines."""
        wanted = self.targets if targets is None else targets
        self.client.shutdown(wanted, restart=restart, hub=hub, block=block)
