"""Ctrl-C between two steps, never inside one: half an optimizer step would leave weights that belong to no run."""

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
    """Inside, the first Ctrl-C only sets `.asked` of what this yields. Outside the main thread Python handles no signals."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
