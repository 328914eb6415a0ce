"""Gradients of the models' options in combination, and of the callers of a model's backward pass.

The right value is the slope of the forward pass by a complex step, exact to rounding. `combined` takes it along a random
direction of all arrays and Params at once, in one forward pass. Every Param also has to receive a gradient that is not
zero, but for those whose gradient is zero in exact arithmetic (`ZERO`). The slow tests repeat every fourth case Param by Param
with `gradcheck.check_layer`. Options are combined so that every pair of values meets in at least one case.
"""

import contextlib
import importlib
import inspect
import itertools
import pydoc

import numpy as np
import pytest

from minidiff import gradcheck, models, nn, ops
from minidiff.diffusion import Denoiser, EDMDenoiser, Schedule, cfg
from minidiff.diffusion.likelihood import ode_log_likelihood
from minidiff.models.denoising_autoencoder import DenoisingAutoencoder
from minidiff.models.unet.text import TextCondition

# softmax does not change when one number is added to all scores of a query, which is what a key's bias does
ZERO = ("to_k.bias", "k_proj.bias")
# the only token of a text has weight 1, whatever its score, so nothing that makes queries or keys matters
QUERIES_AND_KEYS = ("norm2.weight", "norm2.bias", "attn2.to_q.weight", "attn2.to_k.weight")
ONE_TOKEN = tuple(f"transformer_blocks.0.{name}" for name in QUERIES_AND_KEYS)


def pairwise(**options):
    """Dicts of one value an option, so that every pair of values of two options occurs. Greedy, the same in every run."""
    rng, names = np.random.default_rng(0), list(options)
    values = [list(range(len(options[name]))) for name in names]
    left = {(i, a, j, b) for i, j in itertools.combinations(range(len(names)), 2) for a in values[i] for b in values[j]}

    def covered(row):
        return {(i, row[i], j, row[j]) for i, j in itertools.combinations(range(len(names)), 2)} & left

    while left:
        rows = []
        for i, a, j, b in sorted(left)[:8]:
            for _ in range(8):
                row = [int(rng.integers(len(v))) for v in values]
                row[i], row[j] = a, b
                rows.append(row)
        best = max(rows, key=lambda row: len(covered(row)))
        left -= covered(best)
        yield {name: options[name][k] for name, k in zip(names, best, strict=True)}


def stirred(net, rng):
    """The net in float64, with no Param at zero or one: a bias at 0 or a scale at 1 hides a missing factor."""
    net.astype(np.float64)
    for param in net.parameters().values():
        param.value[...] += 0.1 * rng.standard_normal(param.shape)
    return net


def as_list(grads):
    return [] if grads is None else list(grads) if isinstance(grads, tuple) else [grads]


def combined(net, arrays, zero=ZERO):
    """One comparison of backward with the slope along a direction through all float arrays and Params.

    zero: ends of the names of Params whose gradient is zero in exact arithmetic
    """
    rng = np.random.default_rng(7)
    floats = [i for i, a in enumerate(arrays) if a is not None and a.dtype.kind == "f"]
    net.zero_grad()
    y, back = net(*arrays)
    dy = rng.standard_normal(y.shape)
    grads = as_list(back(dy))
    assert [g.shape for g in grads] == [arrays[i].shape for i in floats]
    params = net.parameters()
    starved = [path for path, p in params.items() if not p.grad.any() and not path.endswith(zero)]
    assert not starved, "no gradient reaches these Params"
    assert max((abs(p.grad).max() for path, p in params.items() if path.endswith(zero)), default=0) < 1e-12
    along = {i: unit(rng, arrays[i].shape) for i in floats}
    along_params = {path: unit(rng, p.shape) for path, p in params.items()}
    by_back = sum(float((g * along[i]).sum()) for i, g in zip(floats, grads, strict=True))
    by_back += sum(float((p.grad * along_params[path]).sum()) for path, p in params.items())
    slope = gradcheck.jvp(net, arrays, [along.get(i) for i in range(len(arrays))], along_params)[1]
    by_slope = float((dy * slope).sum())
    return abs(by_back - by_slope) / (abs(by_back) + abs(by_slope) + 1)


