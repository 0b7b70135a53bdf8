"""How high tasks that wait may be piled up on one engine.

Only an engine's main thread runs user code, so what runs while a task waits runs on top
of it. Hub and engines keep to the same two numbers.
"""

from __future__ import annotations

DEEP = 50
"""Tasks that may wait on one engine's stack while others run."""

SHALLOW = 8
"""So many may, and what runs on top of them may be any task. On top of more it must be
one of higher priority than who waits, as tasks of tasks are: else a tree of tasks is
walked in its breadth, and the stack has no end."""
