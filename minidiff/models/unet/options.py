"""Validates the U-Net's options: combinations that would fail later, or be ignored, raise here by name."""

from ...names import check_choice

DOWN = ("DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D", "SkipDownBlock2D", "AttnSkipDownBlock2D", "KDownBlock2D")
UP = ("UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D", "SkipUpBlock2D", "AttnSkipUpBlock2D", "KUpBlock2D")
CHOICES = {
    "resnet_time_scale_shift": ("default", "scale_shift"),
    "downsample_padding": (0, 1),
    "downsample_type": ("conv", "resnet"),
    "upsample_type": ("conv", "resnet"),
    "time_embedding_type": ("positional", "fourier", "learned"),
    "mid_block_type": ("UNetMidBlock2D", None),
    "class_embed_type": (None, "timestep", "identity"),
    "act_fn": ("silu", "swish", "mish", "gelu", "relu"),
}


def check(config):
    """Raises ValueError that names the option, its value and what was expected."""
    levels = len(config["block_out_channels"])
    for name, known in (("down_block_types", DOWN), ("up_block_types", UP)):
        for kind in config[name]:
            check_choice(name, kind, known)
        if len(config[name]) != levels:
            raise ValueError(f"{name}: got {len(config[name])}, expected {levels}, one for each of block_out_channels")
    for name, known in CHOICES.items():
        check_choice(name, config[name], known)
    _check_groups(config)
    if config["time_embedding_type"] == "learned" and not config["num_train_timesteps"]:
        raise ValueError("num_train_timesteps: got None, expected how many times there are, for time_embedding_type='learned'")
    classes, null = config["num_class_embeds"], config["null_class"]
    if null is not None and not (classes and 0 <= null < classes):
        raise ValueError(f"null_class: got {null}, expected a class in [0, num_class_embeds), which is {classes}")


def _check_groups(config):
    groups, head = config["norm_num_groups"], config["attention_head_dim"]
    kinds = (*config["down_block_types"], *config["up_block_types"])
    if groups is None and not all(kind.removeprefix("Attn").startswith(("Skip", "K")) for kind in kinds):
        raise ValueError("norm_num_groups: got None, expected a number (only Skip and K blocks choose for themselves)")
    for channels in config["block_out_channels"]:
        if groups and channels % groups:
            raise ValueError(f"block_out_channels: {channels} is not divisible by norm_num_groups={groups}")
        if head and channels % head:
            raise ValueError(f"block_out_channels: {channels} is not divisible by attention_head_dim={head}")
    if config["attn_norm_num_groups"] and config["block_out_channels"][-1] % config["attn_norm_num_groups"]:
        raise ValueError(
            f"attn_norm_num_groups: got {config['attn_norm_num_groups']}, expected a divisor of the "
            f"{config['block_out_channels'][-1]} channels of the middle"
        )
