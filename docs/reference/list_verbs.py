"""Write the page of verbs from the table that makes them: `python list_verbs.py`."""

from __future__ import annotations

import inspect
from pathlib import Path

from steer.client.run import Run
from steer.client.verblines import help_of
from steer.client.verbs import VERBS, Verb

PAGE = Path(__file__).with_name("verbs.md")

HEAD = """\
# Verbs of steering

Each verb is a magic, `%pxstep 10`; a word of `steer attach`, `step 10`; and a method of
a `Run` and of views, `run.step(10)`. `%pxhelp` lists them, and `%pxstep --help` says
what stands here. Options come before code; the code of `%%pxat` and its like may be the
cell below. A run that was activated with a suffix has magics of its own:
`run.activate("_west")`, `%pxstep_west`.

"""


def page() -> str:
    """The page."""
    return HEAD + "\n".join(_entry(verb) for verb in VERBS.values())


def _entry(verb: Verb) -> str:
    text = help_of(verb, "%px")
    return f"## {verb.name}\n\n`run.{verb.name}{_call(verb)}`\n\n```text\n{text}```\n"


def _call(verb: Verb) -> str:
    """How the method is called."""
    method = getattr(Run, verb.name)
    if isinstance(method, property):
        return ""
    parameters = list(inspect.signature(method).parameters.values())[1:]
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
    return str(inspect.Signature(bare))


if __name__ == "__main__":
    PAGE.write_text(page())
