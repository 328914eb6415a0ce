"""The nets that ship with minidiff: they are there, they are small, they draw what they are told."""

import json

import numpy as np
import pytest

from minidiff import recipes, runs
from minidiff.cli import main
from minidiff.data import captions
from minidiff.recipes import pretrained

CLIP = recipes.find("clip")


def test_shipping_there_and_back(tmp_path):
    model = CLIP.stages[0].model(recipes.run.Rng(1), {})
    (path,) = pretrained.ship(CLIP, {"clip": model}, tmp_path)
    assert path == tmp_path / "clip" / "clip.safetensors" and path.stat().st_size < 2.2 * model.size()
    again = pretrained.shipped("clip", tmp_path)["clip"].state()
    for name, array in model.state().items():
        assert again[name].dtype == np.float32
        np.testing.assert_array_equal(again[name], array.astype(np.float16))


def test_shipped_files_that_are_missing_or_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected an existing file; train it: minidiff train --recipe clip"):
        pretrained.shipped("clip", tmp_path)
    path = tmp_path / "clip" / "clip.safetensors"
    pretrained.write(path, {"logit_scale": np.ones(1)}, {}, {})
    with pytest.raises(ValueError, match=r"missing|does not fit"):
        pretrained.shipped("clip", tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="damaged or cut short"):
        pretrained.shipped("clip", tmp_path)
    with pytest.raises(ValueError, match="weights: got values outside float16's range"):
        pretrained.write(path, {"big": np.full(1, 1e6)}, {}, {})


def test_prompts_to_measure_with():
    seen, held = (recipes.test_prompts(50, held_out, seed=1) for held_out in (False, True))
    assert seen == recipes.test_prompts(50, seed=1) and len(seen) == len(held) == 50
    assert not any(captions.is_held_out(captions.parse(text)) for text in seen)
    assert all(captions.is_held_out(captions.parse(text)) for text in held)
    assert all(captions.parse(text).relation for text in recipes.test_prompts(20, True, ("relation",)))


@pytest.fixture(scope="module")
def system():
    return recipes.load("stable_diffusion")


SHIPPED = [("stable_diffusion", 0.93, 0.15), ("imagen", 0.9, 0.15), ("dalle2", 0.85, 0.05)]


@pytest.mark.parametrize(("name", "least", "gain"), SHIPPED)
def test_a_shipped_system_generates_images_that_satisfy_the_prompts(name, least, gain):
    """The cards say how often, of many more prompts; here a few, to notice a net that no longer fits its recipe."""
    prompts = recipes.test_prompts(100, seed=11) + recipes.test_prompts(100, held_out=True, seed=12)
    guided, plain = (recipes.load(name).obeyed(prompts, weight, rng=0).mean() for weight in (None, 0.0))
    print(name, guided, plain)
    assert guided >= least and guided >= plain + gain


def test_a_prompt_is_read_before_anything_is_computed(system):
    with pytest.raises(ValueError, match=r"unknown word 'blau' .*did you mean 'blue'.*the words are: a, above, .*yellow"):
        system.draw(["a red circle", "a blau circle"])
    with pytest.raises(ValueError, match="recipe: got 'clip', expected one of stable_diffusion, imagen, dalle2"):
        recipes.load("clip")


def test_sample_by_command(tmp_path, capsys):
    command = ["sample", "--prompt", "a small red circle", "-n", "2", "--seed", "3", "--no-progress", "--out"]
    assert main([*command, str(tmp_path / "a.png")]) == 0
    said = capsys.readouterr().out
    assert "2 of 'a small red circle' by stable_diffusion" in said and said.count("the checker sees: ") == 2
    assert main([*command, str(tmp_path / "b.png")]) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert main(["sample", "--prompt", "a small red circle", "--class", "1"]) == 2
    assert "--class: cannot be combined with --prompt without --pretrained" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["clip", "autoencoder", "stable_diffusion"])
def test_each_system_has_a_model_card(name):
    recipe = recipes.find(name)
    own = [path for stage in recipe.stages if (path := pretrained.path_of(recipe, stage)).parent.name == name]
    assert own and all(path.exists() for path in own)
    card = (own[0].parent / "README.md").read_text()
    assert f"minidiff train --recipe {name}" in card
    parts = pretrained.shipped(name)
    for path in own:
        assert f"{parts[path.stem].size():,}" in card  # parameters


def test_what_ships_is_small():
    recipe = recipes.find("stable_diffusion")
    sizes = {stage.name: pretrained.path_of(recipe, stage).stat().st_size for stage in recipe.stages}
    assert sizes["autoencoder"] + sizes["unet"] < 3.05e6, json.dumps(sizes)  # clip serves dalle2 as well
    recipes_own = [path for path in pretrained.FOLDER.rglob("*.safetensors") if path.parent != runs.SHIPPED]
    assert sum(path.stat().st_size for path in recipes_own) < 10e6
