"""`Reference`: an argument, or a function, that is evaluated on the engine.

view.apply_sync(f, steer.Reference("u.max()"))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Reference:
    """Stands for an expression in the engine's namespace."""

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"A Reference takes an expression as text, not {name!r}.")
        self.name = name

    def __repr__(self) -> str:
        return f"<Reference: {self.name!r}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Never here: only the engine knows what it stands for."""
        raise TypeError(f"{self!r} can only be called on an engine; use view.apply.")


def resolve(value: Any, evaluate: Callable[[str], Any]) -> Any:
    """The value with references evaluated, also those inside lists, tuples and
    dicts."""
    if isinstance(value, Reference):
        return evaluate(value.name)
    if type(value) in (list, tuple):
        return type(value)(resolve(item, evaluate) for item in value)
    if type(value) is dict:
        return {key: resolve(item, evaluate) for key, item in value.items()}
    return value
