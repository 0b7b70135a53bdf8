"""Decisions, without I/O: events and the time go in, actions come out.

Every machine here has the same shape:

* ``handle(event, now) -> list[Action]``: what happened, and what to do about it, in
  order;
* ``deadline() -> float | None``: when it wants to be handed a ``Tick``, if nothing
  else happens;
* ``check()``: asserts the invariants; tests call it after every event, production
  never.

No clock, socket, thread, random number or log call is inside (import-linter holds us to
it), and only ordered containers are iterated, so one sequence of events always gives
one sequence of actions.
"""
