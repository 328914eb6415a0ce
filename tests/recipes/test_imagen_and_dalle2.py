"""The recipes of two halves: what each half is trained on, and what becomes of a prompt on its way through them."""

import numpy as np
import pytest

from minidiff import recipes
from minidiff.data import captioned_shapes, captions, checker, tokenizer
from minidiff.recipes import dalle2, imagen, pretrained
from minidiff.rng import Rng, Stream

STAGES = {stage.name: stage for recipe in (imagen.RECIPE, dalle2.RECIPE) for stage in recipe.stages}


class Glass:
    """Stands for trained encoders: keeps what it is shown."""

    def __init__(self):
        self.texts, self.images, self.encoder = [], [], self

    def predict(self, ids):
        self.texts += tokenizer.decode(ids)
        return np.zeros((*ids.shape, 64), np.float32), np.zeros((len(ids), 64), np.float32)

    embed_texts = predict

    def words(self, ids):
        return np.zeros((*ids.shape, 64), np.float32)

    def embed_images(self, images):
        self.images.append(images)
        return np.zeros((len(images), 64), np.float32)


@pytest.mark.parametrize("name", ["base", "upsampler", "prior", "decoder"])
def test_no_stage_sees_what_is_held_out(name):
    for step in range(3):
        glass = Glass()
        x0, _ = STAGES[name].batch(Rng(0, Stream.EXAMPLES, step), 100, {"language": glass, "clip": glass})
        assert len(glass.texts) == (0 if name == "decoder" else 100)
        assert not any(captions.is_held_out(captions.parse(text)) for text in glass.texts)
        for images in [*glass.images, *([x0] if x0.ndim == 4 else [])]:
            seen = [(thing.colour, thing.shape) for reading in checker.read(images) for thing in reading.things]
            assert len(seen) >= 100 and not set(seen) & set(captions.HELD_OUT)


def test_the_small_image_is_the_large_one_averaged():
    glass = Glass()
    images, cond = STAGES["upsampler"].batch(Rng(0), 2, {"language": glass})
    assert images.shape == (2, 32, 32, 3) and cond.low.shape == (2, 16, 16, 3)
    np.testing.assert_allclose(cond.low[1, 3, 4], images[1, 6:8, 8:10].mean(axis=(0, 1)), rtol=1e-5)
    assert cond.context.shape == (2, tokenizer.LENGTH, 64) and cond.mask is None


@pytest.fixture(scope="module", params=["imagen", "dalle2"])
def tiny(request, tmp_path_factory):
    """A system after two steps of training."""
    folder = tmp_path_factory.mktemp(request.param)
    recipes.train(request.param, folder, steps=2, progress=False, say=lambda line: None)
    return recipes.load(request.param, folder)


def test_drawing(tiny):
    prompts = ["a red circle", "a small blue square above a green cross"]
    images = tiny.draw(prompts, rng=0, steps=2)
    assert images.shape == (2, 32, 32, 3) and images.dtype == np.float32 and abs(images).max() <= 1
    np.testing.assert_array_equal(tiny.draw(prompts, rng=0, steps=2), images)
    assert abs(tiny.draw(prompts, rng=1, steps=2) - images).max() > 0.1
    assert abs(tiny.draw(prompts, 3.0, rng=0, steps=2) - images).max() > 1e-3
    with pytest.raises(ValueError, match="unknown word 'pink'"):
        tiny.draw(["a pink circle"])


def test_what_is_shipped(tmp_path, tiny):
    assert not pretrained.is_shipped(tiny.recipe.name, tmp_path)
    pretrained.ship(tiny.recipe, tiny.parts, tmp_path)
    assert pretrained.is_shipped(tiny.recipe.name, tmp_path)
    own = list((tmp_path / tiny.recipe.name).iterdir())
    assert len(own) == 2 and sum(path.stat().st_size for path in own) < 3.1e6
    again = pretrained.shipped(tiny.recipe.name, tmp_path)
    for stage, net in tiny.parts.items():
        for name, array in net.state().items():
            np.testing.assert_array_equal(again[stage].state()[name], array.astype(np.float16))


def test_variations_come_from_the_vector_alone(tiny):
    if tiny.recipe.name == "imagen":
        return
    images = captioned_shapes(2, 32, 0)[0]
    vectors = dalle2.encode_images(tiny.parts, images)
    np.testing.assert_allclose((vectors**2).sum(axis=1), vectors.shape[1], rtol=1e-5)  # unit vectors, scaled
    others = dalle2.variations(tiny.parts, images, 1.0, Rng(0), steps=2)
    np.testing.assert_array_equal(others, dalle2.decode(tiny.parts, vectors, 1.0, Rng(0), steps=2))
    assert others.shape == images.shape


@pytest.mark.parametrize("name", ["imagen", "dalle2"])
def test_what_ships_is_small_and_has_a_card(name):
    recipe = recipes.find(name)
    paths = [pretrained.path_of(recipe, stage) for stage in recipe.stages]
    assert sum(path.stat().st_size for path in paths) < 3.4e6
    card, parts = (pretrained.FOLDER / name / "README.md").read_text(encoding="utf-8"), pretrained.shipped(name)
    for stage, path in zip(recipe.stages, paths, strict=True):
        assert path.name in card and f"{parts[stage.name].size():,}" in card
