"""The IPython extension: magics are registered for a view, and taken back.

`%load_ext steer` registers `%px` without a view. `view.activate(suffix)` finds the way
here by `steer.client.activation`, since the client knows nothing of magics.
"""

from __future__ import annotations

import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any

from steer.client import activation
from steer.errors import CompositeError, UsageError
from steer.magics import sight, steering
from steer.magics.autopx import AutoPx
from steer.magics.below import Below
from steer.magics.px import PxMagics
from steer.magics.telling import Telling

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from steer.client.run import Run
    from steer.client.views import DirectView

_extensions: weakref.WeakKeyDictionary[Any, Extension] = weakref.WeakKeyDictionary()


class Extension:
    """What one shell has of Steer."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell  # IPython's methods are half without types
        self._autopx = AutoPx()
        self._views: dict[str, PxMagics] = {}
        self._tellings: dict[str, Telling] = {}

    def load(self) -> None:
        """Add to the shell."""
        manager = self._shell.input_transformer_manager
        manager.line_transforms.insert(0, self._autopx)
        # IPython shows an exception group as Python does, with our frames in it and
        # every rank's traceback; it asks other exceptions how they want to be shown.
        self._shell.set_custom_exc((CompositeError,), _show_composite)
        self.magics("")

    def unload(self) -> None:
        """Take everything back."""
        for telling in self._tellings.values():
            telling.close()
        self._shell.input_transformer_manager.line_transforms.remove(self._autopx)
        self._shell.set_custom_exc((), None)
        registered = self._shell.magics_manager.magics
        for name in self._autopx.names:
            for kind in ("line", "cell"):
                registered[kind].pop(name, None)

    def activate(self, view: DirectView, suffix: str) -> None:
        """Let the magics of a suffix work on a view."""
        if suffix and not f"px{suffix}".isidentifier():
            raise UsageError(f"{suffix!r} does not end a name; '_west' does.")
        self.magics(suffix).activate(view)
        if view.client.run is not None:
            self.telling(view.client.run)

    def telling(self, run: Run) -> Telling:
        """What tells of a run; begun if it was not."""
        known = self._tellings.get(run.name)
        if known is None or known.run is not run:
            if known is not None:
                known.close()
            telling = Telling(run).__enter__()
            if (prompt := getattr(self._shell, "pt_app", None)) is not None:
                telling.redraw = Below(prompt, run).draw
            self._tellings[run.name] = telling
        return self._tellings[run.name]

    def magics(self, suffix: str) -> PxMagics:
        """The magics of a suffix, registered if they were not."""
        if suffix not in self._views:
            self._views[suffix] = PxMagics(self._shell, self._autopx, suffix)
            self._register(self._views[suffix], suffix)
        return self._views[suffix]

    def _register(self, magics: PxMagics, suffix: str) -> None:
        found = {
            "px": magics.px,
            "pxresult": magics.pxresult,
            "pxconfig": magics.pxconfig,
            "autopx": magics.autopx,
        }
        if not suffix:
            found["result"] = magics.pxresult
        register = self._shell.register_magic_function
        for name, function in found.items():
            register(function, "line", f"{name}{suffix}")
        register(magics.cell, "cell", f"px{suffix}")
        for name, (magic, takes_cell) in steering.magics(magics.run, suffix).items():
            kind = "line_cell" if takes_cell else "line"
            register(magic, kind, f"{name}{suffix}")
            found[name] = magic
        for name, seeing in sight.magics(magics, suffix).items():
            register(seeing, "line", f"{name}{suffix}")
            found[name] = seeing
        register(steering.overview, "line", f"pxhelp{suffix}")
        self._autopx.names.add(f"pxhelp{suffix}")
        self._autopx.names.update(f"{name}{suffix}" for name in found)


def _show_composite(
    shell: Any, kind: type[BaseException], error: Any, tb: TracebackType, **_: Any
) -> None:
    """Show errors of ranks folded, without our frames."""
    shell._showtraceback(kind, error, error._render_traceback_())


def load(shell: InteractiveShell) -> None:
    """Add Steer's magics to a shell."""
    if shell not in _extensions:
        extension = Extension(shell)
        extension.load()
        _extensions[shell] = extension
    activation.on_activate(_activate)


def unload(shell: InteractiveShell) -> None:
    """Take Steer's magics from a shell."""
    extension = _extensions.pop(shell, None)
    if extension is not None:
        extension.unload()


def telling_of(shell: InteractiveShell, run: Run) -> Telling:
    """What tells of a run in a shell that has our magics."""
    return _extensions[shell].telling(run)


def _activate(shell: Any, view: DirectView, suffix: str) -> None:
    _extensions[shell].activate(view, suffix)
