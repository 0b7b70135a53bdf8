"""JupyterLab in a browser without a window: started, and driven as a person does it.

Nobody's settings, kernels or notebooks are touched: every folder of Jupyter's is the
caller's. Imports no test tool, so that `pictures.py` uses it too.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect, sync_playwright

from steer.testing.waiting import wait_until

#: A loaded machine with two cores starts four ranks and a kernel in less.
SECONDS = 60
EXAMPLES = Path(__file__).parents[2] / "examples"
CHROMIUM = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
)  # fmt: skip
SETTINGS = {
    # Cells that are out of sight would not be in the page.
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {
        "fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True,
    },
}  # fmt: skip


def chromium() -> str | None:
    """Where the browser is."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Lab:
    """A server of JupyterLab, with kernels for Python and for four ranks."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.notebooks = folder / "notebooks"
        shutil.copytree(EXAMPLES, self.notebooks)
        self._environment = os.environ | environment | self._own_folders()
        self._write_settings()
        self._add_kernel()
        self._token = secrets.token_hex(16)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._log = folder / "lab.log"
        self._process = self._start()

    def address(self, path: str) -> str:
        """What a browser opens."""
        return f"http://127.0.0.1:{self._port}/{path}?token={self._token}"

    def wait(self) -> None:
        """Until it answers."""
        wait_until(self._answers, SECONDS, f"JupyterLab; its log is {self._log}")

    def stop(self) -> None:
        """End it and its kernels."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def end_kernels(self) -> None:
        """As `Shut down all` does."""
        for kernel in json.loads(self._ask("api/kernels")):
            self._ask(f"api/kernels/{kernel['id']}", "DELETE")

    def _ask(self, path: str, method: str = "GET") -> bytes:
        request = urllib.request.Request(self.address(path), method=method)
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return bytes(answer.read())

    def _own_folders(self) -> dict[str, str]:
        names = {
            "JUPYTER_DATA_DIR": "data", "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_PATH": "path", "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "HOME": "home",
            "MPLCONFIGDIR": "matplotlib",
        }  # fmt: skip
        folders = {key: self.folder / name for key, name in names.items()}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        return {key: str(folder) for key, folder in folders.items()}

    def _write_settings(self) -> None:
        for name, settings in SETTINGS.items():
            file = self.folder / f"settings/@jupyterlab/{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(settings))

    def _add_kernel(self) -> None:
        subprocess.run(
            [sys.executable, "-m", "steer", "kernel", "install", "-n", "4",
             "--prefix", str(self.folder / "prefix")],
            check=True, capture_output=True, timeout=SECONDS,
        )  # fmt: skip
        shutil.copytree(
            self.folder / "prefix/share/jupyter",
            self._environment["JUPYTER_PATH"],
            dirs_exist_ok=True,
        )

    def _start(self) -> subprocess.Popen[bytes]:
        options = {
            "--ip": "127.0.0.1",
            "--ServerApp.port": self._port,
            "--ServerApp.port_retries": 0,
            "--ServerApp.root_dir": self.notebooks,
            "--IdentityProvider.token": self._token,
            "--KernelManager.transport": "ipc",
            "--LabApp.news_url": "",
            "--LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        }
        words = [f"{name}={value}" for name, value in options.items()]
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser",
                 *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env=self._environment,
            )  # fmt: skip

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"JupyterLab ended:\n{self._log.read_text()[-3000:]}")
        try:
            return bool(self._ask("api/status"))
        except OSError:
            return False


@contextmanager
def lab(folder: Path, environment: dict[str, str] | None = None) -> Iterator[Lab]:
    """Start JupyterLab in a folder, and end it."""
    server = Lab(folder, environment or {})
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium; `new_page` opens a page."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium(), headless=True, args=list(CHROMIUM)
        )
        try:
            yield started
        finally:
            started.close()


class Notebook:
    """A notebook that is open in a page."""

    def __init__(self, page: Page, server: Lab, name: str) -> None:
        self.page = page
        self._server = server
        page.set_default_timeout(SECONDS * 1000)
        # A workspace of its own, or what other pages have open would open here too.
        page.goto(server.address(f"lab/workspaces/{secrets.token_hex(4)}/tree/{name}"))
        self.panel = page.locator(".jp-NotebookPanel:visible")
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Until the kernel is connected: what is asked before is lost."""
        status = self.page.locator(".jp-StatusBar-TextItem", has_text="| Idle")
        expect(status).to_be_visible(timeout=SECONDS * 1000)

    @property
    def codes(self) -> Locator:
        return self.panel.locator(".jp-CodeCell")

    def run(self, number: int) -> Locator:
        """Run a code cell and wait for its end; its output."""
        self.start(number)
        return self.ended(number)

    def start(self, number: int) -> None:
        """Run a code cell, and do not wait."""
        cell = self.codes.nth(number)
        cell.locator(".cm-content").click()
        expect(cell.locator(".jp-mod-focused")).to_be_visible()
        self.page.keyboard.press("Shift+Enter")
        expect(self.prompt(number)).not_to_have_text("[ ]:")

    def ended(self, number: int) -> Locator:
        """Wait for a cell; its output."""
        expect(self.prompt(number)).to_have_text(
            re.compile(r"\[\d+\]"), timeout=SECONDS * 1000
        )
        return self.output(number)

    def prompt(self, number: int) -> Locator:
        return self.codes.nth(number).locator(".jp-InputArea-prompt")

    def output(self, number: int) -> Locator:
        return self.codes.nth(number).locator(".jp-Cell-outputWrapper")

    def write(self, number: int, code: str) -> None:
        """Replace a cell's code."""
        editor = self.codes.nth(number).locator(".cm-content")
        editor.click()
        editor.fill(code)

    def interrupt(self) -> None:
        """Press the button with the square."""
        self.command("notebook:interrupt-kernel")

    def restart(self) -> None:
        """Press the round arrow, and say yes."""
        self.command("notebook:restart-kernel")
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.page.locator(".jp-Dialog").wait_for(state="detached")
        self.wait_until_idle()

    def command(self, name: str) -> None:
        """Press a button of the notebook's toolbar."""
        self.panel.locator(f'[data-command="{name}"]').first.click()

    def close(self) -> None:
        """Close the page, and end the kernel."""
        self.page.close()
        self._server.end_kernels()

    def picture(self, file: Path) -> None:
        """Keep what is seen."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(file))
