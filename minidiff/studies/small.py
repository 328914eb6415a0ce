"""Small models of the digits, trained once for each seed, for studies whose errors are over training seeds."""

from ..diffusion import SimpleLoss
from ..models import MLP
from ..nn import Layer
from ..rng import Rng, Stream
from ..runs import build_objective
from . import digits

MLP_STEPS, UNET_STEPS = 1500, 800  # of training
UNET = ("model.block_out_channels=[16,32]", "model.norm_num_groups=4", "model.attention_head_dim=16", "train.batch_size=32")


class FlatMLP(Layer):
    """An MLP over the pixels of an image, conditioned on the class.   x (B, 8, 8, 1) -> (B, 8, 8, 1)"""

    def __init__(self, width, rng=0):
        self.mlp = MLP(features=64, width=width, num_class_embeds=11, null_class=10, rng=rng)

    def forward(self, x, t, cond=None):
        y, back = self.mlp(x.reshape(len(x), -1), t, cond)  # (B, H, W, C) -> (B, H W C)
        return y.reshape(x.shape), lambda dy: back(dy.reshape(len(dy), -1)).reshape(dy.shape)

    def null_cond(self, cond):
        return self.mlp.null_cond(cond)


def mlp(options, seed, name, schedule=None):
    """An MLP 128 wide that predicts x0, trained with this seed on a schedule (None: the cosine one).   -> Denoiser"""
    config = digits.configuration(options, MLP_STEPS, "diffusion.predicts=x0", f"train.seed={seed}")
    schedule = schedule or build_objective(config).schedule
    objective = SimpleLoss(schedule, "x0", cond_dropout=config.diffusion.cond_dropout)
    net = FlatMLP(128, rng=Rng(seed, Stream.WEIGHTS))
    return objective.denoiser(digits.fit(net, objective, options, digits.place(options, f"{name}/{seed}"), config))


def unet(options, seed):
    """A U-Net a quarter the size of the digits preset, trained with this seed.   -> Denoiser

    With `options.run` it is that run's denoiser for every seed; the seeds then affect only the noise.
    """
    if options.run is not None:
        return digits.trained(options)
    overrides = () if options.quick else UNET
    return digits.train(options, UNET_STEPS, f"small/{seed}", *overrides, f"train.seed={seed}")
