"""What ranks print, as it is to be shown: as a terminal leaves it, and not too much."""

from __future__ import annotations

HEAD = 200
TAIL = 200
LONGEST = 20_000
"""Lines at either end, and characters of a line, that are shown of a long text."""


def collapse(text: str) -> str:
    """The text as a terminal would leave it: a carriage return writes the line anew."""
    if "\r" not in text:
        return text
    *lines, last = text.replace("\r\n", "\n").split("\n")
    lines = [_left(line) for line in lines]
    # What comes next will overwrite an unfinished line, which is there until then.
    end = "\r" if last.endswith("\r") else ""
    return "\n".join([*lines, _left(last) + end])


def _left(line: str) -> str:
    return line.rstrip("\r").rpartition("\r")[2] if "\r" in line else line


def clip(text: str, head: int = HEAD, tail: int = TAIL, *, rest: str = "") -> str:
    """The first and the last lines of a long text, and between them how many are left
    out; `rest` says where they are: `result.stdout[3]`."""
    lines = text.removesuffix("\n").split("\n")
    left_out = len(lines) - head - tail
    if left_out <= 1:  # the sentence takes a line too
        return text
    where = f": {rest}" if rest else ""
    said = f"… {left_out:,} lines more{where}"
    kept = [*lines[:head], said, *(lines[-tail:] if tail else ())]
    return "\n".join(kept) + ("\n" if text.endswith("\n") else "")
