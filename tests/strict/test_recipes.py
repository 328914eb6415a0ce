"""The recipes on the stand-in: every stage is trained, drawn with and moved there, with NumPy's numbers."""

import numpy as np
import pytest

from minidiff import recipes
from minidiff.backend import to_numpy
from minidiff.cli import main
from minidiff.recipes.run import stage_trainer
from minidiff.training.complete import complete

PROMPTS = ["a red circle", "a small blue square above a green cross"]


def length(arrays):
    """The Euclidean norm of all arrays together."""
    return np.sqrt(sum((array.astype(np.float64) ** 2).sum() for array in arrays.values()))


@pytest.mark.parametrize("name", recipes.NAMES)
def test_training_and_drawing_give_numpys_numbers(xp, name):
    recipe, here, there = recipes.find(name), {}, {}
    for stage in recipe.stages:
        for device, parts in (("cpu", here), ("cuda", there)):
            trainer = stage_trainer(recipe, stage, parts, steps=2, device=device, batch_size=4, warmup=0, sample=None,
                                    sample_every=None)  # fmt: skip
            model = complete(trainer, progress=False)
            stage.finish(model, parts)
            parts[stage.name] = model
            if device == "cpu":
                losses = trainer.history.loss
        assert type(trainer.arena.values).__module__ == "strict_cupy" and parts[stage.name].device == "cuda"
        np.testing.assert_allclose(trainer.history.loss, losses, rtol=1e-5, err_msg=stage.name)
        numpys = here[stage.name].state()
        gaps = {path: to_numpy(array) - numpys[path] for path, array in parts[stage.name].state().items()}
        # not each by itself: where a gradient is nearly nought, Adam makes a whole step of it
        assert length(gaps) < 4e-5 * length(numpys), stage.name
    if recipe.draw is not None:
        pictures = [recipes.System(recipe, parts).draw(PROMPTS, rng=0, steps=2) for parts in (here, there)]
        assert all(type(images) is np.ndarray for images in pictures)
        np.testing.assert_allclose(*pictures, atol=2e-4)


def test_a_shipped_system_moves_to_the_device(xp):
    system = recipes.load("stable_diffusion", device="cuda")
    assert system.device == "cuda" and all(net.device == "cuda" for net in system.parts.values())
    there = system.draw(PROMPTS, rng=0, steps=4)
    np.testing.assert_allclose(there, system.to("cpu").draw(PROMPTS, rng=0, steps=4), atol=1e-5)


def test_by_command(xp, tmp_path, capsys):
    assert main(["train", "--recipe", "clip", "--steps", "2", "--device", "cuda", "--no-progress", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "clip" / "checkpoint.safetensors").exists()
    out = tmp_path / "a.png"
    command = ["sample", "--prompt", PROMPTS[0], "--steps", "2", "--device", "cuda", "--no-progress", "--out", str(out)]
    assert main(command) == 0 and out.exists()
    assert "the checker sees" in capsys.readouterr().out
