"""The recipe of the transformer: flow matching on latents, drawing in few steps, shipping, and the command line."""

import numpy as np
import pytest

from minidiff import recipes
from minidiff.cli import main
from minidiff.diffusion import Flow
from minidiff.recipes import pixart, pretrained, stable_diffusion

PROMPTS = ["a red circle", "a small blue square above a green cross"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The run folder of two steps of training, by the command."""
    folder = tmp_path_factory.mktemp("pixart")
    assert main(["train", "--recipe", "pixart", "--reuse", "--steps", "2", "--no-progress", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def tiny(folder):
    """That system, its last layer moved: after two steps it answers almost 0, whatever the prompt."""
    system = recipes.load("pixart", folder)
    rng = np.random.default_rng(0)
    for name, param in system.parts["transformer"].parameters().items():
        if not param.value.any() or name.startswith("proj_out") or ".attn2.to_out" in name:
            param.value[...] = 0.2 * rng.standard_normal(param.shape)
    return system


def test_the_encoders_are_those_of_stable_diffusion(tiny):
    shipped = pretrained.shipped("stable_diffusion")
    for stage in ("clip", "autoencoder"):
        assert all(np.array_equal(array, shipped[stage].state()[name]) for name, array in tiny.parts[stage].state().items())
    assert tiny.parts["transformer"].null_context.shape == stable_diffusion.encode_text(tiny.parts, ["a red circle"]).shape


def test_what_the_transformer_learns(tiny):
    objective = pixart.RECIPE.stages[-1].objective(tiny.parts)
    assert isinstance(objective.schedule, Flow) and objective.predicts == "velocity" and objective.cond_dropout > 0
    assert type(objective.t_sampler).__name__ == "LogitNormal" and objective.time_scale == pixart.TIME_SCALE


def test_drawing(tiny):
    images = tiny.draw(PROMPTS, rng=0, steps=2)
    assert images.shape == (2, 32, 32, 3) and images.dtype == np.float32 and abs(images).max() <= 1
    np.testing.assert_array_equal(tiny.draw(PROMPTS, rng=0, steps=2), images)
    assert abs(tiny.draw(PROMPTS, rng=1, steps=2) - images).max() > 0.1
    assert abs(tiny.draw(PROMPTS, 3.0, rng=0, steps=2) - images).max() > 1e-3
    assert abs(tiny.draw(PROMPTS[::-1], rng=0, steps=2) - images).max() > 1e-3
    with pytest.raises(ValueError, match="unknown word 'pink'"):
        tiny.draw(["a pink circle"])


def test_what_is_shipped(tmp_path, tiny):
    pretrained.ship(tiny.recipe, tiny.parts, tmp_path)
    assert pretrained.is_shipped("pixart", tmp_path)
    (own,) = (tmp_path / "pixart").iterdir()
    assert own.name == "transformer.safetensors" and own.stat().st_size < 2e6
    again = pretrained.shipped("pixart", tmp_path)["transformer"].state()
    for name, array in tiny.parts["transformer"].state().items():
        np.testing.assert_array_equal(again[name], array.astype(np.float16))


def test_by_command(folder, tmp_path, capsys):
    out = tmp_path / "a.png"
    command = ["sample", str(folder), "--system", "pixart", "--prompt", PROMPTS[0], "--steps", "2", "--no-progress"]
    assert main([*command, "--out", str(out)]) == 0 and out.exists()
    assert f"1 of {PROMPTS[0]!r} by pixart" in capsys.readouterr().out
    assert main(["train", "--reuse"]) == 2
    assert "--reuse: only valid with --recipe; use --from" in capsys.readouterr().err
