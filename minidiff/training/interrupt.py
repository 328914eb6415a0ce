"""Delays Ctrl-C to the end of a step: half an optimizer step would leave inconsistent weights."""

import contextlib
import signal
import threading


class Interrupt:
    """`asked` turns True at the first Ctrl-C; the second one interrupts at once."""

    asked = False

    def __call__(self, *_):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextlib.contextmanager
def between_steps():
    """Context manager: the first Ctrl-C only sets `.asked` of what this yields. Has no effect outside the main thread."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
