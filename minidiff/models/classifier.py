"""A small convolutional classifier: used to score samples and for classifier guidance."""

from functools import partial

from .. import ops
from ..nn import Conv2d, GroupNorm, Layer, Linear, chain, no_grad
from ..rng import as_rng
from .conditioning import batch_of_times


class Classifier(Layer):
    """Logits of images, one per class.   x (B, H, W, C)   t None, or scalar or (B,) if built with timed=True
    ->   logits (B, classes).   back(dlogits) -> dx

    shape     (H, W, C) of the images
    width     channels of the first convolution; doubled each time the image is halved
    features  length of the vector that `features(x)` returns, for distances between sets of images
    timed     the model gets the noise level of its image: for guidance on noisy images
    """

    def __init__(self, shape, classes, width=32, features=64, timed=False, rng=None):
        rng, (H, W, C) = as_rng(rng), shape
        self.config = dict(shape=tuple(shape), classes=classes, width=width, features=features, timed=timed)
        self.shape = tuple(shape)
        self.convs, self.norms, channels = [], [], C
        while True:
            self.convs.append(Conv2d(channels, width, 3, padding=1, rng=rng))
            self.norms.append(GroupNorm(1, width))
            channels = width
            if min(H, W) < 4 or len(self.convs) == 4:
                break
            H, W, width = H // 2, W // 2, 2 * width
        self.time = Linear(features, features, rng=rng) if timed else None
        self.hidden = Linear(H * W * channels, features, rng=rng)
        self.output = Linear(features, classes, rng=rng)

    def forward(self, x, t=None):
        return chain([partial(self.embed, t=t), self.output], x)

    def embed(self, x, t=None):
        """The feature vectors.   x (B, H, W, C)   ->   (B, features), back(df) -> dx"""
        if x.shape[1:] != self.shape:
            raise ValueError(f"Classifier: x has shape {tuple(x.shape)}, expected (B, {', '.join(map(str, self.shape))})")
        if (t is None) != (self.time is None):
            raise ValueError(f"Classifier: t is {t!r}, but it was built with timed={self.time is not None}")
        parts = []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            parts += [ops.avg_pool, conv, partial(norm, silu=True)]
        image, back_image = chain(parts[1:], x)  # halved between two convolutions
        h, back_hidden = self.hidden(image.reshape(len(x), -1))  # (B, features)
        back_time = None
        if self.time is not None:
            shift, back_time = self.time(ops.timestep_embedding(batch_of_times(t, x), h.shape[1], dtype=x.dtype))
            h = h + shift
        f, back_silu = ops.silu(h)

        def back(df):
            dh = back_silu(df)
            if back_time is not None:
                back_time(dh)
            return back_image(back_hidden(dh).reshape(image.shape))

        return f, back

    def features(self, x, t=None):
        """The feature vectors, nothing saved.   x (B, H, W, C)   ->   (B, features)"""
        with no_grad():
            return self.embed(x, t)[0]