def unit(rng, shape):
    r = rng.standard_normal(shape)
    return r / np.linalg.norm(r)


class Told(nn.Layer):
    """A net whose condition comes as bare arrays, so that each is checked."""

    def __init__(self, net, condition):
        self.net, self.condition = net, condition

    def forward(self, x, t, *arrays):
        return self.net(x, t, self.condition(*arrays))


# ---- the cases ------------------------------------------------------------------------------------------------------------

KINDS = {
    "plain": (("DownBlock2D", "AttnDownBlock2D"), ("AttnUpBlock2D", "UpBlock2D")),
    "resnet": (("ResnetDownsampleBlock2D", "DownBlock2D"), ("UpBlock2D", "ResnetUpsampleBlock2D")),
    "attention": (("AttnDownBlock2D", "AttnDownBlock2D"), ("AttnUpBlock2D", "AttnUpBlock2D")),
    "skip": (("SkipDownBlock2D", "AttnSkipDownBlock2D"), ("AttnSkipUpBlock2D", "SkipUpBlock2D")),
    "k": (("KDownBlock2D", "KDownBlock2D"), ("KUpBlock2D", "KUpBlock2D")),
}
UNETS = list(pairwise(
    kinds=list(KINDS), time_embedding_type=["positional", "fourier", "learned"],
    conditional=[None, "table", "timestep", "identity"], resnet_time_scale_shift=["default", "scale_shift"],
    act_fn=["silu", "swish", "mish", "gelu", "relu"], downsample_type=["conv", "resnet"], upsample_type=["conv", "resnet"],
    downsample_padding=[0, 1], add_attention=[True, False], mid_block_type=["UNetMidBlock2D", None],
    center_input_sample=[False, True], attn_norm_num_groups=[None, 2], layers_per_block=[1, 2],
    mid_block_scale_factor=[1.0, 1.4], size=[(4, 4), (5, 3)], flip_sin_to_cos=[True, False], freq_shift=[0, 1],
))  # fmt: skip


def unet(kinds, conditional, size, **options):
    rng = np.random.default_rng(1)
    down, up = KINDS[kinds]
    if kinds == "k":  # its blocks have scale and shift, and no kind of resampling to choose
        options |= {"attn_norm_num_groups": None}
    if conditional == "table":
        options["num_class_embeds"] = 2
    elif conditional:
        options["class_embed_type"] = conditional
    channels = (32, 32) if kinds in ("k", "skip") else (8, 8)
    net = models.UNet(block_out_channels=channels, norm_num_groups=2, attention_head_dim=4, time_embedding_dim=6,
                      num_train_timesteps=8, down_block_types=down, up_block_types=up, rng=rng, **options)  # fmt: skip
    given = {"table": np.array([1, 0]), "timestep": np.array([5, 2]), "identity": rng.standard_normal((2, 6))}
    x, t = rng.standard_normal((2, *size, 3)), np.array([3, 5])
    return stirred(net, rng), [x, t, *([given[conditional]] if conditional else [])]


CONDITIONAL = list(pairwise(
    classes=[None, "table", "timestep", "identity", "projection", "simple_projection"], class_embeddings_concat=[False, True],
    kinds=[("CrossAttnDownBlock2D", "DownBlock2D"), ("DownBlock2D", "CrossAttnDownBlock2D"),
           ("AttnDownBlock2D", "CrossAttnDownBlock2D"), ("ResnetDownsampleBlock2D", "CrossAttnDownBlock2D")],
    mid_block_type=["UNetMidBlock2DCrossAttn", "UNetMidBlock2D", None], only_cross_attention=[False, True],
    act_fn=["silu", "mish", "gelu", "relu"], time_embedding_act_fn=[None, "silu", "gelu"], encoder_hid_dim=[None, 5],
    use_linear_projection=[False, True], resnet_time_scale_shift=["default", "scale_shift"], layers_per_block=[1, (1, 2)],
    resnet_skip_time_act=[False, True], resnet_out_scale_factor=[1.0, 1.4], center_input_sample=[False, True],
    conv_in_kernel=[1, 3], conv_out_kernel=[1, 3], transformer_layers_per_block=[1, (2, 1)], masked=[False, True],
    downsample_padding=[0, 1], size=[(4, 4), (5, 3)], attention_head_dim=[2, (4, 2)], mid_block_scale_factor=[1.0, 1.4],
))  # fmt: skip


