"""The model classes that can be opened and saved, with the minidiff class and every config.json option of each.

A missing option takes the other library's default. An option that the minidiff class does not have must be at the value that
changes nothing; any other value raises an error that names it. No option is ignored silently.
"""

import inspect
from dataclasses import dataclass, field

import numpy as np

from ..json_file import read_field, shown
from ..models import AutoencoderKL, CLIPTextModel, DiT, PixArt, T5EncoderModel, UNet, UNet2DConditionModel, VQModel
from ..names import did_you_mean
from .option_types import check_types


@dataclass(frozen=True)
class Kind:
    """One class of the other library.

    name      its name in config.json: "_class_name" in diffusers, "architectures" in transformers
    model     the minidiff class, whose constructor has the same option names
    weights   stem of the weight file
    defaults  {option: default there} for all options that library knows
    silent    options that change no number of a forward or backward pass
    ignore    tensors in files that are no parameters
    prefix    of tensor names, present in some files
    buffers   {tensor name: option}: constants stored as tensors there and in `config` here
    aliases   {parameter: other names for it in files}
    """

    name: str
    model: type
    weights: str
    defaults: dict
    silent: tuple = ()
    ignore: tuple = ()
    prefix: str = ""
    buffers: dict = field(default_factory=dict)
    aliases: dict = field(default_factory=dict)

    def arguments(self, config, where="config.json"):
        """What our constructor is given for this configuration. Raises ValueError that names what is not supported."""
        given = {k: v for k, v in config.items() if not k.startswith("_") and k not in self.silent}
        for name in given:
            if name not in self.defaults:
                hint = did_you_mean(name, self.defaults, 1)
                raise ValueError(f"{where}: option {name!r} (= {shown(given[name])}) of {self.name} is not known here{hint}")
        check_types(given, self.defaults, where)
        for name in ("down_block_types", "up_block_types"):  # in old configurations: UNetResDownBlock2D, ...
            if name in given:
                given[name] = [str(block).removeprefix("UNetRes") for block in given[name]]
        takes, full = set(inspect.signature(self.model).parameters), self.defaults | given
        for name, value in full.items():
            if name not in takes and value != self.defaults[name]:
                raise ValueError(
                    f"{where}: option {name!r} is {value!r}; of {self.name}, only {self.defaults[name]!r} is supported here"
                )
        options = {name: _tuples(value) for name, value in full.items() if name in takes}
        return options | {name: _tuples(value) for name, value in self._own(config, where).items()}

    def _own(self, config, where):
        """The options of "_minidiff", which only our class has."""
        own = read_field(config, "_minidiff", dict, where, {})
        known = set(inspect.signature(self.model).parameters) - set(self.defaults) - {"rng"}
        for name in own:
            if name not in known:
                raise ValueError(f"{where}: _minidiff: got {shown(name)}, expected of {sorted(known) or 'nothing'}")
        check_types(own, dict.fromkeys(known), f"{where}: _minidiff")
        return own

    def configuration(self, model):
        """The config.json of a minidiff model: every option, and minidiff's extra settings under "_minidiff"."""
        own = {k: v for k, v in model.config.items() if k not in self.defaults and k not in self.buffers.values()}
        config = self.defaults | {k: v for k, v in model.config.items() if k in self.defaults}
        own = {name: value for name, value in own.items() if value is not None}
        return self.header() | config | ({"_minidiff": own} if own else {})

    def header(self):
        if self.weights == "model":  # transformers
            kinds = {"CLIPTextModel": "clip_text_model", "T5EncoderModel": "t5"}
            return {"architectures": [self.name], "model_type": kinds[self.name]}
        return {"_class_name": self.name, "_diffusers_version": "0.30.0"}


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


