"""`python -m minidiff`: the same as the command `minidiff`."""

import sys

from .cli import main

sys.exit(main())
