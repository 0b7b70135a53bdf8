"""Waiting inside a task: the rank runs others on top of the one that waits."""

from __future__ import annotations

from typing import Any

current: Any = None
