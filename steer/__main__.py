"""`python -m steer` is the command `steer`."""

import sys

from steer.cli import main

sys.exit(main())
