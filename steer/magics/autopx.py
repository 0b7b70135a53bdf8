"""`%autopx`: every cell runs on the ranks, and no method of the shell is replaced.

IPython passes the lines of a cell through input transformers before it looks for
magics. Ours makes a `%%px` of the cell. It is pure, because IPython may transform a
cell more than once; and marked as having side effects, because whether an input is
complete is to be found out from what the user typed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from steer.errors import UsageError

_MAGIC = re.compile(r"%{1,2}(\w+)")
LOCAL = "local"


class AutoPx:
    """The transformer of one shell."""

    has_side_effects = True
    """Read by IPython: leave it out when only asking whether an input is complete."""

    def __init__(self) -> None:
        self.magic = ""
        """The cell magic that every cell goes to; none if it is off."""
        self.names: set[str] = set()
        """Magics whose cells stay here: the family of every active view."""

    def toggle(self, magic: str, check: Callable[[], object]) -> bool:
        """Switch to this magic, or off if it is on; whether it is on now."""
        if self.magic == magic:
            self.magic = ""
        else:
            check()
            self.magic = magic
        return bool(self.magic)

    def __call__(self, lines: list[str]) -> list[str]:
        """Transform a cell."""
        first = _magic_of(_first_code(lines))
        if first == LOCAL and lines[0].startswith(f"%%{LOCAL}"):
            if lines[0].split() != [f"%%{LOCAL}"]:
                raise UsageError(f"%%{LOCAL} takes nothing; the code is below it.")
            return lines[1:]
        if _asks_for_help(lines, self.names):
            return [f"get_ipython().run_line_magic({first!r}, '--help')\n"]
        if not self.sends(lines):
            return lines
        code = "".join(lines)
        return [f"get_ipython().run_cell_magic({self.magic!r}, '', {code!r})\n"]

    def sends(self, lines: list[str]) -> bool:
        """Whether a cell goes to the ranks."""
        return bool(self.magic) and not self._stays(
            lines, _magic_of(_first_code(lines))
        )

    def _stays(self, lines: list[str], first: str) -> bool:
        """Whether a cell runs here although every cell goes to the ranks."""
        if first in self.names or first == LOCAL or not _first_code(lines):
            return True
        # `%autopx` may stand anywhere: it is how one gets out.
        return any(_magic_of(line) in self._switches for line in lines)

    @property
    def _switches(self) -> set[str]:
        return {name for name in self.names if name.startswith("autopx")}


def _first_code(lines: list[str]) -> str:
    """The first line that is neither empty nor a comment."""
    for line in lines:
        if line.strip() and not line.lstrip().startswith("#"):
            return line
    return ""


def _magic_of(line: str) -> str:
    found = _MAGIC.match(line)
    return found[1] if found else ""


def _asks_for_help(lines: list[str], names: set[str]) -> bool:
    """Whether it is `%%px --help` alone, which IPython refuses: a cell has a body."""
    if not lines or "".join(lines[1:]).strip():
        return False
    words = lines[0].split()
    return (
        len(words) == 2
        and words[0].removeprefix("%%") in names
        and words[0].startswith("%%")
        and words[1] in ("-h", "--help")
    )
