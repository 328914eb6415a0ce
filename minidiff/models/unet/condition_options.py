"""Validates the options of the conditional U-Net and expands them for each resolution."""

from ...names import check_choice

DOWN = ("CrossAttnDownBlock2D", "DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D")
UP = ("CrossAttnUpBlock2D", "UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D")
CHOICES = {
    "mid_block_type": ("UNetMidBlock2DCrossAttn", "UNetMidBlock2D", None),
    "resnet_time_scale_shift": ("default", "scale_shift"),
    "downsample_padding": (0, 1),
    "act_fn": ("silu", "swish", "mish", "gelu", "relu"),
    "time_embedding_act_fn": (None, "silu", "swish", "mish", "gelu", "relu"),
    "class_embed_type": (None, "timestep", "identity", "projection", "simple_projection"),
    "encoder_hid_dim_type": (None, "text_proj"),
}


def check(config):
    """One dict of options for each resolution, finest first. Raises ValueError that names the option that does not fit."""
    for name, known in (("down_block_types", DOWN), ("up_block_types", UP)):
        for kind in config[name]:
            check_choice(name, kind, known)
    for name, known in CHOICES.items():
        check_choice(name, config[name], known)
    n = len(config["block_out_channels"])
    each = {name: _each(name, config[name], n) for name in ("down_block_types", "up_block_types", "only_cross_attention",
            "layers_per_block", "cross_attention_dim", "attention_head_dim", "transformer_layers_per_block")}  # fmt: skip
    up = config["reverse_transformer_layers_per_block"]
    up = each["transformer_layers_per_block"] if up is None else _each("reverse_transformer_layers_per_block", up, n)[::-1]
    levels = []
    for i, channels in enumerate(config["block_out_channels"]):
        layers, heads = each["layers_per_block"][i], each["attention_head_dim"][i]
        if not config["norm_num_groups"] or channels % config["norm_num_groups"]:
            raise ValueError(f"norm_num_groups: got {config['norm_num_groups']}, expected a divisor of {channels} channels")
        if channels % heads:
            raise ValueError(f"attention_head_dim: got {heads} heads, expected a divisor of {channels} channels")
        levels.append({
            "channels": channels, "layers": layers, "heads": heads, "context": each["cross_attention_dim"][i],
            "only_cross": each["only_cross_attention"][i],
            "transformers": _each("transformer_layers_per_block", each["transformer_layers_per_block"][i], layers),
            "transformers_up": _each("transformer_layers_per_block", up[i], layers + 1),
        })  # fmt: skip
    _check_classes(config)
    return levels


def check_inputs(config, x, context, labels):
    """Raises ValueError that names what does not fit, before anything is computed."""
    if x.ndim != 4 or x.shape[3] != config["in_channels"]:
        raise ValueError(f"UNet2DConditionModel: x has shape {tuple(x.shape)}, expected (B, H, W, {config['in_channels']})")
    wide = config["encoder_hid_dim"] or config["cross_attention_dim"]
    wide = wide if isinstance(wide, int) else wide[0]
    if context is None or context.ndim != 3 or context.shape[::2] != (x.shape[0], wide):
        got = None if context is None else tuple(context.shape)
        raise ValueError(f"UNet2DConditionModel: the context has shape {got}, expected ({x.shape[0]}, tokens, {wide})")
    takes = config["class_embed_type"] is not None or config["num_class_embeds"]
    if bool(takes) != (labels is not None):
        raise ValueError(f"UNet2DConditionModel: this model {'needs' if takes else 'takes no'} labels (TextCondition.labels)")


def _each(name, value, n):
    """A value for each of n: the one for all of them, or the list that was given."""
    if not isinstance(value, (list, tuple)):
        return (value,) * n
    if len(value) != n:
        raise ValueError(f"{name}: got {len(value)} values, expected {n}")
    return tuple(value)


def _check_classes(config):
    projects = config["class_embed_type"] in ("projection", "simple_projection")
    if projects and not config["projection_class_embeddings_input_dim"]:
        raise ValueError(
            f"projection_class_embeddings_input_dim: got None, expected the width of the labels, for "
            f"class_embed_type={config['class_embed_type']!r}"
        )
    if bool(config["encoder_hid_dim"]) != bool(config["encoder_hid_dim_type"] or config["encoder_hid_dim"]):
        raise ValueError("encoder_hid_dim: got None, expected the width of the text, for encoder_hid_dim_type='text_proj'")
    if config["class_embeddings_concat"] and config["class_embed_type"] is None and not config["num_class_embeds"]:
        raise ValueError("class_embeddings_concat: got True, expected False for a model without classes")
