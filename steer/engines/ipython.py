"""IPython's shell on a rank: no terminal, no files, no colours, no printing of its own.

Importing this module imports IPython (0.2 s): only `shell.py` does, when it must.
Errors are kept for the caller instead of being printed; results and displays are handed
over as data.
"""

# IPython is typed here and there.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import base64
import os
import re
import sys
import tokenize
from collections.abc import Container
from typing import TYPE_CHECKING, Any

import IPython
from IPython.core import page
from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.profiledir import ProfileDir
from traitlets import Any as AnyTrait
from traitlets import Type, default, observe
from traitlets.config import Config

from steer.engines.namespace import Namespace
from steer.engines.shell import STAYS, cell_name
from steer.engines.tracebacks import format_error

if TYPE_CHECKING:
    from steer.engines.shell import OnDisplay


class _Compiler(CachingCompiler):
    """Names cells by their source, as the plain ones are."""

    def get_code_name(self, raw_code: str, transformed_code: str, number: int) -> str:
        return cell_name(raw_code)


class _Hook(DisplayHook):
    """Keeps the value of the last expression as data."""

    shell: SteerShell
    result: dict[str, Any] | None = None
    cell = ""

    def quiet(self) -> bool:
        """Whether the cell ends in a semicolon; it need not be in the history."""
        try:
            return bool(self.semicolon_at_end_of_expression(self.cell))
        except (tokenize.TokenError, SyntaxError):  # it is not Python: a magic
            return False

    def write_output_prompt(self) -> None:
        """Write none."""

    def write_format_data(
        self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None
    ) -> None:
        """Keep the data; what was there before (interactivity "all") is displayed."""
        if self.result is not None:
            before = self.result
            self.shell.on_display(
                "display_data", before["data"], before["metadata"], {}, False
            )
        self.result = {"data": as_text(format_dict), "metadata": md_dict or {}}

    def log_output(self, format_dict: dict[str, Any]) -> None:
        """Keep the text only: histories must not keep pictures."""
        text = format_dict.get("text/plain")
        history = self.shell.history_manager
        if text is not None and history is not None:
            history.output_hist_reprs[self.prompt_count] = text

    def finish_displayhook(self) -> None:
        self._is_active = False


class _Publisher(DisplayPublisher):
    """Hands over what is displayed."""

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        source: object = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **_: Any,
    ) -> None:
        self._validate_data(data, metadata)
        self.shell.on_display(
            "display_data", as_text(data), metadata or {}, transient or {}, update
        )

    def clear_output(self, wait: bool = False) -> None:
        transient = {"clear_output": True, "wait": wait}
        self.shell.on_display("clear_output", {}, {}, transient, False)


MAGICAL = re.compile(
    r"[%!?]|\A\s|^\s*(?:[/,;]|>>>|\.\.\.|In \[)|\A\w+(?:\s+[^=\s].*|\s*)\Z", re.M
)
"""What IPython may change in a cell: signs of magics, prompts that were copied along,
empty lines first, and a line of words, of which the first may be a magic's name."""
_FIRST_WORD = re.compile(r"\w+")


def looks_plain(code: str, magics: Container[str]) -> bool:
    """Whether IPython would leave the text of a cell as it is.

    Of `ls(1)`, too, it makes a magic, if that is the whole cell, and `exit` it calls.
    """
    if MAGICAL.search(code):
        return False
    word = _FIRST_WORD.match(code)
    if word is None or "\n" in code.rstrip("\n"):
        return True
    return word[0] not in magics and word[0] not in ("exit", "quit")


