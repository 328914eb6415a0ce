"""AdamW: Adam with decoupled weight decay. Loshchilov and Hutter 2017 (arXiv:1711.05101),
algorithm 2; Adam is Kingma and Ba 2014 (arXiv:1412.6980), algorithm 1. Arithmetic and defaults as in torch.optim.AdamW.
"""

import math

from .arena import Arena


class AdamW:
    """The optimizer over a flat arena.   params: a Layer, {name: Param}, or an Arena

    lr            learning rate; `step` takes another one, so a schedule needs no hook here
    betas         decay rates of the running means of the gradient and of its square
    eps           added to the square root, after the bias correction
    weight_decay  share of each weight, times lr, that is subtracted each step

    m, v (size,) are the running means, t the number of steps taken. Raises ValueError for numbers out of range.
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        check_adamw(lr, betas, weight_decay)
        if not 0 < eps < math.inf:
            raise ValueError(f"eps: got {eps!r}, expected a finite number > 0")
        self.arena = Arena.of(params)
        self.lr, self.betas, self.eps, self.weight_decay = lr, tuple(betas), eps, weight_decay
        self.m, self.v, self.t = self.arena.zeros(), self.arena.zeros(), 0

    def zero_grad(self):
        """Set every gradient to zero."""
        self.arena.zero_grad()

    def step(self, lr=None):
        """Update every weight once, from the current gradients."""
        lr = float(self.lr if lr is None else lr)  # a Python float keeps float32 arrays float32
        (beta1, beta2), xp = self.betas, self.arena.xp
        self.t += 1
        bias1, root = 1 - beta1**self.t, math.sqrt(1 - beta2**self.t)  # both means start at zero, too small at first

        def update(part):
            p, g, m, v = self.arena.values[part], self.arena.grads[part], self.m[part], self.v[part]
            work = self.arena.scratch(part)
            xp.subtract(g, m, out=work)  # m += (1 - beta1) (g - m)
            work *= 1 - beta1
            m += work
            xp.multiply(g, g, out=work)  # v += (1 - beta2) (g g - v)
            work -= v
            work *= 1 - beta2
            v += work
            xp.sqrt(v, out=work)  # p -= lr (m / bias1) / (sqrt(v) / root + eps), after the decay
            work += self.eps * root
            xp.divide(m, work, out=work)
            work *= lr * root / bias1
            p *= 1 - lr * self.weight_decay
            p -= work

        self.arena.walk(update)

    def state(self):
        """The moments by parameter name, as views.   -> {"m": {name: array}, "v": {name: array}}; `t` is the rest."""
        return {"m": self.arena.views(self.m), "v": self.arena.views(self.v)}

    def load_state(self, moments, t):
        """Load what `state` returned, and the number of steps. Raises ValueError listing what does not fit."""
        missing = [name for name in ("m", "v") if name not in moments]
        if missing:
            raise ValueError(f"optimizer state: missing {', '.join(missing)}, expected the moments m and v")
        self.arena.load(self.m, moments["m"], "optimizer moment m")
        self.arena.load(self.v, moments["v"], "optimizer moment v")
        self.t = int(t)


def check_adamw(lr, betas, weight_decay):
    """Raises ValueError for numbers out of range."""
    for name, value in (("lr", lr), ("weight_decay", weight_decay)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name}: got {value!r}, expected a finite number >= 0")
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas: got {betas!r}, expected two numbers in [0, 1)")


def clip_grad_norm(params, max_norm):
    """Scale all gradients so that their joint norm is at most `max_norm`; returns the norm before (0-d float64).

    params: a Layer, {name: Param}, or an Arena. max_norm None only measures. As torch.nn.utils.clip_grad_norm_, except
    that a NaN or infinite norm leaves the gradients unchanged, so that the bad one can still be found.
    """
    if max_norm is not None and not max_norm > 0:
        raise ValueError(f"max_norm: got {max_norm!r}, expected a number > 0, or None")
    arena = Arena.of(params)
    norm, xp = arena.grad_norm(), arena.xp
    if max_norm is not None:
        scale = xp.where(xp.isfinite(norm), xp.minimum(1.0, max_norm / (norm + 1e-6)), 1.0).astype(arena.dtype)

        def shorten(part):
            arena.grads[part] *= scale

        arena.walk(shorten)
    return norm
