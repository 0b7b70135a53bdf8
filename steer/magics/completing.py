"""Tab in a console: verbs at the beginning of a line, and what the ranks know.

The lowest rank is asked, as for other front ends; only while it holds, because one that
computes cannot answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)

from steer.client.frontend import complete
from steer.client.verblines import ALL

if TYPE_CHECKING:
    from steer.client.run import Run
    from steer.magics.telling import Telling


def add_to(shell: Any, run: Run, telling: Telling) -> None:
    """Let a shell complete verbs, and names of the ranks."""

    @context_matcher()  # type: ignore[untyped-decorator]
    def verbs(context: CompletionContext) -> SimpleMatcherResult:
        first = context.full_text.lstrip() == context.token
        found = [name for name in ALL if first and name.startswith(context.token)]
        return _result(found, context.token)

    @context_matcher()  # type: ignore[untyped-decorator]
    def names(context: CompletionContext) -> SimpleMatcherResult:
        if telling.runs:
            return _result([], "")
        code = context.full_text
        before = code.split("\n")[: context.cursor_line]
        pos = sum(len(line) + 1 for line in before) + context.cursor_position
        answer = complete(run.view, code, pos)
        return _result(answer["matches"], code[answer["cursor_start"] : pos])

    shell.Completer.custom_matchers += [verbs, names]


def _result(texts: list[str], fragment: str) -> SimpleMatcherResult:
    completions = [SimpleCompletion(text) for text in texts]
    return SimpleMatcherResult(completions=completions, matched_fragment=fragment)
