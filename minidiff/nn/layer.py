"""Param, a trainable array with its gradient, and Layer, which owns Params.

y, back = layer(x)        forward, and the function that carries dLoss/dy back
dx = back(dy)             dLoss/dx; every p.grad of the layer has been added to
y = layer.predict(x)      forward only, nothing saved
"""

import contextlib

import numpy as np

from ..backend import device_of, to_device, xp_of
from ..names import differences
from ..settings import dropped, is_no_grad, setting
from .blank import is_blank

LONE_NUMBERS, LONE_WEIGHTS = 1 << 12, 1 << 24  # of a small image, and of a small network


class Param:
    """A trainable array and its accumulated gradient.

    `value` and `grad` have one shape and dtype. Gradients are allocated on first access, so a model that only samples
    needs no memory for them. After `share` (they moved to an arena) both are views that may be written into, not replaced.
    """

    __slots__ = ("_value", "_grad", "_shared")

    def __init__(self, value, grad=None):
        self._value, self._grad, self._shared = value, None, False
        if grad is not None:
            self.grad = grad

    @property
    def value(self):
        return self._value

    @value.setter
    def value(self, new):
        if new is self._value:  # p.value += x ends here
            return
        if self._shared:
            raise ValueError("this Param lives in an arena: write into it (p.value[...] = new), do not replace it")
        self._value, self._grad = new, None

    @property
    def grad(self):
        if self._grad is None:
            self._grad = xp_of(self._value).zeros_like(self._value)
        return self._grad

    @grad.setter
    def grad(self, new):
        if new is self._grad:  # p.grad += g ends here
            return
        if self._shared:
            raise ValueError("this Param lives in an arena: add to p.grad or write into it, do not replace it")
        if new is not None and (new.shape != self._value.shape or new.dtype != self._value.dtype):
            raise ValueError(f"grad: got {new.shape} {new.dtype}, expected {self._value.shape} {self._value.dtype}")
        self._grad = new

    def share(self, value, grad):
        """Move into `value` and `grad`, views of an arena's flat arrays; the numbers are copied over.   grad: zeros"""
        value[...] = self._value
        if self._grad is not None:  # zeros that nobody writes to take no memory
            grad[...] = self._grad
        self._value, self._grad, self._shared = value, grad, True

    def accumulate_in(self, grad):
        """Add gradients to `grad` from now on, zeros of the same shape. What the gradient was is not copied."""
        self._grad = grad

    @contextlib.contextmanager
    def replaced(self, value):
        """Context manager: this Param has another `value`, of any dtype; its gradient and its arena are unchanged."""
        kept, self._value = self._value, value
        try:
            yield
        finally:
            self._value = kept

    def __deepcopy__(self, memo):
        return Param(self._value.copy(), None if self._grad is None else self._grad.copy())  # a copy lives outside the arena

    @property
    def shape(self):
        return self._value.shape

    def __repr__(self):
        return f"Param({self._value.shape}, {self._value.dtype})"


class Layer:
    """Something with parameters and a `forward(...) -> (y, back)`. Sub-layers and Params are plain attributes,
    or sit in lists and dicts that are attributes; their names are the paths to them."""

    def forward(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *args, **kwargs):
        y, back = self.forward(*args, **kwargs)
        return y, (dropped if is_no_grad() else back)

    def predict(self, *args, **kwargs):
        """The output alone; nothing is saved for a backward pass."""
        with setting(no_grad=True, lone=bool(args) and self._is_lone(args[0])):
            return self(*args, **kwargs)[0]

    def _is_lone(self, x):
        """Whether x is one small image for a small network, so that `settings.is_lone` holds. A large network's ops gain by
        threads, and none of its predictions is lone, because the two ways slow each other down."""
        if getattr(x, "shape", ())[:1] != (1,) or x.size > LONE_NUMBERS:
            return False
        if "_few_weights" not in vars(self):
            self._few_weights = self.size() <= LONE_WEIGHTS
        return self._few_weights

    def parameters(self):
        """Every Param below this layer.   -> {path: Param}, in the order of construction; shared Params appear once."""
        found = {}
        _collect(self, "", found, set())
        return found

    def zero_grad(self):
        """Set every gradient to zero."""
        for param in self.parameters().values():
            param.grad[...] = 0

    def state(self):
        """{path: array}, not copied."""
        return {path: param.value for path, param in self.parameters().items()}

    def load_state(self, state):
        """Take over the arrays of {path: array}, cast to each Param's dtype and moved to its device.

        Raises ValueError that lists what is missing, unexpected or of another shape, before anything is written.
        """
        own = self.parameters()
        wrong = differences(state, own)
        if wrong:
            raise ValueError(f"this state does not fit the model:{wrong}")
        for name, param in own.items():
            if is_blank(param):
                param.value = np.array(state[name], param.value.dtype)
            else:  # in place: the Param may live in an arena
                param.value[...] = xp_of(param.value).asarray(state[name]).astype(param.value.dtype)

    def astype(self, dtype):
        """Recast every parameter in place (float64 for checks); returns the layer itself."""
        for param in self.parameters().values():
            param.value = param.value.astype(dtype)
        return self

    @property
    def device(self):
        """Where the parameters lie: "cpu" or "cuda"."""
        return device_of(next(iter(self.parameters().values())).value)

    def to(self, device):
        """Move every parameter to "cpu" or "cuda", in place; returns the layer itself."""
        for param in self.parameters().values():
            param.value = to_device(param.value, device)
        return self

    def size(self):
        """How many numbers the parameters hold."""
        return sum(int(np.prod(p.shape, dtype=np.int64)) for p in self.parameters().values())


def owned(y, back_op, *params):
    """Turn an op's result into a layer's: y, and a back that accumulates the parameters' gradients and returns dx.

    params   the Params behind the op's arguments after the first, in their order; None for an absent one
    """
    params = [param for param in params if param is not None]

    def back(dy):
        dx, *dparams = back_op(dy)
        for param, dparam in zip(params, dparams, strict=True):
            param.grad += dparam
        return dx

    return y, back


def chain(layers, x):
    """Layers one after another: forward runs down the list, back runs up. None is skipped.   -> y, back"""
    backs = []
    for layer in layers:
        if layer is not None:
            x, back_layer = layer(x)
            backs.append(back_layer)

    def back(dy):
        for back_layer in reversed(backs):
            dy = back_layer(dy)
        return dy

    return x, back


def _collect(thing, path, found, seen):
    """Add every Param below a Layer, dict, list or tuple to found, {path: Param}, but for those in seen, a set of ids."""
    items = vars(thing).items() if isinstance(thing, Layer) else thing.items() if isinstance(thing, dict) else enumerate(thing)
    for name, child in items:
        if isinstance(child, Param):
            if id(child) not in seen:
                seen.add(id(child))
                found[f"{path}{name}"] = child
        elif isinstance(child, (Layer, dict, list, tuple)):
            _collect(child, f"{path}{name}.", found, seen)
