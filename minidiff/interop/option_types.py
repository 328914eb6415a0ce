"""The type and range of every option of a foreign configuration: a wrong value fails by name and allocates nothing."""

from ..json_file import is_number, shown

LAYERS, SIDE, LARGE = 512, 1 << 17, 1 << 20
_LAYERS = ("layers_per_block", "transformer_layers_per_block", "reverse_transformer_layers_per_block", "num_hidden_layers",
           "num_layers")  # fmt: skip
_WIDE = ("vocab_size", "num_class_embeds", "num_train_timesteps", "num_vq_embeddings", "sample_size")
_INDEX = (
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "downsample_padding",
    "null_class",
    "steps_offset",
    "num_embeds_ada_norm",
)  # 0 is one
_NUMBERS = ("freq_shift", "norm_eps", "mid_block_scale_factor", "dropout", "resnet_out_scale_factor", "scaling_factor",
            "shift_factor", "layer_norm_eps", "attention_dropout", "dropout_rate", "layer_norm_epsilon", "beta_start",
            "beta_end", "clip_sample_range", "dynamic_thresholding_ratio", "sample_max_value", "sigma_min", "sigma_max",
            "flow_shift", "shift_terminal", "shift", "base_shift", "max_shift", "interpolation_scale")  # fmt: skip
_NUMBER_LISTS = ("latents_mean", "latents_std", "trained_betas", "fourier_weights")
_TEXT = ("time_embedding_act_fn", "timestep_post_act", "class_embed_type", "addition_embed_type", "encoder_hid_dim_type",
         "mid_block_type", "variance_type", "cross_attention_norm")  # fmt: skip
_FREE = ("lambda_min_clipped", "disable_corrector", "solver_p")  # one value only is supported, compared as it is
_ONE_LIST = ("block_out_channels", "down_block_types", "up_block_types")
_OR_LISTS = ("layers_per_block", "attention_head_dim", "num_attention_heads", "cross_attention_dim", "only_cross_attention",
             "transformer_layers_per_block", "reverse_transformer_layers_per_block", "sample_size")  # fmt: skip
_OR_NONE = ("attention_head_dim", "norm_num_groups", "mid_block_type", "pad_token_id", "bos_token_id", "eos_token_id",
            "variance_type")  # fmt: skip
_LEAST = {"norm_eps": 0.0, "layer_norm_eps": 0.0, "layer_norm_epsilon": 0.0, "beta_start": 0.0, "beta_end": 0.0,
          "dropout": 0.0, "attention_dropout": 0.0, "dropout_rate": 0.0, "dynamic_thresholding_ratio": 0.0}  # fmt: skip
_MOST = {name: 1.0 for name in _LEAST if "eps" not in name}
_ABOVE_ZERO = (
    "clip_sample_range",
    "sample_max_value",
    "flow_shift",
    "shift",
    "mid_block_scale_factor",
    "resnet_out_scale_factor",
    "interpolation_scale",
)


def check_types(given, defaults, where):
    """Raises ValueError that names `where` and the option unless every value has its option's type and range.

    given, defaults   {option: value}; the default tells the type of options that this module does not list
    """
    for name, value in given.items():
        if name in _FREE or name not in defaults or (value is None and (defaults[name] is None or name in _OR_NONE)):
            continue
        expected = _expected(name, value, defaults[name])
        if expected:
            raise ValueError(f"{where}: {name}: got {shown(value)}, expected {expected}")


def _expected(name, value, default):
    """What is wrong, as what was expected instead; None where nothing is."""
    if name in _NUMBER_LISTS:
        most = LARGE
        good = isinstance(value, list) and 0 < len(value) <= most and all(map(is_number, value))
        return None if good else f"a list of 1 to {most:,} finite numbers"
    if name in _ONE_LIST and not (isinstance(value, list) and value):
        return "a list that is not empty"
    if isinstance(value, list):
        if name not in _ONE_LIST + _OR_LISTS:
            return _one(name, None, default)
        if not 0 < len(value) <= 64:
            return "a list of 1 to 64 values"
        default = default[0] if isinstance(default, tuple) else default
        check = _one if name in _ONE_LIST else _expected
        wrong = [check(name, each, default) for each in value]
        return next((f"in a list, {each}" for each in wrong if each), None)
    return _one(name, value, default)


def _one(name, value, default):
    if name in _NUMBERS:
        least, most = _LEAST.get(name), _MOST.get(name)
        good = is_number(value) and (least is None or value >= least) and (most is None or value <= most)
        good = good and (name not in _ABOVE_ZERO or value > 0) and not (name == "scaling_factor" and value == 0)
        span = f" from {least:g} to {most:g}" if most is not None else ""
        return None if good else "a finite number" + (span or (" above 0" if name in _ABOVE_ZERO else ""))
    if isinstance(default, bool) or name in ("mid_block_only_cross_attention", "force_upcast", "use_additional_conditions"):
        return None if isinstance(value, bool) else "true or false"
    if isinstance(default, str) or name in _TEXT:
        return None if isinstance(value, str) else "a string"
    least = 0 if name in _INDEX else 1
    most = LAYERS if name in _LAYERS else LARGE if name in _WIDE + _INDEX else SIDE
    good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
    return None if good else f"a whole number from {least} to {most:,}"
