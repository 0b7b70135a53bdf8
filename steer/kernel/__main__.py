"""`python -m steer.kernel -f CONNECTION_FILE`: what a kernelspec starts."""

from __future__ import annotations

import sys

from steer.errors import SteerError
from steer.kernel.needs import from_extra


def main() -> int:
    """Run a kernel; its mistakes are sentences too."""
    try:
        with from_extra("kernel"):
            from steer.kernel.app import main as serve
        serve()
    except SteerError as error:
        print(f"steer: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
