"""Text with ANSI colours: how wide it is, its first part, and the same as HTML.

Whatever a rank prints ends up here, so nothing in a text is taken for markup but the
colours, and nothing that moves a cursor survives.
"""

from __future__ import annotations

import html
import re
import unicodedata

_ESCAPE = re.compile(
    r"\x1b\[([0-9;:]*)m"  # colours
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # all that moves, erases, asks
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # titles and links
    r"|\x1b[@-_]?"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]")
_PLAIN = re.compile(r"[\x20-\x7e]*\Z")
_NAMES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_COLOURS = (
    "#3e424d", "#c33c2f", "#00803a", "#a57706", "#208ffb", "#a03196", "#258f8f",
    "#8f8f8f", "#282c36", "#e75c58", "#00a250", "#c99a11", "#5c9dff", "#d160c4",
    "#3dbebe", "#a1a6b2",
)  # fmt: skip
"""The sixteen colours, legible on light and on dark ground."""
_STYLES = {
    1: "font-weight:bold", 2: "opacity:0.7", 3: "font-style:italic",
    4: "text-decoration:underline", 9: "text-decoration:line-through",
}  # fmt: skip
_ENDS = {22: (1, 2), 23: (3,), 24: (4,), 29: (9,)}


def plain(text: str) -> str:
    """The text without colours and all other escapes."""
    return _ESCAPE.sub("", text) if "\x1b" in text else text


def coloured(text: str) -> str:
    """The text with its colours and nothing else that a terminal would obey."""
    if "\x1b" in text:
        text = _ESCAPE.sub(lambda m: m[0] if m[1] is not None else "", text)
    return _CONTROL.sub("", text)


def cells(text: str) -> int:
    """How many columns of a terminal it takes."""
    if _PLAIN.match(text):
        return len(text)
    return sum(map(_width, plain(text)))


def _width(character: str) -> int:
    if " " <= character <= "~":
        return 1
    if unicodedata.combining(character) or unicodedata.category(character) in _NONE:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


_NONE = ("Cc", "Cf", "Mn", "Me")


def cut(text: str, width: int) -> str:
    """As much of a line as fits, with an ellipsis if that is not all of it."""
    text = coloured(text.expandtabs())
    if cells(text) <= width:
        return text
    kept: list[str] = []
    room = width - 1
    for piece in re.split(r"(\x1b\[[0-9;:]*m)", text):
        if piece.startswith("\x1b"):
            kept.append(piece)
            continue
        for character in piece:
            room -= _width(character)
            if room < 0:
                break
            kept.append(character)
        if room < 0:
            break
    end = "\x1b[0m" if "\x1b" in text else ""
    return "".join(kept) + "…" + end


_AS_CODE = (
    "margin:0;white-space:pre-wrap;padding:0 var(--jp-code-padding,0);"
    "font-size:var(--jp-code-font-size,inherit);"
    "line-height:var(--jp-code-line-height,inherit)"
)
"""As a notebook shows plain text, by its own measures where it tells them."""


def to_html(text: str, style: str = "") -> str:
    """The text as one preformatted block."""
    return preformatted(spans(text), style)


def preformatted(inside: str, style: str = "") -> str:
    """A preformatted block of what `spans` made."""
    return f'<pre style="{_AS_CODE};{style}">{inside}</pre>'


def spans(text: str) -> str:
    """The text escaped, its colours as styles; for use inside `<pre>`."""
    if "\x1b" not in text:
        return html.escape(_CONTROL.sub("", text), quote=False)
    pieces: list[str] = []
    state: dict[str, str] = {}
    position = 0
    for found in _ESCAPE.finditer(text):
        pieces.append(_span(text[position : found.start()], state))
        position = found.end()
        if found[1] is not None:
            state = _changed(state, found[1])
    pieces.append(_span(text[position:], state))
    return "".join(pieces)


def _span(text: str, state: dict[str, str]) -> str:
    text = html.escape(_CONTROL.sub("", text), quote=False)
    if not (text and state):
        return text
    return f'<span style="{";".join(state.values())}">{text}</span>'


def _changed(state: dict[str, str], codes: str) -> dict[str, str]:
    """The styles after a colour sequence."""
    state = dict(state)
    numbers = [int(code[:4]) if code else 0 for code in re.split("[;:]", codes)]
    numbers.reverse()
    while numbers:
        code = numbers.pop()
        if code == 0:
            state.clear()
        elif code in _STYLES:
            state[str(code)] = _STYLES[code]
        elif code in _ENDS:
            for other in _ENDS[code]:
                state.pop(str(other), None)
        elif code in (39, 49):
            state.pop(_GROUNDS[code - 9], None)
        elif code in (38, 48):
            _set_extended(state, _GROUNDS[code - 8], numbers)
        elif 30 <= code <= 37 or 40 <= code <= 47:
            state[_GROUNDS[code // 10 * 10]] = _rule(code // 10 * 10, code % 10)
        elif 90 <= code <= 97 or 100 <= code <= 107:
            ground = code // 10 * 10 - 60
            state[_GROUNDS[ground]] = _rule(ground, code % 10 + 8)
    return state


_GROUNDS = {30: "color", 40: "background"}


def _rule(ground: int, number: int) -> str:
    return f"{_GROUNDS[ground]}:{_COLOURS[number]}"


def _set_extended(state: dict[str, str], name: str, rest: list[int]) -> None:
    """A colour of 256, or of red, green and blue; `rest` is reversed."""
    kind = rest.pop() if rest else 0
    if kind == 5 and rest:
        state[name] = f"{name}:{_of_256(rest.pop() & 255)}"
    elif kind == 2 and len(rest) >= 3:
        red, green, blue = (rest.pop() & 255 for _ in range(3))
        state[name] = f"{name}:rgb({red},{green},{blue})"


def _of_256(number: int) -> str:
    if number < 16:
        return _COLOURS[number]
    if number >= 232:
        grey = 8 + 10 * (number - 232)
        return f"rgb({grey},{grey},{grey})"
    number -= 16
    steps = (0, 95, 135, 175, 215, 255)
    red, green, blue = number // 36, number // 6 % 6, number % 6
    return f"rgb({steps[red]},{steps[green]},{steps[blue]})"
