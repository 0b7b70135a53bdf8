"""What front ends ask of a rank while a person types: completions and descriptions.

Both look at what really is on the rank, by IPython, and answer what Jupyter's
complete_reply and inspect_reply hold. They are asked at every key: whatever goes wrong,
in IPython or in an object that is looked at, the answer is an empty one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steer.engines.ipython import SteerShell

MANY = 5000
"""Completions; more than anybody reads through, and a megabyte on the wire."""


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
    typed = [
        {
            "start": c.start, "end": c.end, "text": c.text, "type": c.type,
            "signature": c.signature,
        }
        for c in found
    ]  # fmt: skip
    return {
        "matches": [c.text for c in found],
        "cursor_start": found[0].start if found else position,
        "cursor_end": found[0].end if found else position,
        "metadata": {"_jupyter_types_experimental": typed},
    }


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
