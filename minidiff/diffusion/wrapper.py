"""A denoiser around a denoiser: what guidance and thresholding have in common."""


class Wrapper:
    """Calls `denoiser`, lets `change` alter its (x0, eps), and passes every other attribute through.

    A subclass writes `change(x0, eps, x, t) -> (x0, eps)`.
    """

    def __init__(self, denoiser):
        self.denoiser = denoiser

    def __call__(self, x, t, cond=None):
        x0, eps = self.denoiser(x, t, cond)
        return self.change(x0, eps, x, t)

    def predict(self, x, t, cond=None):
        """(x0, eps, variance share) as `Denoiser.predict`, with (x0, eps) changed."""
        x0, eps, share = self.denoiser.predict(x, t, cond)
        return *self.change(x0, eps, x, t), share

    def eps_back(self, x, t, cond=None):
        raise TypeError(f"{type(self).__name__} has no backward pass: use the denoiser without it")

    def change(self, x0, eps, x, t):
        raise NotImplementedError(f"{type(self).__name__} has no change")

    def __getattr__(self, name):
        if name == "denoiser":  # not set yet (copying, unpickling): without this line the next one would not end
            raise AttributeError(name)
        return getattr(self.denoiser, name)
