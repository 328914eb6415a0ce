"""The moving average of the weights, which is used for sampling: it gives better samples than the last step's weights.

Ho et al. 2020 (arXiv:2006.11239, appendix B) use decay 0.9999. In a short run such an average is mostly the random
start, so the decay is warmed up: min(decay, (1 + n) / (10 + n)) after n updates, as in TensorFlow and diffusers.
"""

import contextlib

from .arena import Arena


class EMA:
    """average = d average + (1 - d) weights, once a step.   params: a Layer, {name: Param}, or an Arena

    decay    the d of a long run, in [0, 1]
    warmup   let d grow from 0.1 towards `decay`
    average  flat array (size,), n the number of updates so far

        with ema.applied():          # inside, the model's parameters hold the average
            images = sample(...)
        model.load_state(ema.state())    # the average for good
    """

    def __init__(self, params, decay=0.999, warmup=True):
        if not 0 <= decay <= 1:
            raise ValueError(f"decay: got {decay!r}, expected a number in [0, 1]")
        self.arena, self.decay, self.warmup = Arena.of(params), decay, warmup
        self.average, self.n, self.swapped = self.arena.values.copy(), 0, False

    def decay_at(self, n):
        """The decay of the update that follows n earlier ones."""
        return min(self.decay, (1 + n) / (10 + n)) if self.warmup else self.decay

    def update(self):
        """Add the current weights to the average."""
        self.check_not_applied()
        keep = self.decay_at(self.n)
        self.n += 1

        def take_in(part):  # average += (1 - keep) (weights - average)
            average, work = self.average[part], self.arena.scratch(part)
            self.arena.xp.subtract(self.arena.values[part], average, out=work)
            work *= 1 - keep
            average += work

        self.arena.walk(take_in)

    def check_not_applied(self):
        """Raises RuntimeError while the model holds the average: training would update the wrong weights."""
        if self.swapped:
            raise RuntimeError("the model holds the average now: leave `with ema.applied()` before training on")

    @contextlib.contextmanager
    def applied(self):
        """Context manager: the model's weights are the average; afterwards they are restored to the bit. Cannot be nested."""
        if self.swapped:
            raise RuntimeError("the average is already in the model: `with ema.applied()` is not to be nested")
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self):
        for part in self.arena.chunks():
            weights = self.arena.values[part].copy()
            self.arena.values[part] = self.average[part]
            self.average[part] = weights
        self.swapped = not self.swapped

    def state(self):
        """{name: array}: the average in the parameters' names and shapes, as views; `n` is the rest."""
        return self.arena.views(self.average)

    def load_state(self, average, n):
        """Load what `state` returned, and the number of updates. Raises ValueError listing what does not fit."""
        self.arena.load(self.average, average, "EMA")
        self.n = int(n)
