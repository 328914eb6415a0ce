"""PixArt against diffusers' PixArtTransformer2DModel: forward, every gradient, masks, positions, and folders both ways."""

import json
import random

import numpy as np
import pytest

from minidiff.interop import load_model, save_model
from minidiff.models import PixArt, TextCondition


def configuration(seed):
    r = random.Random(seed)
    patch, heads, head_dim = r.choice([1, 2, 4]), r.choice([1, 2, 3]), r.choice([4, 8])
    projects = r.random() < 0.5
    return dict(
        num_attention_heads=heads, attention_head_dim=head_dim, in_channels=r.choice([1, 3]),
        out_channels=r.choice([None, 2, 6]), num_layers=r.choice([1, 2, 3]), attention_bias=r.random() < 0.7,
        sample_size=patch * r.choice([2, 3]), patch_size=patch, activation_fn=r.choice(["gelu-approximate", "gelu", "geglu"]),
        norm_eps=r.choice([1e-6, 1e-3]), interpolation_scale=r.choice([None, 2]),
        caption_channels=5 if projects else None, cross_attention_dim=heads * head_dim if projects else 6,
    )  # fmt: skip


@pytest.fixture
def pair(torch, diffusers, stir, same_weights):
    """pair(seed, **options): their model and ours with its weights, moved off their initial values."""

    def run(seed, **options):
        torch.manual_seed(seed)
        config = configuration(seed) | options
        theirs = stir(diffusers.PixArtTransformer2DModel(**config), seed)
        return theirs, same_weights(PixArt(**config, rng=0), theirs)

    return run


def inputs(torch, config, height, width):
    """x, t, text and mask, in their layout: 3 images, 4 tokens."""
    x = torch.randn(3, config["in_channels"], height, width)
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]])
    text = torch.randn(3, 4, config["caption_channels"] or config["cross_attention_dim"])
    return x, torch.tensor([3, 47, 999]), text, mask


def last(x):
    """Channels last."""
    return np.ascontiguousarray(x.detach().numpy().transpose(0, 2, 3, 1))


@pytest.mark.parametrize("seed", range(20))
def test_random_configuration(seed, torch, pair, close, same_gradients, channels_first):
    theirs, ours = pair(seed)
    config, masked = ours.config, seed % 2
    x, t, text, mask = inputs(torch, config, config["sample_size"], config["sample_size"])
    mask = mask if masked else None
    given = dict(timestep=t, encoder_attention_mask=mask)
    with torch.no_grad():
        expected = theirs(x, text, **given).sample.numpy()
    cond = TextCondition(text.numpy(), mask.numpy().astype(bool)) if masked else text.numpy()
    close(channels_first(ours.predict(last(x), t.numpy(), cond)), expected, 2e-5, what="y in float32")

    theirs, ours = theirs.double(), ours.astype(np.float64)
    x, text = x.double().requires_grad_(True), text.double().requires_grad_(True)
    expected = theirs(x, text, **given).sample
    dy = torch.randn(expected.shape, dtype=torch.float64)
    expected.backward(dy)
    context = text.detach().numpy()
    cond = (context, mask.numpy().astype(bool)) if masked else context
    _, back = ours(last(x), t.numpy(), cond)
    dx, dcontext = back(last(dy))
    close(channels_first(dx), x.grad.numpy(), 1e-4, what="dx")
    close(dcontext, text.grad.numpy(), 1e-4, what="dcontext")
    same_gradients(ours, theirs, 1e-4)


def test_an_image_of_another_size_is_placed_on_the_same_square(torch, pair, close, channels_first):
    theirs, ours = pair(0, sample_size=4, patch_size=2, interpolation_scale=2)
    x, t, text, _ = inputs(torch, ours.config, 6, 10)
    with torch.no_grad():
        expected = theirs(x, text, timestep=t).sample.numpy()
    close(channels_first(ours.predict(last(x), t.numpy(), text.numpy())), expected, 2e-5)


def test_folder_from_diffusers_and_back(tmp_path, diffusers, stir):
    theirs = stir(diffusers.PixArtTransformer2DModel(**configuration(1)), 1)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load_model(tmp_path / "theirs")
    assert type(ours) is PixArt
    save_model(ours, tmp_path / "ours")
    again = diffusers.PixArtTransformer2DModel.from_pretrained(tmp_path / "ours").eval()
    assert {n: p.tolist() for n, p in again.named_parameters()} == {n: p.tolist() for n, p in theirs.named_parameters()}
    assert {k: v for k, v in dict(again.config).items() if not k.startswith("_") and k != "use_additional_conditions"} == {
        k: v for k, v in dict(theirs.config).items() if not k.startswith("_") and k != "use_additional_conditions"
    }


def test_a_folder_of_the_former_class_opens(tmp_path, torch, diffusers, stir, close, channels_first):
    """The checkpoints on the hub name Transformer2DModel with norm_type "ada_norm_single"."""
    options = dict(num_attention_heads=2, attention_head_dim=4, in_channels=3, out_channels=6, num_layers=2, sample_size=4,
                   patch_size=2, cross_attention_dim=8, caption_channels=5, attention_bias=True, norm_eps=1e-6,
                   activation_fn="gelu-approximate", num_embeds_ada_norm=1000, norm_type="ada_norm_single",
                   norm_elementwise_affine=False)  # fmt: skip
    theirs = stir(diffusers.Transformer2DModel(**options), 1)
    theirs.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["_class_name"] == "Transformer2DModel"
    ours = load_model(tmp_path)
    x, t, text, mask = inputs(torch, ours.config, 4, 4)
    more = dict(encoder_attention_mask=mask, added_cond_kwargs={"resolution": None, "aspect_ratio": None}, return_dict=False)
    with torch.no_grad():
        expected = theirs(x, text, t, **more)[0].numpy()
    cond = (text.numpy(), mask.numpy().astype(bool))
    close(channels_first(ours.predict(last(x), t.numpy(), cond)), expected, 2e-5)