_UNET = dict(
    sample_size=None, in_channels=3, out_channels=3, center_input_sample=False, time_embedding_type="positional",
    time_embedding_dim=None, freq_shift=0, flip_sin_to_cos=True,
    down_block_types=("DownBlock2D",) + ("AttnDownBlock2D",) * 3, mid_block_type="UNetMidBlock2D",
    up_block_types=("AttnUpBlock2D",) * 3 + ("UpBlock2D",), block_out_channels=(224, 448, 672, 896), layers_per_block=2,
    mid_block_scale_factor=1, downsample_padding=1, downsample_type="conv", upsample_type="conv", dropout=0.0, act_fn="silu",
    attention_head_dim=8, norm_num_groups=32, attn_norm_num_groups=None, norm_eps=1e-5, resnet_time_scale_shift="default",
    add_attention=True, class_embed_type=None, num_class_embeds=None, num_train_timesteps=None,
)  # fmt: skip
_UNET_CONDITION = dict(
    sample_size=None, in_channels=4, out_channels=4, center_input_sample=False, flip_sin_to_cos=True, freq_shift=0,
    down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",), mid_block_type="UNetMidBlock2DCrossAttn",
    up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3, only_cross_attention=False,
    block_out_channels=(320, 640, 1280, 1280), layers_per_block=2, downsample_padding=1, mid_block_scale_factor=1, dropout=0.0,
    act_fn="silu", norm_num_groups=32, norm_eps=1e-5, cross_attention_dim=1280, transformer_layers_per_block=1,
    reverse_transformer_layers_per_block=None, encoder_hid_dim=None, encoder_hid_dim_type=None, attention_head_dim=8,
    num_attention_heads=None, dual_cross_attention=False, use_linear_projection=False, class_embed_type=None,
    addition_embed_type=None, addition_time_embed_dim=None, num_class_embeds=None, upcast_attention=False,
    resnet_time_scale_shift="default", resnet_skip_time_act=False, resnet_out_scale_factor=1.0,
    time_embedding_type="positional", time_embedding_dim=None, time_embedding_act_fn=None, timestep_post_act=None,
    time_cond_proj_dim=None, conv_in_kernel=3, conv_out_kernel=3, projection_class_embeddings_input_dim=None,
    attention_type="default", class_embeddings_concat=False, mid_block_only_cross_attention=None, cross_attention_norm=None,
)  # fmt: skip
_DIT = dict(
    num_attention_heads=16, attention_head_dim=72, in_channels=4, out_channels=None, num_layers=28, dropout=0.0,
    norm_num_groups=32, attention_bias=True, sample_size=32, patch_size=2, activation_fn="gelu-approximate",
    num_embeds_ada_norm=1000, upcast_attention=False, norm_type="ada_norm_zero", norm_elementwise_affine=False, norm_eps=1e-5,
)  # fmt: skip
_PIXART = _DIT | dict(
    out_channels=8, cross_attention_dim=1152, sample_size=128, norm_type="ada_norm_single", norm_eps=1e-6,
    interpolation_scale=None, use_additional_conditions=None, caption_channels=None, attention_type="default",
)  # fmt: skip
# Options of Transformer2DModel, the former class of diffusion transformers in that library.
_ONCE = dict(
    attention_head_dim=88, num_layers=1, activation_fn="geglu", attention_bias=False, cross_attention_dim=None,
    num_vector_embeds=None, use_linear_projection=False, only_cross_attention=False, double_self_attention=False,
    attention_type="default", caption_channels=None, interpolation_scale=None, use_additional_conditions=None,
)  # fmt: skip
_CODER = dict(
    in_channels=3, out_channels=3, down_block_types=("DownEncoderBlock2D",), up_block_types=("UpDecoderBlock2D",),
    block_out_channels=(64,), layers_per_block=1, act_fn="silu", norm_num_groups=32, sample_size=32, scaling_factor=0.18215,
    mid_block_add_attention=True,
)  # fmt: skip
_KL = dict(latent_channels=4, shift_factor=None, latents_mean=None, latents_std=None, use_quant_conv=True,
           use_post_quant_conv=True)  # fmt: skip
_VQ = dict(latent_channels=3, num_vq_embeddings=256, vq_embed_dim=None, norm_type="group", lookup_from_codebook=False)
_CLIP = dict(
    vocab_size=49408, hidden_size=512, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=8,
    max_position_embeddings=77, hidden_act="quick_gelu", layer_norm_eps=1e-5, attention_dropout=0.0, pad_token_id=1,
    bos_token_id=49406, eos_token_id=49407,
)  # fmt: skip
_T5 = dict(
    vocab_size=32128, d_model=512, d_kv=64, d_ff=2048, num_layers=6, num_heads=8, relative_attention_num_buckets=32,
    relative_attention_max_distance=128, dropout_rate=0.1, layer_norm_epsilon=1e-6, feed_forward_proj="relu",
    pad_token_id=0, eos_token_id=1,
)  # fmt: skip
# What transformers writes into every config.json: how weights were drawn, what a decoder would do, how answers are packed.
_TRANSFORMERS = (
    "architectures", "model_type", "transformers_version", "torch_dtype", "dtype", "initializer_factor", "initializer_range",
    "projection_dim", "dropout", "output_hidden_states", "output_attentions", "return_dict", "chunk_size_feed_forward",
    "is_encoder_decoder", "is_decoder", "id2label", "label2id", "problem_type", "num_decoder_layers", "use_cache",
    "classifier_dropout", "dense_act_fn", "is_gated_act", "scale_decoder_outputs", "tie_word_embeddings", "n_positions",
    "output_past", "task_specific_params", "decoder_start_token_id", "gradient_checkpointing", "use_attention_mask",
)  # fmt: skip
# What diffusers' EMAModel writes into the config.json of the averaged weights beside a model's own options.
_EMA = ("decay", "inv_gamma", "min_decay", "optimization_step", "power", "update_after_step", "use_ema_warmup")
_CLIP_LAYERS = ("embeddings.position_ids",)

