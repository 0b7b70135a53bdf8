"""Errors of many ranks as a person reads them: each kind once, with its ranks, and who
may be waiting for them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from steer.core.folderrors import ErrorGroup, fold_errors
from steer.errors import RemoteError
from steer.ranks import RankSet, describe

KINDS = RemoteError.tb_limit
"""So many kinds are shown with their tracebacks, the others with a line."""


class Failures:
    """What has failed so far; each kind's traceback is given out once."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._errors: dict[int, RemoteError] = {}
        self._told = RankSet()

    def __len__(self) -> int:
        return len(self._errors)

    def add(self, rank: int, error: object) -> None:
        """Take an error; what was aborted is no error of its own."""
        if isinstance(error, RemoteError):
            self._errors[rank] = error

    def news(self) -> list[str]:
        """Lines about those that were not told yet."""
        lines: list[str] = []
        shown = 0
        for group in fold_errors(self._errors):
            before = group.ranks & self._told
            fresh = replace(group, ranks=group.ranks - self._told)
            shown += bool(before)
            if before and fresh.ranks:
                lines.append(f"{fresh.title(self._total)}, as {describe(before)}")
            elif fresh.ranks:
                lines += self._lines(group, brief=shown >= KINDS)
                shown += 1
        self._told = RankSet(self._errors)
        return lines

    def lines(self) -> list[str]:
        """Lines about all."""
        lines: list[str] = []
        for number, group in enumerate(fold_errors(self._errors)):
            lines += self._lines(group, brief=number >= KINDS)
        return lines

    def _lines(self, group: ErrorGroup, *, brief: bool) -> list[str]:
        title = group.title(self._total)
        if brief or not group.traceback:
            return [f"{title}: {group.message}" if group.message else title]
        lines = group.traceback.rstrip().splitlines()
        if group.message != self._errors[group.ranks.min()].evalue:
            # The numbers differ, and the traceback has those of one rank.
            return [title, f"    {group.message}", *lines]
        return [title, *lines]


def who_waits(running: Collection[int], failed: Collection[int]) -> str:
    """The sentence on ranks that go on although others failed; empty if none does."""
    if not running:
        return ""
    runs, they = ("runs", "it") if len(running) == 1 else ("run", "they")
    return f"{RankSet(running)} still {runs}: {they} may wait for {describe(failed)}"
