"""What families of points are called: a label, and the members of a communicator.

The page of a rank has little room, so longer labels are cut, and told apart by a
digest.
"""

from __future__ import annotations

import hashlib

LONGEST = 32
"""Bytes of a label, or of members, that a family is called by; more are called by a
digest."""


def short(label: str) -> str:
    """A label for which there is room on the page, another one for each."""
    data = label.encode(errors="backslashreplace")
    if len(data) <= LONGEST:
        return data.decode()
    return f"{data[: LONGEST // 3].decode(errors='ignore')}~{digest(label)}"


def digest(text: str) -> str:
    """A few letters that stand for it."""
    return hashlib.blake2s(text.encode(errors="replace"), digest_size=8).hexdigest()


def is_called(family: str, label: str) -> bool:
    """Whether somebody who says this label means this family, which is named as on its
    page: "step" or "step@0,2"."""
    return family in (label, short(label)) or family.partition("@")[0] == short(label)