def conditional_unet(classes, kinds, masked, size, class_embeddings_concat, encoder_hid_dim, **options):
    rng = np.random.default_rng(2)
    up = tuple(kind.replace("Down", "Up") for kind in reversed(kinds))
    if classes == "table":
        options["num_class_embeds"] = 2
    elif classes:
        options |= {"class_embed_type": classes, "projection_class_embeddings_input_dim": 3}
    net = models.UNet2DConditionModel(
        in_channels=2, out_channels=3, block_out_channels=(4, 8), norm_num_groups=2, cross_attention_dim=4,
        down_block_types=kinds, up_block_types=up, time_embedding_dim=6, encoder_hid_dim=encoder_hid_dim, rng=rng,
        encoder_hid_dim_type="text_proj" if encoder_hid_dim else None,
        class_embeddings_concat=bool(classes) and class_embeddings_concat, **options,
    )  # fmt: skip
    labels = {"table": np.array([1, 0]), "timestep": np.array([5, 2]), "identity": rng.standard_normal((2, 6)),
              "projection": rng.standard_normal((2, 3)), "simple_projection": rng.standard_normal((2, 3))}  # fmt: skip
    mask = np.array([[1, 1, 0], [1, 1, 1]], bool) if masked else None
    context, x = rng.standard_normal((2, 3, encoder_hid_dim or 4)), rng.standard_normal((2, *size, 2))
    told = Told(net, lambda context, labels=None: TextCondition(context, mask, labels))
    return stirred(told, rng), [x, np.array([3, 700]), context, *([labels[classes]] if classes else [])]


SMALL = dict(block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2, attention_head_dim=2, time_embedding_dim=6,
             down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
             up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))  # fmt: skip
IDS = np.array([[1, 5, 3, 2, 0], [1, 7, 7, 8, 2]])


def text_unet(conditioning, patch, masked):
    rng = np.random.default_rng(3)
    net = models.TextUNet(conditioning, context_features=4, pooled_features=3, patch=patch, maps=2, rng=rng, **SMALL)
    mask = np.array([[1, 1, 0], [1, 1, 1]], bool) if masked else None
    told = Told(net, lambda context, labels: TextCondition(context, mask, labels))
    arrays = [
        rng.standard_normal((2, 4 * patch, 4 * patch, 3)),  # 2 x 2 pixels attend to one another in the middle
        np.array([3, 700]),
        rng.standard_normal((2, 3, 4)),
        rng.standard_normal((2, 3)),
    ]
    return stirred(told, rng), arrays


def super_resolution(patch, factor, masked):
    rng = np.random.default_rng(4)
    net = models.SuperResolutionUNet(low_channels=2, context_features=4, patch=patch, rng=rng, **SMALL)
    mask = np.array([[1, 1, 0], [1, 1, 1]], bool) if masked else None
    level = np.array([4, 9])
    told = Told(net, lambda low, context: models.LowResolution(low, level, context, mask))
    small = 8 // factor
    return stirred(told, rng), [rng.standard_normal((2, 8, 8, 3)), np.array([3, 700]),
                                rng.standard_normal((2, small, small, 2)), rng.standard_normal((2, 3, 4))]  # fmt: skip


def prior(masked, layers):
    rng = np.random.default_rng(5)
    net = models.Prior(features=4, context_features=3, pooled_features=5, length=3, width=8, layers=layers, heads=2, rng=rng)
    mask = np.array([[1, 1, 0], [1, 1, 1]], bool) if masked else None
    told = Told(net, lambda context, labels: TextCondition(context, mask, labels))
    return stirred(told, rng), [rng.standard_normal((2, 4)), np.array([3, 70]), rng.standard_normal((2, 3, 3)),
                                rng.standard_normal((2, 5))]  # fmt: skip


