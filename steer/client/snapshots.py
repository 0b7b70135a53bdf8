"""Copies of a run's variables, to go back to: `run.snapshot("u")`, `run.rewind()`.

At a stop, on all ranks or on none. Variables get back what they held; the loop itself
is not set back: points, and the loop's own counter, go on from where they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from steer.client.asyncresult import AsyncResult
from steer.client.told import Told
from steer.errors import UsageError
from steer.ranks import RankSet, describe
from steer.reference import Reference
from steer.wire import payload

if TYPE_CHECKING:
    from steer.client.client import Client


_THERE = "__import__('steer.engines.snapshots').engines.snapshots"


class Sentence(Told, str):
    """What was done, for people."""

    def __repr__(self) -> str:
        return str(self)


class Snapshots:
    """What a `Run` has of this."""

    client: Client
    status: Callable[[], dict[str, Any]]

    def snapshot(self, *names: Any) -> Sentence:
        """Keep what these variables of the loop hold, or all that can be kept, on every
        rank. A later snapshot takes the place of this one, unless it is refused."""
        for name in names:
            if not isinstance(name, str) or not name.isidentifier():
                raise UsageError(
                    f"A snapshot is of variables by name, not of {name!r}."
                )
        ids, point = self._stopped()
        told = self._told_by_all(ids, f"check({names!r})")
        if any(one["refused"] for one in told):
            raise UsageError(_refusal("snapshot", ids, told))
        text = " ".join(("snapshot", *names))
        told = self._on_all(ids, text, "take", names, point)
        if any(one["refused"] for one in told):
            some = [i for i, one in zip(ids, told, strict=True) if not one["refused"]]
            if some:
                self._on_all(some, "drop the snapshot", "drop")
            raise UsageError(_refusal("snapshot", ids, told))
        return Sentence(_taken(told, point))

    def rewind(self) -> Sentence:
        """Put back what the last snapshot has kept, on every rank."""
        ids, point = self._stopped()
        told = self._told_by_all(ids, "look()")
        if any(one["refused"] for one in told):
            raise UsageError(_refusal("rewind", ids, told))
        then = {one["point"] for one in told}
        if len(then) > 1:
            raise UsageError(
                "The ranks have snapshots of different points; take a new one."
            )
        told = self._on_all(ids, "rewind", "put_back")
        names = ", ".join(told[0]["names"])
        return Sentence(
            f"{names}: as at point {then.pop()}; the loop goes on at point {point}"
        )

    def _stopped(self) -> tuple[list[int], int]:
        """All its engines, and the point at which they hold."""
        status = self.status()
        held = [f for f in status["families"] if f["phase"] == "stopped"]
        ranks = RankSet.parse(status["ranks"]) - RankSet(map(int, status["lost"]))
        if not ranks:
            raise UsageError(
                "The program has failed on all ranks, and does not go on: look into it "
                "with run.execute, or end it with `steer stop`."
            )
        held_ranks = RankSet()
        for family in held:
            held_ranks |= RankSet.parse(family["ranks"])
        if not ranks <= held_ranks:
            raise UsageError("The run is not stopped: stop it first.")
        return list(ranks), held[0]["point"]

    def _told_by_all(self, ids: list[int], question: str) -> list[Any]:
        """A question, which is none of the journal's."""
        told: list[Any] = self.client[ids].pull(f"{_THERE}.{question}", block=True)
        return told

    def _on_all(
        self, ids: list[int], name: str, function: str, *args: Any
    ) -> list[Any]:
        """Run it there (`engines/snapshots.py`); the journal has it by this name."""
        result = AsyncResult(self.client, "apply", fname=name)
        frames = payload.dumps_call(Reference(f"{_THERE}.{function}"), args, {})
        self.client[ids]._request(result, "apply", ids, frames, name=name)
        values: list[Any] = result.get()
        return values


def _refusal(what: str, ids: list[int], told: list[Any]) -> str:
    ranks: dict[str, list[int]] = {}
    for engine, one in zip(ids, told, strict=True):
        if one["refused"]:
            ranks.setdefault(one["refused"], []).append(engine)
    some = "; ".join(f"on {describe(RankSet(r))} {why}" for why, r in ranks.items())
    return f"There is no {what}: {some}."


def _taken(told: list[Any], point: int) -> str:
    size = sum(one["size"] for one in told)
    names = ", ".join(told[0]["names"])
    text = f"snapshot at point {point}: {names}  {_bytes(size)} on {len(told)} ranks"
    left: dict[str, str] = {}
    for one in told:
        left |= one["left_out"]
    if left:
        some = ", ".join(f"{path} ({kind})" for path, kind in sorted(left.items())[:5])
        more = f" and {len(left) - 5} more" if len(left) > 5 else ""
        text += f"\nNot in it, because their state cannot be seen: {some}{more}."
    return text


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
