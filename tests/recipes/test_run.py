"""Recipes by name, training that stops and goes on, and what no stage may ever see."""

import numpy as np
import pytest

from minidiff import recipes
from minidiff.data import captions, checker, tokenizer
from minidiff.recipes import pretrained
from minidiff.recipes.run import open_parts, stage_trainer
from minidiff.rng import Rng
from minidiff.training import checkpoint

CLIP, PIXART = recipes.find("clip"), recipes.find("pixart")


def test_every_name_is_there():
    for name in recipes.NAMES:
        recipe = recipes.find(name)
        assert recipe.name == name and recipe.minutes > 0 and recipe.stages
        assert (recipe.draw is not None) == (name in recipes.SYSTEMS)
    with pytest.raises(ValueError, match=r"expected one of clip, .* did you mean stable_diffusion"):
        recipes.find("stable-diffusion")


def test_a_stopped_run_resumes_to_the_bit(tmp_path):
    whole = recipes.train("clip", tmp_path / "whole", steps=2, seed=3, progress=False, say=lambda line: None)
    stage_trainer(CLIP, CLIP.stages[0], {}, 3, 2, tmp_path / "halves" / "clip").run(1, progress=False)
    lines = []
    recipes.train("clip", tmp_path / "halves", steps=2, seed=3, resume=True, progress=False, say=lines.append)
    assert "step 1 of 2" in lines[0]
    files = [tmp_path / name / "clip" / "checkpoint.safetensors" for name in ("whole", "halves")]
    assert files[0].read_bytes() == files[1].read_bytes()
    again = open_parts(CLIP, tmp_path / "halves")["clip"].state()
    assert all(np.array_equal(array, again[name]) for name, array in whole["clip"].state().items())
    assert checkpoint.load(files[0]).config["run"] == {"recipe": "clip", "stage": "clip"}
    with pytest.raises(ValueError, match=r"with clip, expected a folder without a run"):
        recipes.train("clip", tmp_path / "whole", steps=2)


def test_length_of_a_run(tmp_path):
    lines = []
    recipes.train("language", tmp_path, minutes=recipes.find("language").minutes * 1e-6, progress=False, say=lines.append)
    assert lines[0].endswith("step 0 of 1")
    mistakes = [({"minutes": 1, "steps": 1}, "got both"), ({"minutes": 0}, "minutes: got 0"), ({"steps": -1}, "steps: got -1")]
    for wrong, words in mistakes:
        with pytest.raises(ValueError, match=words):
            recipes.train("clip", tmp_path / "other", **wrong)
    assert not (tmp_path / "other").exists()


def test_a_run_with_the_shipped_encoders(tmp_path):
    """It trains the transformer alone, and opens and resumes with the same encoders."""
    lines, quiet = [], dict(progress=False, say=lambda line: None)
    parts = recipes.train("pixart", tmp_path / "a", steps=2, reuse=True, progress=False, say=lines.append)
    assert lines[:2] == ["1/3  clip: as it ships with minidiff", "2/3  autoencoder: as it ships with minidiff"]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["transformer"]
    for again in (open_parts(PIXART, tmp_path / "a"), recipes.train("pixart", tmp_path / "a", steps=2, resume=True, **quiet)):
        for stage, model in parts.items():
            assert all(np.array_equal(array, again[stage].state()[name]) for name, array in model.state().items())
        assert (
            again["autoencoder"].config["scaling_factor"]
            == pretrained.shipped("autoencoder")["autoencoder"].config["scaling_factor"]
        )
    recipes.train("language", tmp_path / "b", steps=1, reuse=True, **quiet)  # no stage of it ships elsewhere
    stage_trainer(PIXART, PIXART.stages[0], {}, 0, 1, tmp_path / "c" / "clip").run(1, progress=False)
    with pytest.raises(ValueError, match=r"reuse: got True, expected False: the run in .* trained its encoders"):
        recipes.train("pixart", tmp_path / "c", steps=1, resume=True, reuse=True, **quiet)


class Glass:
    """Stands for a trained net: shows what a batch was made of."""

    def to_latent(self, images):
        return images

    @property
    def text(self):
        return self

    def words(self, ids):
        return ids


@pytest.mark.parametrize("name", ["clip", "language", "autoencoder", "stable_diffusion", "pixart"])
def test_no_stage_sees_what_is_held_out(name):
    stage = recipes.find(name).stages[-1]
    glass = {"clip": Glass(), "autoencoder": Glass()}
    for step in range(3):
        x0, cond = stage.batch(Rng(0, 4, step), 100, glass)
        texts = [array for array in (x0, cond) if array is not None and array.ndim == 2]
        pictures = [array for array in (x0, cond) if array is not None and array.ndim == 4]
        assert len(texts) + len(pictures) == 1 + (name in ("clip", "stable_diffusion", "pixart"))
        for ids in texts:
            assert not any(captions.is_held_out(captions.parse(text)) for text in tokenizer.decode(ids))
        for images in pictures:
            seen = [(thing.colour, thing.shape) for reading in checker.read(images) for thing in reading.things]
            assert len(seen) >= 100 and not set(seen) & set(captions.HELD_OUT)
