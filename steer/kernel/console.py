"""`steer console`: Jupyter's console in this terminal, on ranks of a running cluster.

Jupyter's console starts our kernel by a kernelspec in a private folder, where all
sockets are too; so Ctrl-C, restart and exit work as with any kernel, and the cluster
goes on.
"""

from __future__ import annotations

import json
import os
import shutil

from jupyter_console.app import ZMQTerminalIPythonApp  # type: ignore[import-untyped]

from steer.client.console import private_folder
from steer.config import Connection
from steer.kernel.plan import Plan
from steer.kernel.spec import kernel_json

__all__ = ["open_console"]

NAME = "steer-console"


def open_console(connection: Connection, ranks: str) -> None:
    """Open it; returns when its user leaves."""
    folder = private_folder()
    try:
        connection.write(folder / "cluster.json")
        plan = Plan(connection=str(folder / "cluster.json"), ranks=ranks)
        spec = folder / "kernels" / NAME
        spec.mkdir(parents=True)
        (spec / "kernel.json").write_text(json.dumps(kernel_json(plan, "Steer")))
        paths = os.environ.get("JUPYTER_PATH")
        os.environ["JUPYTER_PATH"] = f"{folder}:{paths}" if paths else str(folder)
        os.environ["JUPYTER_RUNTIME_DIR"] = str(folder)
        ZMQTerminalIPythonApp.launch_instance(
            [f"--kernel={NAME}", "--JupyterConsoleApp.transport=ipc"]
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
