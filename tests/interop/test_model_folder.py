"""Models as folders: what others wrote we open, what we write they open, and what does not fit is said by name."""

import json

import numpy as np
import pytest

from minidiff import models
from minidiff.interop import tensor_file
from minidiff.interop.frugal import drop_pages
from minidiff.interop.layout import to_torch
from minidiff.interop.model_folder import load_model, read_weights, save_model

X = np.random.default_rng(0).standard_normal((2, 8, 8, 3), dtype=np.float32)
IDS = np.array([[1, 5, 7, 2]])
CONTEXT = np.random.default_rng(1).standard_normal((2, 5, 6), dtype=np.float32)
UNET = dict(block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, attention_head_dim=4)
TEXT_UNET = dict(
    block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, attention_head_dim=2, cross_attention_dim=6,
    in_channels=3, out_channels=3, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
)  # fmt: skip
CODER = dict(block_out_channels=(8,), norm_num_groups=4)
CLIP = dict(vocab_size=30, hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, eos_token_id=2)
T5 = dict(vocab_size=30, d_model=8, d_kv=4, d_ff=16, num_layers=2, num_heads=2)
FOURIER = dict(block_out_channels=(32,), down_block_types=("SkipDownBlock2D",), up_block_types=("SkipUpBlock2D",),
               time_embedding_type="fourier", layers_per_block=1)  # fmt: skip
MODELS = {
    "unet": lambda rng: models.UNet(**UNET, rng=rng),
    "with classes": lambda rng: models.UNet(**UNET, num_class_embeds=4, null_class=3, rng=rng),
    "fourier": lambda rng: models.UNet(**FOURIER, rng=rng),
    "text unet": lambda rng: models.UNet2DConditionModel(**TEXT_UNET, rng=rng),
    "autoencoder": lambda rng: models.AutoencoderKL(**CODER, rng=rng),
    "codebook": lambda rng: models.VQModel(**CODER, rng=rng),
    "clip": lambda rng: models.CLIPTextModel(**CLIP, rng=rng),
    "t5": lambda rng: models.T5EncoderModel(**T5, rng=rng),
}


def run(name, model):
    if name in ("clip", "t5"):
        return model.predict(IDS)
    if name in ("autoencoder", "codebook"):
        return model.predict(X)
    return model.predict(X, 7, {"with classes": np.array([0, 3]), "text unet": CONTEXT}.get(name))


@pytest.mark.parametrize("name", MODELS)
def test_there_and_back_to_the_bit(name, tmp_path):
    model = MODELS[name](0)
    save_model(model, tmp_path / "a")
    again = load_model(tmp_path / "a")
    assert type(again) is type(model) and again.config == model.config
    for path, array in model.state().items():
        np.testing.assert_array_equal(again.state()[path], array)
        assert again.state()[path].flags.c_contiguous
    np.testing.assert_array_equal(run(name, again), run(name, model))
    save_model(again, tmp_path / "b")
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


@pytest.mark.parametrize("name", MODELS)
def test_frugal_is_the_same_model(name, tmp_path):
    model = MODELS[name](0)
    save_model(model, tmp_path)
    frugal = load_model(tmp_path, frugal=True)
    assert frugal.size() == model.size()
    np.testing.assert_allclose(run(name, frugal), run(name, model), atol=1e-5)
    first = next(iter(frugal.parameters().values()))
    with pytest.raises(ValueError, match="frugal=True"):
        first.value = first.value
    with pytest.raises(RuntimeError, match="frugal=True"):
        first.grad += 1


def test_pages_of_a_frugal_model_can_be_dropped_and_come_back(tmp_path, pages_of):
    save_model(MODELS["unet"](0), tmp_path)
    frugal, file = load_model(tmp_path, frugal=True), tmp_path / "diffusion_pytorch_model.safetensors"
    assert pages_of(file) == 0  # although opening has read all numbers
    y = run("unet", frugal)
    assert pages_of(file) > 0
    drop_pages(frugal)
    assert pages_of(file) == 0
    np.testing.assert_array_equal(run("unet", frugal), y)
    drop_pages(MODELS["unet"](0))  # nothing to do


THEIRS = {"unet": "UNet2DModel", "with classes": "UNet2DModel", "fourier": "UNet2DModel", "text unet": "UNet2DConditionModel",
          "autoencoder": "AutoencoderKL", "codebook": "VQModel", "clip": "CLIPTextModel", "t5": "T5EncoderModel"}  # fmt: skip


