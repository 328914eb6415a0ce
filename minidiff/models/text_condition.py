"""What a model that attends to a text is given, and the empty text that stands for none."""

from typing import Any, NamedTuple

from ..backend import to_device, xp_of
from ..nn import Layer


class TextCondition(NamedTuple):
    """The conditioning of such a model.

    context   (B, M, E): an encoded text
    mask      bool (B, M): which of its tokens to attend to; None: all
    labels    classes (B,) or vectors (B, ...), for models that take some
    """

    context: Any
    mask: Any = None
    labels: Any = None

    @classmethod
    def of(cls, cond):
        """`cond`, a context or a tuple, as a TextCondition."""
        return cls(*cond) if isinstance(cond, tuple) else cls(cond)


class TextModel(Layer):
    """A Layer with an empty text: `null_context`, an encoded text (1, M, E), the null condition of guidance and training."""

    null_context = None

    def to(self, device):
        """Move every parameter, and the empty text, to "cpu" or "cuda", in place; returns the layer itself."""
        if self.null_context is not None:
            self.null_context = to_device(self.null_context, device)
        return super().to(device)

    def null_cond(self, cond):
        """The empty text for each of `cond`; None where it is not set."""
        if self.null_context is None or cond is None:
            return None
        context, *rest = cond if isinstance(cond, tuple) else (cond,)
        null = xp_of(context).broadcast_to(self.null_context, (context.shape[0], *self.null_context.shape[1:]))
        if not isinstance(cond, tuple):
            return null
        if rest and rest[0] is not None:
            rest[0] = rest[0] | True  # the empty text is never masked
        return TextCondition(null, *rest) if isinstance(cond, TextCondition) else (null, *rest)
