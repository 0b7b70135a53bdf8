"""Public helpers for tests of programs that use Steer."""

from steer.testing.waiting import wait_until

__all__ = ["wait_until"]
