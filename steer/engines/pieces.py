"""What waits to be sent, put into pieces: runs of text of one request and one stream.

The list that writers append to holds text and, between the texts, where bytes of a file
belong and where a request begins. No threads here: the caller holds the lock.
"""

from __future__ import annotations

import msgspec

from steer.engines.descriptors import Caught, dropped


class Begin(msgspec.Struct, frozen=True):
    """From here on the text belongs to this request."""

    request: str


class Mark(msgspec.Struct, frozen=True):
    """Here belong the file's bytes up to `end`."""

    file: Caught
    end: int


class Dropped(msgspec.Struct, frozen=True):
    """Here so many characters of text were dropped."""

    name: str
    size: int


Entry = tuple[str, str] | Begin | Mark | Dropped


class Piece(msgspec.Struct, frozen=True):
    """Text of one stream that belongs to one request."""

    request: str
    name: str
    text: str


class Gather:
    """Makes pieces of entries: neighbours of one request and stream become one."""

    def __init__(self, request: str, limit: int) -> None:
        self.request = request
        self._limit = limit
        self._name = ""
        self._texts: list[str] = []
        self._pieces: list[Piece] = []

    def add(self, entry: Entry) -> None:
        """Take the next entry, reading from its file what belongs to it."""
        if type(entry) is tuple:
            self._text(*entry)
        elif isinstance(entry, Mark):
            self._text(entry.file.name, entry.file.read(entry.end))
        elif isinstance(entry, Dropped):
            self._text(entry.name, dropped(entry.size, self._limit))
        elif isinstance(entry, Begin):
            self._close()
            self.request = entry.request

    def pieces(self) -> list[Piece]:
        """All of them; `request` is then the one that goes on."""
        self._close()
        return self._pieces

    def _text(self, name: str, text: str) -> None:
        if name != self._name:
            self._close()
            self._name = name
        self._texts.append(text)

    def _close(self) -> None:
        text = "".join(self._texts)
        self._texts.clear()
        if not text:
            return
        if not text.isascii():  # half a surrogate pair must not stop the sender
            text = text.encode("utf-8", "backslashreplace").decode("utf-8")
        self._pieces.append(Piece(self.request, self._name, text))


def without_middle(entries: list[Entry], limit: int) -> list[Entry]:
    """The first and last of the text, a quarter of the limit each, and all marks."""
    head, rest = _split(entries, limit // 4)
    tail, middle = _split(rest[::-1], limit // 4, backwards=True)
    lost = 0
    name = "stdout"
    marks: list[Entry] = []
    for entry in reversed(middle):
        if isinstance(entry, tuple):
            name = entry[0]
            lost += len(entry[1])
        elif isinstance(entry, Dropped):
            lost += entry.size
        else:
            marks.append(entry)
    return [*head, Dropped(name, lost), *marks, *reversed(tail)]


def _split(
    entries: list[Entry], room: int, *, backwards: bool = False
) -> tuple[list[Entry], list[Entry]]:
    """The entries whose text fits into the room, the last one cut, and the others."""
    for index, entry in enumerate(entries):
        if isinstance(entry, Dropped):
            return entries[:index], entries[index:]
        if not isinstance(entry, tuple):
            continue
        name, text = entry
        if len(text) <= room:
            room -= len(text)
            continue
        near, far = text[:room], text[room:]
        if backwards:
            near, far = text[len(text) - room :], text[: len(text) - room]
        return [*entries[:index], (name, near)], [(name, far), *entries[index + 1 :]]
    return entries, []
