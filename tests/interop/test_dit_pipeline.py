"""DiTPipeline both ways: its folders open and sample the same images, and runs of `minidiff train --model dit` become one.

Reference values: diffusers' DiTPipeline, DiTTransformer2DModel and schedulers, from the same noise.
"""

import contextlib
import io
import json
import re

import numpy as np
import pytest
from reference_pipelines import SameNoise

from minidiff import interop, runs
from minidiff.cli import main
from minidiff.models import DiT

STEPS = 4
NET = dict(num_attention_heads=2, attention_head_dim=8, num_layers=2, sample_size=4, patch_size=2, in_channels=4,
           activation_fn="gelu-approximate", attention_bias=True, norm_type="ada_norm_zero",
           norm_elementwise_affine=False)  # fmt: skip
CODER = dict(in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(8, 16), norm_num_groups=4, sample_size=8,
             down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)  # fmt: skip
FEW = ["--batch-size", "8", "--no-progress", "--set", "model.num_layers=2", "--set", "model.attention_head_dim=4"]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A small latent DiTPipeline with 1,000 classes and a learned variance, its folder, and diffusers' object."""
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    torch.manual_seed(0)
    transformer = diffusers.DiTTransformer2DModel(
        **NET, out_channels=8, num_embeds_ada_norm=1000
    ).eval()  # it drops classes in training
    with torch.no_grad():
        for param in transformer.parameters():
            param += 0.05 * torch.randn(param.shape)
    vae, names = diffusers.AutoencoderKL(**CODER), {k: f"thing {k}, item {k}" for k in range(1000)}
    made = diffusers.DiTPipeline(transformer, vae, diffusers.DDIMScheduler(clip_sample=False), id2label=names)
    made.set_progress_bar_config(disable=True)
    folder = tmp_path_factory.mktemp("dit")
    made.save_pretrained(folder)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"id2label": names}))  # as on the hub
    return torch, diffusers, made, folder


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_its_images_from_the_same_noise(pipeline, scale, close):
    torch, _, made, folder = pipeline
    generator = torch.Generator().manual_seed(1)
    expected = made([7, 980], scale, generator, STEPS, output_type="np").images
    found = interop.load(folder)
    assert type(found.unet) is DiT and found.class_names[980] == "thing 980, item 980"
    ours = found.sample(2, STEPS, cond=np.array([7, 980]), guidance=scale - 1, rng=SameNoise(torch, 1))
    close(np.clip(ours / 2 + 0.5, 0, 1), expected, 1e-3)


def test_the_older_class_of_the_transformer(pipeline, tmp_path):
    """facebook/DiT-XL-2-256 names Transformer2DModel and has every option of that class in its config.json."""
    _, diffusers, made, folder = pipeline
    before = interop.load(folder / "transformer")
    old = diffusers.Transformer2DModel(**NET, out_channels=8, num_embeds_ada_norm=1000)
    old.load_state_dict(made.transformer.state_dict())
    old.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["_class_name"] == "Transformer2DModel"
    after = interop.load(tmp_path)
    assert type(after) is DiT and {k: a.tolist() for k, a in after.state().items()} == {
        k: a.tolist() for k, a in before.state().items()
    }
    config = json.loads((tmp_path / "config.json").read_text())
    for change, words in (({"norm_type": "layer_norm"}, "with norm_type 'layer_norm' is not supported, expected norm_type"),
                          ({"cross_attention_dim": 8}, "option 'cross_attention_dim' is 8")):  # fmt: skip
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(ValueError, match=re.escape(words)):
            interop.load(tmp_path)


def test_class_by_name(pipeline, tmp_path, capsys):
    command = ["sample", "--pretrained", str(pipeline[3]), "--steps", "2", "--no-progress", "--out", str(tmp_path / "a.png")]
    assert main([*command, "--class", "thing 3, item 3"]) == 0
    assert main([*command, "--class", "thing 4, item 3"]) == 2
    assert "expected a class from 0 to 999" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["eps", "flow", "learned variance", "no classes"])
def test_a_run_becomes_one_and_comes_back(kind, tmp_path, close):
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    options = {"eps": ["--predicts", "eps"], "flow": ["--schedule", "flow"],
               "learned variance": ["--set", "diffusion.learned_variance=true"],
               "no classes": ["--set", "model.num_embeds_ada_norm=0"]}[kind]  # fmt: skip
    run, there, back = (str(tmp_path / name) for name in ("run", "there", "back"))
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["train", "--data", "digits", "--model", "dit", "--steps", "12", "--out", run, *FEW, *options]) == 0
        assert main(["export", run, there]) == 0 and main(["import", there, "--out", back]) == 0
    before, after = runs.open_run(run), runs.open_run(back)
    assert before.kept["model"].items() <= after.kept["model"].items() and before.kept["classes"] == after.kept["classes"]
    assert (before.kept["classes"] is None) == (kind == "no classes")
    for key in ("predicts", "schedule", "T", "weighting", "cond_dropout", "learned_variance", "clip"):
        assert before.kept["diffusion"][key] == after.kept["diffusion"][key], key
    state = after.denoiser.model.state()
    assert all(np.array_equal(value, state[name]) for name, value in before.denoiser.model.state().items())

    diffusers.DiTPipeline.from_pretrained(there, vae=None)
    text = (tmp_path / "there" / "README.md").read_text()
    for code in re.findall(r"```python\n(import torch.*?)```", text, re.S):
        made = {}
        exec(code.replace('"there"', repr(there)), made)
    labels = None if kind == "no classes" else np.arange(4)
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    steps = int(re.search(r"set_timesteps\((\d+)\)", text)[1])
    ours = interop.load(there).sample(4, steps, cond=labels, x=np.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1)))
    close(np.clip(ours / 2 + 0.5, 0, 1).transpose(0, 3, 1, 2), made["images"].numpy(), 1e-3)


def test_what_no_folder_of_diffusers_can_hold(tmp_path):
    from minidiff.diffusion import Schedule

    net = DiT(2, 4, in_channels=1, num_layers=1, sample_size=(4, 8), num_embeds_ada_norm=3, rng=0)
    with pytest.raises(ValueError, match="sample_size: got 4 x 8, expected a square"):
        interop.save_pipeline(net, Schedule.linear(), tmp_path / "there")
    assert list(tmp_path.iterdir()) == []
