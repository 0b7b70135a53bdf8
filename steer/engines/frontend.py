"""What front ends ask of a rank while a person types: completions and descriptions.

Both look at what really is on the rank, by IPython, and answer what Jupyter's
complete_reply and inspect_reply hold. They are asked at every key: whatever goes wrong,
in IPython or in an object that is looked at, the answer is an empty one.
"""

from __future__ import annotations

import contextlib
import io
import keyword
import re
import tokenize
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steer.engines.ipython import SteerShell

MANY = 5000
"""Completions; more than anybody reads through, and a megabyte on the wire."""
_BEGUN = re.compile(r"(?<![\w.])[^\W\d]\w*$")
"""A name that is being typed, and no attribute."""


def complete(shell: SteerShell, code: str, position: int) -> dict[str, Any]:
    """What may stand at a position, in characters, of the code."""
    from IPython.core.completer import provisionalcompleter, rectify_completions

    position = min(max(position, 0), len(code))
    try:
        with provisionalcompleter():
            raw = shell.Completer.completions(code, position)
            found = list(rectify_completions(code, raw))[:MANY]
    except BaseException:  # noqa: BLE001  the user's objects, or an interrupt
        found = []
    start = found[0].start if found else position
    end = found[0].end if found else position
    matches = {c.text: (c.type, c.signature) for c in found}
    if code[start:end][:1] == "." and all(text[:1] == "." for text in matches):
        matches = {text[1:]: kind for text, kind in matches.items()}
        start += 1
    begun = _BEGUN.search(code[:position])
    if begun and (begun.start() == start or not found):
        start = begun.start()
        for name in _names(code, begun[0], start):
            matches.setdefault(name, ("name", ""))
    typed = [
        {"start": start, "end": end, "text": text, "type": kind, "signature": call}
        for text, (kind, call) in matches.items()
    ]
    return {
        "matches": list(matches),
        "cursor_start": start if matches else position,
        "cursor_end": end,
        "metadata": {"_jupyter_types_experimental": typed},
    }


def _names(code: str, begun: str, where: int) -> list[str]:
    """Names in the code that begin so: its own variables are not on the rank yet."""
    names = set()
    lines = io.StringIO(code[:where] + code[where + len(begun) :])
    with contextlib.suppress(tokenize.TokenError, SyntaxError):  # it is not finished
        for token in tokenize.generate_tokens(lines.readline):
            if token.type == tokenize.NAME and token.string.startswith(begun):
                names.add(token.string)
    return sorted(names - set(keyword.kwlist))


def inspect(
    shell: SteerShell, code: str, position: int, detail_level: int = 0
) -> dict[str, Any]:
    """What the name at a position of the code means."""
    from IPython.utils.tokenutil import token_at_cursor

    data: dict[str, Any] = {}
    try:
        name = token_at_cursor(code, min(max(position, 0), len(code)))
        data = shell.object_inspect_mime(  # type: ignore[no-untyped-call]
            name, detail_level=detail_level
        )
    except BaseException:  # noqa: BLE001  not found, the user's objects, an interrupt
        data = {}
    text = {mime: value for mime, value in data.items() if isinstance(value, str)}
    return {"found": bool(text), "data": text, "metadata": {}}
