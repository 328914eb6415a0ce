"""The command line interface. Each command is a file in `commands`."""

import argparse
import contextlib
import os
import signal
import sys

from . import __version__
from .backend import module_of, use_device
from .commands import (
    course,
    demo,
    doctor,
    export,
    gradcheck,
    import_,
    info,
    playground,
    profile,
    sample,
    samplers,
    study,
    train,
)
from .console import INTERRUPTED, outputs, quit_on_interrupt
from .mpi import ALONE, launched, world

COMMANDS = (demo, course, playground, train, sample, samplers, study, info, profile, gradcheck, import_, export, doctor)
SHARED = (demo, train, sample, study)  # what the ranks of an MPI job do together; rank 0 alone runs the other commands


def main(argv=None):
    """Run a command.   -> exit code: 0 success, 1 the work failed, 2 the request was invalid

    Errors go to stderr, in one line where possible. MINIDIFF_TRACEBACK=1 shows the traceback. Of the ranks of an MPI job,
    rank 0 prints.
    """
    with outputs() as (stdout, _), _only_errors() if launched() and launched()[0] else contextlib.nullcontext():
        code = _run(argv)
    if stdout is not None and stdout.failed is not None:
        print(f"minidiff: error: the output could not be written: {stdout.failed.strerror}", file=sys.stderr)
        return code or 1
    return code


@contextlib.contextmanager
def _only_errors():
    """Inside, nothing that is written to sys.stdout appears: rank 0 writes the same."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def _run(argv):
    quiet = launched() is not None and launched()[0] > 0
    with contextlib.redirect_stderr(sys.stdout) if quiet else contextlib.nullcontext():
        arguments = _parser().parse_args(argv)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)  # so that a log file receives each line at once
    ranks = ALONE
    try:
        ranks = world()
        device = getattr(arguments, "device", "cpu")
        module_of(device)  # a missing GPU fails before any file is read
        use_device(device, ranks.local_rank)
        if quiet:
            arguments.no_progress = True
            if not arguments.shared:
                return 0
        return arguments.run(arguments) or 0
    except KeyboardInterrupt:
        before = quit_on_interrupt()
        ranks.fail("\nminidiff: interrupted", INTERRUPTED)
        if before is not None:
            signal.signal(signal.SIGINT, before)
        return INTERRUPTED
    except BrokenPipeError:  # the reader closed the pipe: `minidiff samplers | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("MINIDIFF_TRACEBACK"):
            raise
        code = 2 if isinstance(error, (ValueError, TypeError)) and not isinstance(error, ArithmeticError) else 1
        if not quiet or ranks is not ALONE:
            ranks.fail(f"minidiff {arguments.command}: error: {_told(error)}", code)
        return code


def _told(error):
    """The message of an exception, with its type where the message alone is not meant for users."""
    if isinstance(error, (ValueError, TypeError, OSError, ImportError, RuntimeError, ArithmeticError, MemoryError)) and str(
        error
    ):
        return str(error)
    told = f": {error}" if str(error) else ""
    return f"{type(error).__name__}{told} (MINIDIFF_TRACEBACK=1 shows the traceback)"


def _parser():
    parser = argparse.ArgumentParser(
        prog="minidiff",
        description="Diffusion models with every backward pass written by hand. Start with: minidiff demo",
    )
    parser.add_argument("--version", action="version", version=f"minidiff {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for module in COMMANDS:
        name = module.__name__.rpartition(".")[2].rstrip("_")  # `import` is taken in Python
        text = module.__doc__ or f"the command {name}"  # python -OO drops the docstrings
        summary = text.splitlines()[0]
        sub = commands.add_parser(name, help=summary, description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
        module.add_arguments(sub)
        sub.set_defaults(run=module.run, shared=module in SHARED)
    return parser


if __name__ == "__main__":
    sys.exit(main())