class SteerShell(InteractiveShell):
    """IPython's shell, for `Shell`."""

    displayhook: _Hook
    displayhook_class = Type(_Hook)
    display_pub_class = Type(_Publisher)
    compiler_class = Type(_Compiler)
    on_display = AnyTrait()
    namespace = AnyTrait()

    def __init__(self, **kwargs: Any) -> None:
        self.shown: list[BaseException] = []
        """Errors of the running cell that IPython would have printed."""
        self._plain: str | None = None
        super().__init__(**kwargs)
        self.set_hook("show_in_pager", page.as_hook(page.display_page), 99)
        self._own_transforms = self._transforms()

    def run(
        self, code: str, *, silent: bool, store_history: bool
    ) -> BaseException | None:
        """Run a cell; return what it raised, or what a magic in it would have shown."""
        magics = self.magics_manager.magics["line"]
        plain = looks_plain(code, magics) and self._transforms() == self._own_transforms
        self._plain = code if plain else None
        self.shown.clear()
        self.displayhook.result = None
        self.displayhook.cell = code
        result = self.run_cell(code, silent=silent, store_history=store_history)
        error = result.error_before_exec or result.error_in_exec
        return error or next(iter(self.shown), None)

    def follow(self, variables: dict[str, Any]) -> None:
        """Work on these variables from now on."""
        if self.user_ns is not variables:
            self.user_ns = variables
            self.Completer.namespace = self.Completer.global_namespace = variables

    @property
    def user_global_ns(self) -> dict[str, Any]:
        """The same: not always the module's."""
        variables: dict[str, Any] = self.user_ns
        return variables

    def _transforms(self) -> tuple[Any, ...]:
        """What changes the text of cells; users may have added to it."""
        own = self.input_transformer_manager
        return (
            *own.cleanup_transforms, *own.line_transforms, *own.token_transformers,
            *self.input_transformers_post,
        )  # fmt: skip

    def transform_cell(self, raw_cell: str) -> str:
        """Make Python of a cell; half of a short cell's time, so not for nothing."""
        if raw_cell != self._plain:
            return str(super().transform_cell(raw_cell))
        return raw_cell if raw_cell.endswith("\n") else f"{raw_cell}\n"

    def should_run_async(self, raw_cell: str, **options: Any) -> bool:
        """Whether a cell awaits something at its top level."""
        if (
            raw_cell == self._plain
            and "async" not in raw_cell
            and "await" not in raw_cell
        ):
            return False
        return bool(super().should_run_async(raw_cell, **options))

    def take_result(self) -> dict[str, Any] | None:
        """What the last expression of the cell gave."""
        result: dict[str, Any] | None = self.displayhook.result
        self.displayhook.result = None
        return result

    # -- errors are kept

    def showtraceback(self, exc_tuple: Any = None, *_: Any, **__: Any) -> None:
        """Keep the error; but %tb asks for the text of the last one."""
        error = exc_tuple[1] if exc_tuple else sys.exc_info()[1]
        if error is not None:
            self.shown.append(error)
        elif (last := getattr(sys, "last_value", None)) is not None:
            sys.stdout.write("\n".join([*format_error(last).traceback, ""]))
        else:
            sys.stdout.write("No error has happened here.\n")

    def showsyntaxerror(self, *_: Any, **__: Any) -> None:
        """Keep the error."""
        self.showtraceback()

    def showindentationerror(self) -> None:
        """Keep the error."""
        self.showtraceback()

    # -- there is no terminal, and no window

    # Children inherit our descriptors: what they print comes live and in order.
    # IPython's other way (pexpect) gives them a pseudo-terminal and polls it.
    system = InteractiveShell.system_raw

    def ask_exit(self) -> None:
        """Say that a rank does not end so."""
        sys.stdout.write(f"{STAYS}\n")

    def enable_gui(self, gui: str | None = None) -> None:
        """Accept none and inline; there are no windows on a rank."""
        if gui not in (None, "inline"):
            sys.stdout.write(
                f"A rank has no windows, so %gui {gui} does nothing here.\n"
            )

    # -- nothing is written to the user's home, unless asked for

    def init_ipython_dir(self, ipython_dir: str | None) -> None:
        """Know the directory, but do not make it."""
        place = ipython_dir or os.environ.get("IPYTHONDIR") or "~/.ipython"
        self.ipython_dir = os.path.expanduser(place)

    @observe("ipython_dir")
    def _ipython_dir_changed(self, change: Any) -> None:
        """Do not make it."""

    def init_profile_dir(self, profile_dir: Any) -> None:
        """Wait until somebody (%store) needs it: ranks would race to make it."""

    @default("profile_dir")
    def _make_profile_dir(self) -> Any:
        os.makedirs(self.ipython_dir, exist_ok=True)
        return ProfileDir.create_profile_dir_by_name(self.ipython_dir, "default")

    def reset(self, new_session: bool = True, aggressive: bool = False) -> None:
        """Forget the user's variables, but not that they are those of a module."""
        if self.namespace.in_use and getattr(self, "_atexit_once_called", False):
            return  # a program's last words need its variables
        self.namespace.refuse_if_in_use()
        super().reset(new_session, aggressive)
        for name in ("__doc__", "__loader__", "__package__", "__spec__"):
            self.user_ns.setdefault(name, None)


def as_text(data: dict[str, Any]) -> dict[str, Any]:
    """The bundle with bytes in base64, as Jupyter has it."""
    return {
        mime: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for mime, value in data.items()
    }


def make(namespace: Namespace, on_display: OnDisplay) -> SteerShell:
    """The shell of this process, in which get_ipython() finds it."""
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    colours = "nocolor" if IPython.version_info >= (9,) else "NoColor"
    config.InteractiveShell.colors = colours
    config.InteractiveShell.xmode = "Plain"
    # It takes seconds at first, and then 30 ms of a rank for which others may wait.
    config.Completer.use_jedi = False
    shell: SteerShell = SteerShell.instance(
        config=config, user_module=namespace.module, on_display=on_display,
        namespace=namespace,
    )  # fmt: skip
    namespace.on_clear.append(lambda: shell.reset(new_session=False))
    return shell
