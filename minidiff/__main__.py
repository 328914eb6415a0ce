"""`python -m minidiff` and the command `minidiff`: the command line, guarded from its first import on."""

import signal
import sys

from .console import INTERRUPTED, quit_on_interrupt


def main():
    """Run the command line. -> exit code"""
    before = quit_on_interrupt()
    from .cli import main as run

    try:
        if before is not None:
            signal.signal(signal.SIGINT, before)
        return run()
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        quit_on_interrupt()  # Python's own ending can be interrupted too


if __name__ == "__main__":
    sys.exit(main())
