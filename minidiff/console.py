"""What the command owes its terminal: output that cannot be written, letters that cannot be encoded, Ctrl-C at any moment.

Imports nothing of minidiff, so that it holds from the first line on, while the rest is still being imported.
"""

import contextlib
import os
import signal
import sys
import threading

INTERRUPTED = 130  # 128 + SIGINT, as shells count


class Output:
    """A text stream that never ends the command: where writing fails, the rest is discarded and `failed` is the OSError.

    A training run is worth more than its messages. A closed pipe still raises BrokenPipeError: nobody is reading.
    """

    def __init__(self, stream):
        self.stream, self.failed = stream, None
        if hasattr(stream, "reconfigure"):  # a letter the console lacks is written as \\u4e2d, and does not raise
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
        with contextlib.suppress(OSError, ValueError):  # what Python still holds in its buffer goes there too
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
    """From here on Ctrl-C ends the process at once, with exit code 130 and no traceback; does nothing outside the main thread.

    For the time before and after the work, in which there is nothing to clean up. -> the handler that was there, or None
    """
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
