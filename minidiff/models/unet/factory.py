"""From the names of a U-Net's blocks, as configs give them, to the blocks."""

from .blocks import DownBlock2D, UpBlock2D
from .k_diffusion import KDownBlock2D, KUpBlock2D
from .ncsnpp import SkipDownBlock2D, SkipUpBlock2D


def down_block(kind, before, channels, last, config, rng, options):
    """The block of one resolution on the way down. -> (block, channels of the images it keeps)

    before, channels: in and out. last: the coarsest, which does not halve. options: what all residual blocks share.
    """
    layers, temb, heads = config["layers_per_block"], options["temb_channels"], head_count(kind, channels, config)
    if kind.startswith("K"):
        shared = {name: options[name] for name in ("eps", "dropout", "act")}
        return KDownBlock2D(before, channels, temb, layers, not last, rng, **shared), [channels] * layers
    kept, shared = [channels] * (layers + (not last)), {k: v for k, v in options.items() if k != "temb_channels"}
    if "Skip" in kind:
        del shared["groups"]
        return SkipDownBlock2D(before, channels, temb, layers, heads, not last, rng, **shared), kept
    halve = {"ResnetDownsampleBlock2D": "resnet", "AttnDownBlock2D": config["downsample_type"]}.get(kind, "conv")
    padding = config["downsample_padding"]
    return DownBlock2D(before, channels, temb, layers, heads, False if last else halve, padding, rng, **shared), kept


def up_block(kind, before, channels, following, last, skips, config, rng, options):
    """The block of one resolution on the way up; takes the channels of the images that it will use off `skips`.

    following: channels of the next block. last: the finest, which does not double.
    """
    layers, temb, heads = config["layers_per_block"], options["temb_channels"], head_count(kind, channels, config)
    taken = [skips.pop() for _ in range(layers + (not kind.startswith("K")))]
    if kind.startswith("K"):
        shared = {name: options[name] for name in ("eps", "dropout", "act")}
        return KUpBlock2D(channels, following, temb, layers, not last, rng, **shared)
    shared = {k: v for k, v in options.items() if k != "temb_channels"}
    if "Skip" in kind:
        del shared["groups"]
        return SkipUpBlock2D(before, channels, taken, temb, heads, not last, rng, **shared)
    double = {"ResnetUpsampleBlock2D": "resnet", "AttnUpBlock2D": config["upsample_type"]}.get(kind, "conv")
    return UpBlock2D(before, channels, taken, temb, heads, False if last else double, rng, **shared)


def head_count(kind, channels, config):
    """Heads of the attention in a block of this kind; None for a block without one."""
    if not kind.startswith("Attn"):
        return None
    return channels // config["attention_head_dim"] if config["attention_head_dim"] else 1
