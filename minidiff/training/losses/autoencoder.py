"""The loss of a KL autoencoder: the image is reconstructed, and the latents stay near a standard normal.

Rombach et al. 2022 (arXiv:2112.10752), section 3.1, without the adversarial and perceptual terms: these images are simple
enough for the plain squared error.
"""

from ...backend import xp_of
from ...finite import checked
from ...models.autoencoder_kl import kl_divergence, sample_posterior


class AutoencoderLoss:
    """The loss as an objective:   loss, back = objective(model, x0, rng)   with an AutoencoderKL and images.

    mean squared error of the pixels + kl_weight times the mean over the latents' numbers of KL(posterior || N(0, 1))
    """

    by_rows = True

    def __init__(self, kl_weight=1e-4):
        if not kl_weight >= 0:
            raise ValueError(f"kl_weight: got {kl_weight}, expected a number >= 0")
        self.kl_weight = kl_weight

    def __call__(self, model, x0, rng, cond=None):
        moments, back_encode = model.encode(x0)
        shape = (*moments.shape[:3], moments.shape[3] // 2)
        noise = xp_of(x0).asarray(rng.standard_normal(shape, dtype=x0.dtype))
        z, back_sample = sample_posterior(moments, noise)
        kl, back_kl = kl_divergence(moments)
        y, back_decode = model.decode(z)
        error, weight = y - x0, self.kl_weight * len(x0) / noise.size  # kl is a sum over an image's latents

        def back(dloss=1.0):
            dz = back_decode(error * (dloss * (2.0 / error.size)))
            back_encode(back_sample(dz) + back_kl(dloss * weight))  # the moments were used twice

        return checked((error * error).mean() + weight * kl, type(self).__name__), back
