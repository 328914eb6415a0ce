"""The contrastive loss: match each image of a batch to its caption, and each caption to its image.

Radford et al. 2021 (arXiv:2103.00020), figure 3.
"""

import math

from ... import ops
from ...backend import xp_of
from ...complex_step import clip
from ...finite import checked

LARGEST_SCALE = math.log(100)  # the paper holds the temperature above 0.01, for stability


def contrastive_loss(images, texts, log_scale):
    """Cross-entropy of the scaled dot products, over rows and over columns, the mean of both.

    images, texts (B, D) unit vectors, pair by pair; log_scale (1,)   ->   a 0-d array, back(dloss=1) -> one gradient each
    """
    xp, B = xp_of(images, texts), len(images)
    held = clip(log_scale, None, LARGEST_SCALE)
    scale, inside = xp.exp(held), (log_scale <= LARGEST_SCALE).astype(images.dtype)
    products, back_products = ops.linear(images, xp.ascontiguousarray(texts.T))  # (B, B)
    own = xp.arange(B)
    by_image, back_image = ops.cross_entropy(products * scale, own)
    by_text, back_text = ops.cross_entropy(products.T * scale, own)

    def back(dloss=1.0):
        dlogits = back_image(0.5 * dloss) + back_text(0.5 * dloss).T
        dproducts = dlogits * scale
        dscale = (dlogits * products).sum() * scale * inside
        dimages, dtexts = back_products(dproducts)
        return dimages, dtexts.T, dscale

    return 0.5 * (by_image + by_text), back


class ContrastiveLoss:
    """The loss as an objective:   loss, back = objective(model, x0, rng, cond)   with a CLIP, images, caption ids."""

    def __call__(self, model, x0, rng, cond=None):
        (images, texts), back_model = model(x0, cond)
        loss, back_loss = contrastive_loss(images, texts, model.logit_scale.value)

        def back(dloss=1.0):
            dimages, dtexts, dscale = back_loss(dloss)
            model.logit_scale.grad += dscale
            back_model(dimages, dtexts)

        return checked(loss, type(self).__name__), back