def run_theirs(name, model, torch):
    x, rest = torch.tensor(X.transpose(0, 3, 1, 2).copy()), ()
    if name in ("clip", "t5"):
        return model(torch.tensor(IDS)).last_hidden_state.numpy()
    if name not in ("autoencoder", "codebook"):
        rest = {"with classes": (torch.tensor([0, 3]),), "text unet": (torch.tensor(CONTEXT),)}.get(name, ())
        rest = (torch.tensor(7), *rest)
    return model(x, *rest).sample.numpy().transpose(0, 2, 3, 1)


@pytest.mark.parametrize("name", MODELS)
def test_the_other_library_opens_what_minidiff_writes(name, tmp_path, torch, diffusers, close):
    transformers = pytest.importorskip("transformers")
    model = MODELS[name](0)
    save_model(model, tmp_path)
    library = transformers if name in ("clip", "t5") else diffusers
    theirs, info = getattr(library, THEIRS[name]).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), info
    with torch.no_grad():
        close(run(name, model), run_theirs(name, theirs.eval(), torch), 2e-5)


@pytest.mark.parametrize("name", MODELS)
def test_minidiff_opens_what_the_other_library_writes(name, tmp_path, torch, diffusers, close, stir):
    transformers = pytest.importorskip("transformers")
    model = MODELS[name](0)
    save_model(model, tmp_path / "start")
    library = transformers if name in ("clip", "t5") else diffusers
    theirs = stir(getattr(library, THEIRS[name]).from_pretrained(tmp_path / "start"))
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load_model(tmp_path / "theirs")
    with torch.no_grad():
        close(run(name, ours), run_theirs(name, theirs, torch), 2e-5)
    weights = {n: p.detach().numpy() for n, p in theirs.named_parameters() if p.requires_grad}
    for path, array in to_torch(ours).items():
        np.testing.assert_array_equal(array, weights[path if path in weights else path.removeprefix("text_model.")])


@pytest.mark.parametrize("dtype", ("float16", "bfloat16"))
def test_narrow_weights_are_widened_exactly(dtype, tmp_path, torch, diffusers):
    theirs = diffusers.UNet2DModel(**UNET, down_block_types=("DownBlock2D", "AttnDownBlock2D"),
                                   up_block_types=("AttnUpBlock2D", "UpBlock2D")).to(getattr(torch, dtype))  # fmt: skip
    theirs.save_pretrained(tmp_path, variant=None if dtype == "bfloat16" else "fp16")
    for ours in (load_model(tmp_path), load_model(tmp_path, frugal=True)):
        for path, array in to_torch(ours).items():
            np.testing.assert_array_equal(array, theirs.get_parameter(path).detach().float().numpy())
            assert array.dtype == np.float32
    if dtype == "float16":
        load_model(tmp_path, variant="fp16")
        with pytest.raises(FileNotFoundError, match=r"no diffusion_pytorch_model.bf16.safetensors"):
            load_model(tmp_path, variant="bf16")


def test_shards(tmp_path, torch, diffusers):
    model = MODELS["unet"](0)
    save_model(model, tmp_path / "ours", shard=10_000)
    assert len(list((tmp_path / "ours").glob("*-of-*"))) > 2
    theirs = diffusers.UNet2DModel.from_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="10KB")
    assert len(list((tmp_path / "theirs").glob("*-of-*"))) > 2
    for again in (load_model(tmp_path / "ours"), load_model(tmp_path / "theirs")):
        for path, array in model.state().items():
            np.testing.assert_array_equal(again.state()[path], array)
    next((tmp_path / "ours").glob("*-00002-of-*")).unlink()
    with pytest.raises(FileNotFoundError, match=r"00002-of-.*not there"):
        load_model(tmp_path / "ours")


