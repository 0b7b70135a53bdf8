"""`steer attach`: IPython in this terminal, with a run's verbs as words of its own.

    heating (runs)> stop
    stopped at point 413 (heating.py:104)  4/4 held  21 ms
    heating (stopped at 413)> u.max()
    [0-3] (4)  <float> min 0.1 (r0)  med 0.4  max 2.1 (r2)
    heating (stopped at 413)> step 10

A line that begins with a verb steers; all else runs on the ranks, as under `%autopx`.
What others do to the run is told above the prompt, and what is watched goes on below
it. Leaving ends nothing.
"""

from __future__ import annotations

from typing import Any

from IPython.terminal.interactiveshell import TerminalInteractiveShell
from IPython.terminal.prompts import Prompts
from pygments.token import Token  # type: ignore[import-untyped]
from traitlets.config import Config

from steer.client.run import Run
from steer.client.verblines import spoken
from steer.magics import completing, extension
from steer.magics.autopx import AutoPx
from steer.magics.session import HELP, asked_for_help, is_leaving
from steer.magics.telling import Telling

__all__ = ["attach"]

BANNER = """{0}
`help` shows the verbs; all else is Python on the ranks. Ctrl-D leaves.
"""


RUNS = (
    "The run runs: `stop` holds it for code; `at +1 CODE` runs code without stopping."
)


def attach(run: Run) -> None:
    """Let the user steer; returns when they leave. The run goes on."""
    shell = _shell(run)
    telling = extension.telling_of(shell, run)
    bare = Bare(_autopx(shell), telling)
    transforms = shell.input_transformer_manager.line_transforms
    transforms[transforms.index(bare.autopx)] = bare
    bare.autopx.magic = "px"
    shell.prompts = StatePrompts(shell, telling)
    completing.add_to(shell, run, telling)
    shell.show_banner()  # type: ignore[no-untyped-call]
    shell.mainloop()  # type: ignore[no-untyped-call]


def _shell(run: Run) -> TerminalInteractiveShell:
    config = Config()
    config.TerminalInteractiveShell.confirm_exit = False
    config.TerminalInteractiveShell.banner1 = BANNER.format(run.status().text)
    config.TerminalInteractiveShell.banner2 = ""
    config.TerminalInteractiveShell.separate_in = ""
    config.TerminalInteractiveShell.term_title = False
    config.IPCompleter.use_jedi = False  # it would guess what the ranks know
    if TerminalInteractiveShell.class_traits().get("enable_tip"):  # IPython 9
        config.TerminalInteractiveShell.enable_tip = False
    names = {"run": run, "view": run.view, "rc": run.client}
    shell = TerminalInteractiveShell.instance(config=config, user_ns=names)
    run.activate()
    return shell


def _autopx(shell: TerminalInteractiveShell) -> AutoPx:
    transforms = shell.input_transformer_manager.line_transforms
    return next(one for one in transforms if isinstance(one, AutoPx))


class Bare:
    """Makes magics of lines that begin with a verb; all else runs on the ranks."""

    has_side_effects = True
    """As `AutoPx` says it."""

    def __init__(self, autopx: AutoPx, telling: Telling) -> None:
        self.autopx = autopx
        self._telling = telling

    def __call__(self, lines: list[str]) -> list[str]:
        """Transform a cell."""
        line = "".join(lines).strip()
        if "\n" not in line:
            if is_leaving(line):
                return ["get_ipython().ask_exit()\n"]
            if asked_for_help(line) is not None:
                return [f"%pxhelp{line[len(HELP) :]}\n"]
            if (found := spoken(line)) is not None:
                return [f"%px{found[0].name} {found[1]}\n"]
        if self._telling.runs and self.autopx.sends(lines):
            return [f"print({RUNS!r})\n"]
        return self.autopx(lines)


class StatePrompts(Prompts):
    """The run and what it does, before what one types."""

    def __init__(self, shell: Any, telling: Telling) -> None:
        super().__init__(shell)
        self._telling = telling

    def in_prompt_tokens(self) -> list[tuple[Any, str]]:
        """`heating (stopped at 413)> `."""
        return [
            (Token.Prompt, self._telling.run.name),
            (Token.PromptNum, f" ({self._telling.state})"),
            (Token.Prompt, "> "),
        ]

    def out_prompt_tokens(self) -> list[tuple[Any, str]]:
        """Nothing: what there is to show stands for itself."""
        return []
