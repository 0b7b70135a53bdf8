"""`python -m steer.kernel -f CONNECTION_FILE`: what a kernelspec starts."""

from __future__ import annotations

import sys

from steer.errors import SteerError


def main() -> int:
    """Run a kernel; its mistakes are sentences too."""
    try:
        from steer.kernel.app import main as serve
    except ModuleNotFoundError as error:
        if error.name not in ("ipykernel", "jupyter_client"):
            raise
        print(
            f"steer: the kernel needs {error.name}: pip install mpi-steer[kernel]",
            file=sys.stderr,
        )
        return 1
    try:
        serve()
    except SteerError as error:
        print(f"steer: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
