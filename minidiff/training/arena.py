"""One flat array of values and one of gradients, of which every parameter is a view.

An optimizer, an average of weights, clipping and a copy of everything are then loops over a few flat pieces instead of
hundreds of small arrays. On a CPU, threads share pieces of about 128 k numbers, small enough for an update's temporaries
to stay in the cache. On a GPU the pieces are large, so that a step takes a handful of kernel launches.
"""

import weakref

import numpy as np

from ..backend import xp_of
from ..cpu.scratch import scratch
from ..heap import keep_freed_memory, return_freed_memory
from ..names import differences
from ..thread_team import share

CPU_CHUNK = 1 << 17  # numbers a piece: 512 KiB in float32
GPU_CHUNK = 1 << 26
ALIGN = 16  # every parameter starts at a multiple of 16 numbers: 64 bytes in float32, aligned for GPUs and vector units

_homes = weakref.WeakValueDictionary()  # id(Param) -> the Arena it lives in; an arena keeps its Params alive


class Arena:
    """The parameters of a model, moved into flat memory.   model: a Layer, or {name: Param}

    zeros           zeros(size, dtype=...) allocates values and gradients; None: ordinary memory of their device

    values, grads   flat arrays (size,) of the parameters' dtype; what lies between two parameters is zero
    params          {name: Param}, in the order of the model
    spans           {name: slice} into the flat arrays

    Raises ValueError for a model without parameters or with parameters of different dtypes.
    """

    def __init__(self, model, zeros=None):
        self.params = params = _params_of(model)
        if not params:
            raise ValueError("model: it has no parameters, so there is nothing to train")
        dtypes = sorted({str(p.value.dtype) for p in params.values()})
        if len(dtypes) > 1:
            raise ValueError(f"model: parameters of dtypes {', '.join(dtypes)}, expected one (model.astype makes it so)")
        self.xp = xp_of(*(p.value for p in params.values()))
        self.dtype = np.dtype(dtypes[0])
        if self.xp is np:
            keep_freed_memory()
        self.moved, self.shared = False, zeros is not None
        self.spans, end = {}, 0
        for name, param in params.items():
            self.spans[name] = slice(end, end + param.value.size)
            end = -(-self.spans[name].stop // ALIGN) * ALIGN
        zeros = zeros or self.xp.zeros
        self.values, self.grads = zeros(end, dtype=self.dtype), zeros(end, dtype=self.dtype)
        values, grads = self.views(self.values), self.views(self.grads)
        for name, param in params.items():
            before = _homes.get(id(param))
            if before is not None:
                before.moved = True
            param.share(values[name], grads[name])
            _homes[id(param)] = self
        if self.xp is np:
            return_freed_memory()  # where the parameters were

    @classmethod
    def of(cls, model):
        """The existing arena of these parameters, or a new one, so that an optimizer and an average of the same model
        share memory.   model: a Layer, {name: Param}, or an Arena."""
        return model if isinstance(model, Arena) else cls.home(model) or cls(model)

    @classmethod
    def home(cls, model):
        """The arena that holds exactly these parameters, or None.   model: a Layer or {name: Param}"""
        params = _params_of(model)
        home = next((_homes.get(id(p)) for p in params.values()), None)
        same = home is not None and not home.moved and [*map(id, params.values())] == [*map(id, home.params.values())]
        return home if same else None

    @property
    def size(self):
        """Length of the flat arrays, the few zeros between parameters included."""
        return self.values.size

    def views(self, flat):
        """{name: view} of any flat array of this layout, in the parameters' shapes."""
        return {name: flat[span].reshape(self.params[name].shape) for name, span in self.spans.items()}

    def zeros(self):
        """A new flat array of this layout, for a moment or an average."""
        return self.xp.zeros_like(self.values)

    def chunks(self):
        """The slices in which a flat array is processed."""
        if self.moved:
            raise RuntimeError("these parameters have moved to another arena: use the optimizer and the EMA made last")
        step = CPU_CHUNK if self.xp is np else GPU_CHUNK
        return [slice(start, min(start + step, self.size)) for start in range(0, self.size, step)]

    def scratch(self, part):
        """Memory of a slice's size for intermediate results; valid until the thread's next slice."""
        values = self.values[part]
        return scratch("arena", values.shape, self.dtype) if self.xp is np else self.xp.empty_like(values)

    def walk(self, work):
        """Call work(part) for every slice, in no fixed order: on a CPU threads share the slices."""
        parts = self.chunks()
        if self.xp is np:
            share(lambda i: work(parts[i]), len(parts))
        else:
            for part in parts:
                work(part)

    def zero_grad(self):
        """Set every gradient to zero."""

        def clear(part):
            self.grads[part] = 0

        self.walk(clear)

    def grad_norm(self):
        """The Euclidean norm of all gradients together, summed in float64; a 0-d array, so a GPU need not wait for it."""
        squares = {}

        def measure(part):
            g = self.grads[part].astype(np.float64)  # squares of large float32 numbers would overflow
            squares[part.start] = g @ g

        self.walk(measure)
        total = self.xp.zeros((), dtype=np.float64)
        for part in self.chunks():  # always in this order
            total = total + squares[part.start]
        return self.xp.sqrt(total)

    def first_bad(self, flat):
        """The name of the first parameter whose part of `flat` holds NaN or infinity; None if all is finite."""
        if all(bool(self.xp.isfinite(flat[part]).all()) for part in self.chunks()):
            return None
        return next(name for name, view in self.views(flat).items() if not bool(self.xp.isfinite(view).all()))

    def load(self, flat, state, what="state"):
        """Write {name: array} into a flat array of this layout, cast to its dtype. Raises ValueError listing what does
        not fit, before anything is written."""
        views = self.views(flat)
        wrong = differences(state, views)
        if wrong:
            raise ValueError(f"{what} does not fit the model:{wrong}")
        for name, view in views.items():
            view[...] = self.xp.asarray(state[name]).astype(view.dtype)


def _params_of(model):
    return dict(model.parameters() if hasattr(model, "parameters") else model)
