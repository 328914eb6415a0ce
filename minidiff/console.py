"""Terminal handling: output that cannot be written, characters that cannot be encoded, Ctrl-C at any moment.

Imports nothing from minidiff, so that it works while the rest is still being imported.
"""

import contextlib
import os
import signal
import sys
import threading

INTERRUPTED = 130  # 128 + SIGINT, as shells count


class Output:
    """A text stream whose write errors do not end the command: the rest is discarded and `failed` is the OSError.

    A training run is worth more than its messages. A closed pipe still raises BrokenPipeError.
    """

    def __init__(self, stream):
        self.stream, self.failed = stream, None
        if hasattr(stream, "reconfigure"):  # a character the console lacks is written as \\u4e2d instead of raising
            stream.reconfigure(errors="backslashreplace")

    def write(self, text):
        try:
            return self.stream.write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            self._discard(error)
            return len(text)

    def flush(self):
        try:
            self.stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            self._discard(error)

    def _discard(self, error):
        self.failed = self.failed or error
        with contextlib.suppress(OSError, ValueError):  # discards what is left in Python's buffer as well
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())

    def __getattr__(self, name):
        return getattr(self.stream, name)


@contextlib.contextmanager
def outputs():
    """Inside, sys.stdout and sys.stderr are Outputs.   yields both (None where a program has none)"""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = made = tuple(None if stream is None else Output(stream) for stream in before)
    try:
        yield made
    finally:
        for stream in made:
            if stream is not None:
                with contextlib.suppress(BrokenPipeError, ValueError):
                    stream.flush()
        sys.stdout, sys.stderr = before


def quit_on_interrupt():
    """Let Ctrl-C end the process at once, with exit code 130 and no traceback; no effect outside the main thread.

    For use before and after the work, when there is nothing to clean up. -> the previous handler, or None
    """
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
