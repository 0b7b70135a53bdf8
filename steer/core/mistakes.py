"""What a request may not ask for, wherever the run is: fewer points than none."""

from __future__ import annotations

from typing import assert_never

from steer.core import roundevents as ev
from steer.core.roundevents import Verb


def mistake(verb: Verb) -> str:
    """Why nobody can do that; empty if it makes sense."""
    match verb:
        case ev.Step(n=n) if n < 1:
            return f"A step goes on by 1 or more points, not {n}."
        case ev.Advance(n=n) if n < 1:
            return f"To advance is to try 1 or more points further, not {n}."
        case ev.Stop(advance=n) if n < 0:
            return f"A stop can be tried 0 or more points further, not {n}."
        case ev.Stop(point=p) | ev.Plan(point=p) | ev.Unplan(point=p) if p < 0:
            return f"Points are counted forwards: there is no point {p}."
        case ev.Plan(every=every, ahead=ahead) if every < 0 or ahead < 0:
            return "Points are counted from 1, forwards."
        case ev.Stop() | ev.Go() | ev.Step() | ev.Advance() | ev.Here():
            return ""
        case ev.Plan() | ev.Unplan():
            return ""
        case _:
            assert_never(verb)
