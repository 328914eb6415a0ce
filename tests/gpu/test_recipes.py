"""The stages of the recipes as CUDA graphs: masks, frozen encoders and new pictures in every step are in the recording."""

import numpy as np
import pytest

from minidiff import recipes
from minidiff.gpu.recorder import WARM_UPS
from minidiff.recipes.run import stage_trainer
from minidiff.rng import Rng

STAGES = {stage.name: (recipe, stage) for recipe in map(recipes.find, recipes.NAMES) for stage in recipe.stages}


@pytest.mark.parametrize("xp", ["forwards", pytest.param("cupy", marks=pytest.mark.gpu)], indirect=True)
@pytest.mark.parametrize("name", STAGES)
def test_a_stage_is_recorded_and_gives_numpys_losses(xp, name):
    (recipe, stage), losses = STAGES[name], {}
    for device in ("cpu", "cuda"):
        parts = {}
        for before in recipe.stages[: recipe.stages.index(stage)]:
            parts[before.name] = before.model(Rng(0), parts).to(device)
        t = stage_trainer(recipe, stage, parts, steps=8, device=device, batch_size=2, sample=None, sample_every=None)
        for _ in range(WARM_UPS + 2):
            t.step()
        t.look()
        losses[device] = t.history.loss
    assert (t._device_step.recorded.graph is not None) == (name != "language")  # which hides another number of words each time
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=5e-5)