def embedding_unet(patch, tokens):
    rng = np.random.default_rng(6)
    net = models.EmbeddingUNet(features=3, tokens=tokens, token_features=4, patch=patch, rng=rng, **SMALL)
    x = rng.standard_normal((2, 4 * patch, 4 * patch, 3))
    return stirred(net, rng), [x, np.array([3, 70]), rng.standard_normal((2, 3))]


def mlp(classes, out_features, depth):
    rng = np.random.default_rng(8)
    net = models.MLP(3, out_features, width=6, depth=depth, num_class_embeds=classes, rng=rng)
    return stirred(net, rng), [rng.standard_normal((2, 3)), np.array([3, 70]), *([np.array([1, 0])] if classes else [])]


def autoencoder_kl(act_fn, attention, quant, noise, layers):
    rng = np.random.default_rng(9)
    net = models.AutoencoderKL(
        2, 3, ("DownEncoderBlock2D", "DownEncoderBlock2D"), ("UpDecoderBlock2D", "UpDecoderBlock2D"), (4, 4), layers, act_fn,
        2, 2, use_quant_conv=quant, use_post_quant_conv=quant, mid_block_add_attention=attention, rng=rng)  # fmt: skip
    drawn = rng.standard_normal((2, 2, 2, 2))

    class Sampled(nn.Layer):
        def __init__(self):
            self.net = net

        def forward(self, x):
            return self.net(x, drawn if noise else None)

    return stirred(Sampled(), rng), [rng.standard_normal((2, 4, 4, 2))]


def classifier(timed, shape):
    rng = np.random.default_rng(10)
    net = models.Classifier((*shape, 2), 3, width=4, features=6, timed=timed, rng=rng)
    return stirred(net, rng), [rng.standard_normal((2, *shape, 2)), *([np.array([3, 70])] if timed else [])]


def clip_text(act, masked, layers):
    rng = np.random.default_rng(11)
    net = models.CLIPTextModel(9, 8, 10, layers, 2, 6, hidden_act=act, rng=rng)
    return stirred(net, rng), [IDS, np.array([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]], bool) if masked else None]


def t5(projection, masked, layers):
    rng = np.random.default_rng(12)
    net = models.T5EncoderModel(9, 8, 3, 10, layers, 2, 4, 6, feed_forward_proj=projection, rng=rng)
    return stirred(net, rng), [IDS, np.array([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]], bool) if masked else None]


def language_model(causal, layers):
    rng = np.random.default_rng(13)
    net = models.MaskedLanguageModel(models.TextEncoder(9, 6, 4, layers, 2, causal, rng=rng), rng=rng)
    return stirred(net, rng), [IDS]


def denoising_autoencoder(width, channels):
    rng = np.random.default_rng(14)
    return stirred(DenoisingAutoencoder(channels, width, 2, rng), rng), [rng.standard_normal((2, 4, 6, channels))]


def image_encoder(stages, norm_num_groups):
    rng = np.random.default_rng(15)
    net = models.ImageEncoder(8, 2, stages, 3, norm_num_groups, rng=rng)
    return stirred(net, rng), [rng.standard_normal((2, 8, 8, 2))]


def product(make, **options):
    return [(make, dict(zip(options, values, strict=True))) for values in itertools.product(*options.values())]


CASES = [
    *((unet, options) for options in UNETS),
    *((conditional_unet, options) for options in CONDITIONAL),
    *product(text_unet, conditioning=["add", "concat", "cross", "both"], patch=[1, 2], masked=[False, True]),
    *product(super_resolution, patch=[1, 2], factor=[2, 4], masked=[False, True]),
    *product(prior, masked=[False, True], layers=[1, 2]),
    *product(embedding_unet, patch=[1, 2], tokens=[1, 3]),
    *product(mlp, classes=[None, 2], out_features=[None, 2], depth=[1, 3]),
    *((autoencoder_kl, options) for options in pairwise(act_fn=["silu", "mish", "gelu", "relu"], attention=[True, False],
                                                        quant=[True, False], noise=[True, False], layers=[1, 2])),
    *product(classifier, timed=[False, True], shape=[(3, 3), (4, 6)]),
    *product(clip_text, act=["quick_gelu", "gelu", "gelu_new", "relu"], masked=[False, True], layers=[1, 2]),
    *product(t5, projection=["relu", "gated-gelu", "gated-silu", "gelu"], masked=[False, True], layers=[1, 2]),
    *product(language_model, causal=[False, True], layers=[1, 2]),
    *product(denoising_autoencoder, width=[4, 6], channels=[1, 2]),
    *product(image_encoder, stages=[(4,), (4, 6)], norm_num_groups=[1, 2]),
]  # fmt: skip
NAMES = [f"{make.__name__}-{i}" for i, (make, _) in enumerate(CASES)]


