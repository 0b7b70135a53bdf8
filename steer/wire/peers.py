"""The names that peers give their sockets, so that the hub can answer each of them.

An engine has two: *work*, read by its main thread, and *control*, read by its I/O
thread. A client has two: *out*, on which any of its threads sends, and *in*, read by
its I/O thread. Two sockets instead of one save a thread hand-off (70-100 us) on each
way.
"""

from typing import Literal

Role = Literal["work", "control", "out", "in"]

_letters: dict[Role, bytes] = {"work": b"w", "control": b"c", "out": b"o", "in": b"i"}
_roles: dict[bytes, Role] = {letter: role for role, letter in _letters.items()}


def peer_name(role: Role, who: str) -> bytes:
    """The identity of a socket."""
    return _letters[role] + who.encode()


def parse_peer(name: bytes) -> tuple[Role | None, str]:
    """Whose socket this is; role None if the name is not one of ours."""
    return _roles.get(name[:1]), name[1:].decode(errors="replace")