def test_the_old_names_of_attention(tmp_path):
    model = MODELS["unet"](0)
    save_model(model, tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    old = {}
    for name, stored in tensor_file.read(file).items():
        for new, before in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
            name = name.replace(f".{new}.", f".{before}.")
        old[name] = stored.read().copy()
    assert any("query" in name for name in old)
    tensor_file.write(file, old)
    np.testing.assert_array_equal(run("unet", load_model(tmp_path)), run("unet", model))


def test_the_old_names_of_blocks(tmp_path):
    model = MODELS["unet"](0)
    save_model(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["down_block_types"] = ["UNetRes" + kind for kind in config["down_block_types"]]
    (tmp_path / "config.json").write_text(json.dumps(config))
    np.testing.assert_array_equal(run("unet", load_model(tmp_path)), run("unet", model))


def test_what_does_not_fit_is_listed(tmp_path):
    save_model(MODELS["unet"](0), tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    tensors = {name: stored.read().copy() for name, stored in tensor_file.read(file).items()}
    del tensors["conv_in.bias"]
    tensors["conv_in.weight"] = tensors["conv_in.weight"][:, :2]
    tensors["extra.weight"] = np.zeros((1, 2), np.float32)
    tensor_file.write(file, tensors)
    for frugal in (False, True):
        with pytest.raises(ValueError) as error:
            load_model(tmp_path, frugal=frugal)
        for line in (
            "missing conv_in.bias (8,)",
            "unexpected extra.weight (1, 2)",
            "conv_in.weight is (8, 2, 3, 3), expected (8, 3, 3, 3)",
        ):
            assert line in str(error.value)


@pytest.mark.parametrize(("change", "message"), [
    ({"act_fn": "tanh"}, "act_fn: got 'tanh'"),
    ({"down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"]}, "down_block_types: got 'CrossAttnDownBlock2D'"),
    ({"norm_eps_": 1e-5}, "config.json: option 'norm_eps_'.*did you mean norm_eps"),
    ({"_class_name": "UNet2DModels"}, "class 'UNet2DModels' is not supported.*did you mean UNet2DModel"),
    ({"_class_name": "Transformer2DModel"}, "not supported"),
])  # fmt: skip
def test_an_option_that_is_not_supported_is_named(change, message, tmp_path):
    save_model(MODELS["unet"](0), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path)


@pytest.mark.parametrize(("option", "value"), [
    ("dual_cross_attention", True), ("addition_embed_type", "text_time"), ("time_cond_proj_dim", 256),
    ("attention_type", "gated"), ("time_embedding_type", "fourier"), ("num_attention_heads", 4),
    ("cross_attention_norm", "layer_norm"),
])  # fmt: skip
def test_an_option_at_a_value_that_is_not_supported_is_named(option, value, tmp_path):
    save_model(MODELS["text unet"](0), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {option: value}))
    with pytest.raises(ValueError, match=f"option '{option}' is {value!r}.*only"):
        load_model(tmp_path)


def test_pickle_is_refused_with_the_reason(tmp_path):
    save_model(MODELS["unet"](0), tmp_path)
    (tmp_path / "diffusion_pytorch_model.safetensors").rename(tmp_path / "diffusion_pytorch_model.bin")
    with pytest.raises(
        ValueError, match=r"diffusion_pytorch_model.bin, a pickle file. Loading a pickle can run arbitrary code"
    ):
        load_model(tmp_path)


def test_folders_that_are_not_models(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config.json"):
        load_model(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text("{not json")
    with pytest.raises(ValueError, match="not readable JSON"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(FileNotFoundError, match=r"no diffusion_pytorch_model.safetensors; it holds config.json"):
        load_model(tmp_path)
    with pytest.raises(TypeError, match="MLP"):
        save_model(models.MLP(rng=0), tmp_path)
    with pytest.raises(ValueError, match="dtype"):
        save_model(MODELS["unet"](0), tmp_path, dtype="int8")


def test_half_the_bytes(tmp_path):
    model = MODELS["unet"](0)
    save_model(model, tmp_path, dtype="float16")
    stored = read_weights(tmp_path, "diffusion_pytorch_model")
    assert {s.dtype for s in stored.values()} == {"F16"}
    for path, array in load_model(tmp_path).state().items():
        np.testing.assert_array_equal(array, model.state()[path].astype(np.float16).astype(np.float32))


def test_defaults_are_the_other_librarys(diffusers):
    """Every option that diffusers knows is in our table, with its default."""
    import inspect

    from minidiff.interop.kinds import KINDS

    for name in ("UNet2DModel", "UNet2DConditionModel", "AutoencoderKL", "VQModel"):
        parameters = inspect.signature(getattr(diffusers, name).__init__).parameters
        theirs = {k: p.default for k, p in parameters.items() if k != "self" and k not in KINDS[name].silent}
        assert KINDS[name].defaults == theirs, name