KINDS = {kind.name: kind for kind in (
    Kind("UNet2DModel", UNet, "diffusion_pytorch_model", _UNET, _EMA, buffers={"time_proj.weight": "fourier_weights"}),
    Kind("UNet2DConditionModel", UNet2DConditionModel, "diffusion_pytorch_model", _UNET_CONDITION,
         silent=("addition_embed_type_num_heads", *_EMA)),
    Kind("DiTTransformer2DModel", DiT, "diffusion_pytorch_model", _DIT, silent=("norm_num_groups", *_EMA)),
    Kind("Transformer2DModel", DiT, "diffusion_pytorch_model", _DIT | _ONCE, silent=("norm_num_groups", *_EMA)),
    Kind("PixArtTransformer2DModel", PixArt, "diffusion_pytorch_model", _PIXART,
         silent=("norm_num_groups", "num_embeds_ada_norm", "upcast_attention", *_EMA)),
    Kind("AutoencoderKL", AutoencoderKL, "diffusion_pytorch_model", _CODER | _KL, silent=("force_upcast", *_EMA)),
    Kind("VQModel", VQModel, "diffusion_pytorch_model", _CODER | _VQ, silent=("force_upcast", *_EMA)),
    Kind("CLIPTextModel", CLIPTextModel, "model", _CLIP, _TRANSFORMERS, ignore=_CLIP_LAYERS, prefix="text_model."),
    Kind("T5EncoderModel", T5EncoderModel, "model", _T5, _TRANSFORMERS,
         ignore=("encoder.embed_tokens.weight",), aliases={"shared.weight": ("encoder.embed_tokens.weight",)}),
)}  # fmt: skip

PIXART_ONCE = Kind("Transformer2DModel", PixArt, "diffusion_pytorch_model",
                   _PIXART | _ONCE | dict(out_channels=None, norm_eps=1e-5),
                   silent=KINDS["PixArtTransformer2DModel"].silent)  # fmt: skip


def kind_of_config(config, where="config.json"):
    """The Kind that a configuration names. Raises ValueError for one that cannot be opened."""
    architectures = read_field(config, "architectures", list, where, [])
    name = config.get("_class_name") or (architectures[0] if architectures else None)
    if name is not None and not isinstance(name, str):
        raise ValueError(f"{where}: the class: got {shown(name)}, expected a string")
    if name is None and config.get("model_type") == "clip_text_model":
        name = "CLIPTextModel"
    if name not in KINDS:
        hint = did_you_mean(name, KINDS, 1)
        raise ValueError(f"{where}: class {name!r} is not supported, expected one of {', '.join(KINDS)}{hint}")
    if name == "Transformer2DModel" and config.get("norm_type") == "ada_norm_single":
        return PIXART_ONCE
    if name == "Transformer2DModel" and config.get("norm_type") != "ada_norm_zero":
        raise ValueError(f"{where}: class {name!r} with norm_type {shown(config.get('norm_type'))} is not supported, expected "
                         "norm_type 'ada_norm_zero' or 'ada_norm_single', a diffusion transformer")  # fmt: skip
    return KINDS[name]


def kind_of_model(model):
    """The Kind of a minidiff model. Raises TypeError for one that no other library has."""
    for kind in KINDS.values():
        if type(model) in (kind.model, *getattr(kind.model, "families", ())):
            return kind
    raise TypeError(f"model: got {type(model).__name__}, which no other library has; expected one of {', '.join(KINDS)}")


def buffer_tensors(kind, model):
    """{tensor name: array}: the fixed numbers of a model that a file holds beside its parameters."""
    found = {name: model.config.get(option) for name, option in kind.buffers.items()}
    return {name: np.array(value, dtype=np.float32) for name, value in found.items() if value is not None}
