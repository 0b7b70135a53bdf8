"""The verbs of sight: `%pxwhere` and its kind, rows of the same form as those of
steering (`verbs.py`), performed on a view of ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from steer.client.verbs import Argument, Form, Verb, code_of, duration, one_of


def seconds(text: str) -> float:
    """Seconds, written `2` or `2s`."""
    return duration(text.removesuffix("s"))


_RANKS = Argument(
    "ranks", "only these ranks, such as 0-3,7", default=None, shown="RANKS"
)

_TABLE = (
    Verb(
        "where",
        "Show the lines at which ranks are, as one tree of stacks.",
        (
            _RANKS,
            Argument("time", "take samples for so long, to see where time goes",
                     kind=seconds, default=0.0, shown="SECONDS"),
            Argument("native", "with frames of native code, by py-spy, which stops "
                     "each rank for some milliseconds", Form.FLAG, default=False),
        ),
        ("", "--ranks 3", "--time 2s", "--ranks 0 --native"),
        "Ranks may be blocked, computing, or in native code that holds the GIL: "
        "nothing is stopped but for --native.",
    ),
    Verb(
        "peek",
        "Show what an expression is on ranks that go on meanwhile.",
        (
            _RANKS,
            Argument("expression", "in the names of the innermost function of yours",
                     Form.REST, code_of, shown="EXPRESSION"),
        ),
        ("residual", "--ranks 0-3 u.mean()"),
        "It is racy: read beside the running program. What may change the program, as "
        "a call of a function of yours might, is refused.",
    ),
    Verb(
        "status",
        "Show what each rank does; of a run, where it is too.",
        (_RANKS,),
    ),
    Verb(
        "stuck",
        "Show why ranks wait: who waits for whom, and what of it is proved.",
        (_RANKS,),
    ),
    Verb(
        "debug",
        "Walk the frames of ranks whose last cell failed, or that are held.",
        (
            _RANKS,
            Argument("command", "where, up, down, locals, p EXPRESSION; without one, "
                     "as many as you like, at a prompt", Form.REST, code_of, "",
                     "COMMAND"),
        ),
        ("", "--ranks 3 up", "p len(u)"),
        "Ranks that show the same are told together.",
    ),
    Verb(
        "mpi",
        "Note the calls of MPI that ranks make, and show them.",
        (
            Argument("what", "on or off; last, to show calls; save, to write a file "
                     "for ui.perfetto.dev", Form.WORD, one_of("on", "off", "last",
                     "save"), "last", "{on,off,last,save}"),
            Argument("argument", "how many calls, or the file", Form.WORD, str, None,
                     "N|FILE"),
        ),
        ("on", "last 50", "save trace.json", "off"),
        "Off, it costs nothing. Seen are calls of communicators that the program knows "
        "by a name of its own, and of those made since.",
    ),
    Verb(
        "interrupt",
        "Interrupt what ranks run: Python raises KeyboardInterrupt there.",
        (_RANKS,),
        more="What they were computing is lost, variables stay. Ranks that wait in MPI "
        "hear of it only when their call ends: then `unstick` is the next rung.",
    ),
    Verb(
        "unstick",
        "Bring ranks back that wait for each other in MPI.",
        (_RANKS,),
        more="Each raises KeyboardInterrupt at its line; variables and communicators "
        "stay usable, messages that nobody received are lost. Refused, with the "
        "reason, where it is not safe: then `kill` is the next rung.",
    ),
    Verb(
        "shrink",
        "Have a world that has lost ranks go on, if its MPI can.",
        (
            _RANKS,
            Argument("replace", "start new processes in the places of the dead",
                     Form.FLAG, default=False),
        ),
        more="The others keep what they have; MPI.COMM_WORLD becomes a world of them. "
        'It takes Open MPI 5, and a cluster with options={"survivors": "ulfm"}.',
    ),
    Verb(
        "kill",
        "End ranks at once, by SIGKILL.",
        (_RANKS,),
        more="All that they hold is lost; with most MPIs all ranks of their world end "
        "with them.",
    ),
)  # fmt: skip

VERBS: Mapping[str, Verb] = {verb.name: verb for verb in _TABLE}


def perform(
    view: Any,
    name: str,
    arguments: Mapping[str, Any],
    read_ranks: Callable[[str], Any],
) -> Any:
    """Do it: call the method of a view with what a line has said."""
    named = dict(arguments)
    if name == "mpi":
        return view.mpi(**named)
    ranks = named.pop("ranks", None)
    named["targets"] = None if ranks is None else read_ranks(ranks)
    return getattr(view, name)(**named)