@pytest.mark.parametrize("make, options", CASES, ids=NAMES)
def test_every_combination_of_options_has_the_slope_of_its_forward(make, options):
    net, arrays = make(**options)
    one_token = options.get("tokens") == 1 or options.get("conditioning") == "add"
    zero = ZERO + ONE_TOKEN if one_token else ZERO
    assert combined(net, arrays, zero) < 1e-12, options


@pytest.mark.slow
@pytest.mark.parametrize("make, options", CASES[::4], ids=NAMES[::4])
def test_every_param_of_every_combination_has_the_slope_of_its_forward(make, options):
    net, arrays = make(**options)
    gradcheck.check_layer(net, *arrays, tolerance=1e-12, method="complex")


# ---- who calls a model's backward pass ------------------------------------------------------------------------------------


class Scaled(nn.Layer):
    """y = x c, whose two gradients have one shape: a caller that takes the tuple for an array broadcasts it."""

    def __init__(self):
        self.weight = nn.Param(np.ones(1))

    def forward(self, x, t, c):
        def back(dy):
            return dy * c, dy * x

        return x * c, back


def conditional_models():
    identity = unet("plain", "identity", (4, 4), act_fn="silu")
    text, (x, _t, context, labels) = text_unet("both", 1, False)
    embedding = embedding_unet(1, 2)
    return {
        "identity class": (identity[0], identity[1][0], identity[1][2]),
        "TextUNet": (text.net, x, TextCondition(context, None, labels)),
        "EmbeddingUNet": (embedding[0], embedding[1][0], embedding[1][2]),
        "equal shapes": (Scaled(), x, x[::-1].copy()),
    }


@pytest.mark.parametrize("name", ["identity class", "TextUNet", "EmbeddingUNet", "equal shapes"])
@pytest.mark.parametrize("predicts", ["eps", "v", "edm", "guided"])
def test_eps_back_of_a_conditional_model_is_the_slope_of_eps(name, predicts):
    model, x, cond = conditional_models()[name]
    if predicts == "edm":
        denoiser, t = EDMDenoiser(model), 0.8
    else:
        denoiser, t = Denoiser(model, Schedule.cosine(100), "v" if predicts == "v" else "eps"), 40
    if predicts == "guided":
        zeros = TextCondition(*(None if c is None else 0 * c for c in cond)) if isinstance(cond, tuple) else 0 * cond
        denoiser = cfg(denoiser, cond, 1.5, null=zeros)
    errors = gradcheck.check(lambda x: denoiser.eps_back(x, t, cond), x)
    assert errors.keys() == {0} and errors[0].method == "complex"


def test_eps_back_of_a_product_is_the_other_factor():
    x = np.random.default_rng(0).standard_normal((2, 3, 3, 1))
    model, c = Scaled(), x[::-1].copy()
    _, back = Denoiser(model, Schedule.cosine(10), "eps").eps_back(x, 4, c)
    assert np.array_equal(back(np.ones_like(x)), c)


def test_eps_back_names_a_backward_pass_of_another_shape():
    class Broken(Scaled):
        def forward(self, x, t, c):
            return x, lambda dy: dy.sum()

    _, back = Denoiser(Broken(), Schedule.cosine(10), "eps").eps_back(np.ones((2, 3)), 4)
    with pytest.raises(ValueError, match=r"model: its backward pass gave \(\) for x, expected an array of shape \(2, 3\)"):
        back(np.ones((2, 3)))