@pytest.mark.parametrize("extra", [{"use_additional_conditions": True}, {"sample_size": 128}, {"norm_type": "ada_norm_zero"},
                                   {"cross_attention_dim": None}])  # fmt: skip
def test_a_folder_that_cannot_be_opened_names_the_option(tmp_path, extra):
    save_model(PixArt(2, 4, 3, num_layers=1, cross_attention_dim=6, sample_size=4, rng=0), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config = config | {"use_additional_conditions": None} | extra
    (tmp_path / "config.json").write_text(json.dumps(config))
    name = "use_additional_conditions" if "sample_size" in extra else next(iter(extra))
    with pytest.raises(ValueError, match=rf"config\.json: .*{name}"):
        load_model(tmp_path)


def model(**options):
    return PixArt(2, 4, in_channels=1, out_channels=None, num_layers=2, cross_attention_dim=3, sample_size=4, rng=0, **options)


def test_a_new_model_outputs_zero_and_its_first_step_reaches_the_last_layer():
    x = np.random.default_rng(0).standard_normal((2, 4, 6, 1), dtype=np.float32)
    net = model()
    y, back = net(x, 5, np.ones((2, 3, 3), np.float32))
    assert y.shape == x.shape and not y.any()
    back(np.ones_like(y))
    assert {name for name, p in net.parameters().items() if p.grad.any()} == {"proj_out.weight", "proj_out.bias"}


def test_a_new_block_passes_over_the_text():
    net, rng = model(), np.random.default_rng(0)
    net.proj_out.weight.value[...] = rng.standard_normal(net.proj_out.weight.shape)
    x = rng.standard_normal((1, 4, 4, 1), dtype=np.float32)
    a, b = (net.predict(x, 5, rng.standard_normal((1, 3, 3), dtype=np.float32)) for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_the_empty_text_is_the_null_condition():
    net, context = model(), np.ones((2, 3, 3), np.float32)
    assert net.null_cond(context) is None
    net.null_context = np.full((1, 3, 3), 2, np.float32)
    null = net.null_cond(TextCondition(context, np.zeros((2, 3), bool)))
    assert (null.context == 2).all() and null.context.shape == context.shape and null.mask.all() and null.labels is None
    assert (net.null_cond(context) == 2).all()


@pytest.mark.parametrize("change, words", [
    (dict(x=np.zeros((2, 5, 4, 1), np.float32)), r"PixArt: x has shape \(2, 5, 4, 1\), expected \(B, H, W, 1\), H and W mult"),
    (dict(cond=None), r"the context has shape None, expected \(2, tokens, 3\)"),
    (dict(cond=np.zeros((1, 3, 3), np.float32)), r"the context has shape \(1, 3, 3\), expected \(2, tokens, 3\)"),
    (dict(cond=np.zeros((2, 3, 4), np.float32)), r"the context has shape \(2, 3, 4\), expected \(2, tokens, 3\)"),
    (dict(cond=np.zeros(2, int)), r"the context has shape \(2,\), expected \(2, tokens, 3\)"),
    (dict(cond=(np.zeros((2, 3, 3), np.float32), np.ones((2, 4), bool))), r"the mask has shape \(2, 4\), expected \(2, 3\)"),
    (dict(cond=(np.zeros((2, 3, 3), np.float32), None, np.zeros(2, int))), "this model takes no labels"),
    (dict(t=np.zeros(3)), r"t has shape \(3,\), expected a number or \(2,\)"),
])  # fmt: skip
def test_inputs_that_do_not_fit_are_refused(change, words):
    given = dict(x=np.zeros((2, 4, 4, 1), np.float32), t=5, cond=np.zeros((2, 3, 3), np.float32)) | change
    with pytest.raises(ValueError, match=words):
        model()(given["x"], given["t"], given["cond"])


@pytest.mark.parametrize("options, words", [
    (dict(num_layers=0), "PixArt: num_layers is 0, expected at least 1"),
    (dict(attention_head_dim=3), r"PixArt: num_attention_heads \* attention_head_dim is 6, expected a multiple of 4"),
    (dict(cross_attention_dim=None), "cross_attention_dim is None, expected the features of the text; without text use DiT"),
    (dict(cross_attention_dim=6, caption_channels=5), "cross_attention_dim is 6, expected 8 with caption_channels"),
    (dict(sample_size=1), "sample_size is 1, expected a whole number, at least patch_size, 2"),
    (dict(sample_size=(4, 4)), r"sample_size is \(4, 4\), expected a whole number"),
    (dict(use_additional_conditions=True), "use_additional_conditions is True with sample_size 4, expected False"),
    (dict(use_additional_conditions=None, sample_size=128), "use_additional_conditions is None with sample_size 128"),
])  # fmt: skip
def test_options_that_do_not_fit_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        PixArt(
            **dict(num_attention_heads=2, attention_head_dim=4, num_layers=1, cross_attention_dim=3, sample_size=4) | options
        )
