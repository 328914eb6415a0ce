"""CLIP: a text and an image encoder whose embeddings of an image and its caption have similar directions.

Radford et al. 2021 (arXiv:2103.00020), figure 3. Trained with `training.ContrastiveLoss`.
"""

import math

import numpy as np

from ..backend import xp_of
from ..nn import Layer, Linear, Param, chain, no_grad
from ..rng import as_rng


class CLIP(Layer):
    """images (B, H, W, C), ids (B, N)   ->   two arrays of unit vectors (B, features), of the images and of the texts

    back(dimages, dtexts) -> the gradient with respect to the images

    text    a TextEncoder; its pooled vector goes through `text_projection`
    image   an ImageEncoder, of as many features
    logit_scale   the logarithm of one over the temperature, learned; it starts at 0.07 as in the paper
    """

    def __init__(self, text, image, rng=None):
        if text.config["features"] != image.config["features"]:
            raise ValueError(f"image: it has {image.config['features']} features, expected {text.config['features']} as text")
        self.text, self.image = text, image
        self.text_projection = Linear(text.config["features"], image.config["features"], bias=False, rng=as_rng(rng))
        self.logit_scale = Param(np.full(1, math.log(1 / 0.07), np.float32))

    def forward(self, images, ids):
        of_images, back_images = chain([self.image, unit_vectors], images)
        (_, pooled), back_text = self.text(ids)
        of_texts, back_texts = chain([self.text_projection, unit_vectors], pooled)

        def back(dimages, dtexts):
            back_text(None, back_texts(dtexts))
            return back_images(dimages)

        return (of_images, of_texts), back

    def embed_images(self, images):
        """Unit vectors (B, features) of images, nothing saved."""
        with no_grad():
            return unit_vectors(self.image.predict(images))[0]

    def embed_texts(self, ids):
        """Features of each token (B, N, D), and unit vectors (B, features) of the texts, nothing saved."""
        with no_grad():
            features, pooled = self.text.predict(ids)
            return features, unit_vectors(self.text_projection.predict(pooled))[0]


def unit_vectors(x):
    """Each row divided by its length.   x (B, D)   ->   y (B, D), back(dy) -> dx"""
    length = xp_of(x).sqrt((x * x).sum(axis=-1, keepdims=True) + 1e-12)
    y = x / length

    def back(dy):
        return (dy - y * (dy * y).sum(axis=-1, keepdims=True)) / length  # the component along y does not change y

    return y, back