@pytest.mark.parametrize("kind", ["identity class", "TextUNet"])
def test_log_likelihood_of_a_conditional_model_is_that_of_the_same_model_with_its_condition_inside(kind):
    """The right value is what an unconditional model of the same function gives: the path that always worked."""
    model, x, cond = conditional_models()[kind]

    class Inside(nn.Layer):
        def __init__(self):
            self.model = model

        def forward(self, x, t, _):
            y, back = self.model(x, t, cond)
            return y, lambda dy: back(dy)[0]

    schedule, x = Schedule.cosine(10), 0.1 * x
    options = {"steps": 1, "divergence": "hutchinson", "rng": 0}
    got = ode_log_likelihood(Denoiser(model, schedule), x, cond, **options)
    right = ode_log_likelihood(Denoiser(Inside(), schedule), x, **options)
    assert np.array_equal(got.log_p, right.log_p)


# ---- ops by keyword -------------------------------------------------------------------------------------------------------

DISPATCHED = [name for name in ops.__all__ if hasattr(getattr(ops, name), "reference")]


def test_linear_by_keyword_is_the_product_worked_out_by_hand():
    x, w, b = np.array([[1.0, 2.0]]), np.array([[3.0, 5.0], [7.0, 11.0]]), np.array([0.5, -1.0])
    for call in ({"x": x, "w": w}, {"w": w, "x": x, "b": None}):
        assert ops.linear(**call)[0].tolist() == [[17.0, 27.0]]
    assert ops.linear(x, b=b, w=w)[0].tolist() == [[17.5, 26.0]]


def test_every_dispatched_op_takes_its_arguments_by_name_on_its_fast_and_its_plain_path():
    rng = np.random.default_rng(0)

    def f(*shape):
        return rng.standard_normal(shape, dtype=np.float32)

    image, filters, tokens, c = f(4, 16, 16, 8), f(3, 3, 8, 8), f(4, 64, 8), f(8)
    calls = {
        "attention": {"q": tokens, "k": tokens, "v": tokens},
        "avg_pool": {"x": image}, "conv2d": {"x": image, "w": filters, "padding": 1}, "gelu": {"x": image},
        "embedding": {"table": f(9, 8), "index": np.arange(9)}, "group_norm": {"x": image, "gamma": c, "beta": c, "groups": 2},
        "group_norm_silu": {"x": image, "gamma": c, "beta": c, "groups": 2}, "linear": {"x": image, "w": f(8, 8), "b": c},
        "silu": {"x": image}, "upsample_nearest": {"x": image}, "gelu_tanh": {"x": image},
        "modulate": {"x": tokens, "shift": f(4, 8), "scale": f(4, 8)},
    }  # fmt: skip
    assert set(DISPATCHED) <= set(calls)
    for name in DISPATCHED:
        op, arguments = getattr(ops, name), calls[name]
        first = next(iter(arguments))
        rest = {key: value for key, value in arguments.items() if key != first}
        for room in ("fast", "plain"):
            with ops.plain() if room == "plain" else contextlib.nullcontext():
                right, got = op(arguments[first], **rest)[0], op(**dict(reversed(arguments.items())))[0]
            for a, b in zip(as_list(right) or [right], as_list(got) or [got], strict=True):
                assert np.array_equal(a, b), (name, room)


@pytest.mark.parametrize("name", DISPATCHED)
def test_signature_and_help_are_the_reference_s_and_the_fast_versions_have_it_too(name):
    op = getattr(ops, name)
    signature = inspect.signature(op.reference)
    assert inspect.signature(op) == signature
    assert str(signature) in pydoc.render_doc(op, renderer=pydoc.plaintext)
    for room in ("minidiff.cpu", "minidiff.gpu"):
        fast = getattr(importlib.import_module(room), name, None)
        assert fast is None or inspect.signature(fast) == signature, room


@pytest.mark.parametrize("name", DISPATCHED)
def test_a_missing_argument_is_reported_under_the_reference_s_name(name):
    first = next(iter(inspect.signature(getattr(ops, name)).parameters))
    with pytest.raises(TypeError, match=rf"{name}\(\) missing \d+ required positional arguments?: '{first}'"):
        getattr(ops, name)()
