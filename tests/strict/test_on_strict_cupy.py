"""What the stand-in is for, end to end: training, pictures and pretrained pipelines decide everything by the array."""

import json

import numpy as np
import pytest
from cases_diffusion import SMALL, unet
from cases_training import trainer
from sides import Side

from minidiff import models
from minidiff.backend import to_numpy
from minidiff.diffusion import Denoiser, Schedule
from minidiff.models import UNet
from minidiff.rng import Rng
from minidiff.samplers import SAMPLERS, NotFinite, sample


def test_random_numbers_are_the_same(xp):
    for draw in (lambda r: r.random((3, 5)), lambda r: r.standard_normal(7), lambda r: r.integers(3, 9, (2, 3)),
                 lambda r: r.permutation(9), lambda r: r.standard_normal(5, np.float64)):  # fmt: skip
        with xp.no_sync():
            there = draw(Rng(5, 1, 2, xp=xp))
        np.testing.assert_allclose(to_numpy(there), draw(Rng(5, 1, 2)), rtol=0, atol=2.4e-7)


def test_training_gives_numpys_numbers(xp):
    here, there = trainer(Side(np)), trainer(Side(xp))
    for t in (here, there):
        t.run(progress=False)
    assert type(there.arena.values).__module__ == "strict_cupy"
    np.testing.assert_allclose(there.history.loss, here.history.loss, rtol=1e-9)
    np.testing.assert_allclose(to_numpy(there.arena.values), here.arena.values, atol=1e-9)


def test_a_plain_step_never_waits_uploads_only_the_indices_and_takes_no_memory(xp):
    """In float64 the kernels do not serve, and the ops are the references: the rules hold for them too."""
    with xp.cuda.using_allocator(xp.cuda.MemoryPool().malloc):  # nothing lies free in it that would hide an allocation
        t = trainer(Side(xp), steps=10)
        t.step(), t.step()
        for key in xp.STATS:
            xp.STATS[key] = 0
        with xp.no_sync(), xp.no_allocation():
            for _ in range(3):
                t.step()
    assert xp.STATS == dict(syncs=0, uploads=3, downloads=0, allocations=0)


def test_layers_keep_their_forward_only_promise(xp):
    """predict on the device uploads nothing and waits for nothing."""
    net = UNet(**SMALL, rng=0).to("cuda")
    x, labels = xp.asarray(Rng(0).standard_normal((2, 8, 8, 1))), xp.asarray(np.array([0, 1]))
    net.predict(x, 5, labels)
    before = xp.STATS["uploads"]
    with xp.no_sync():
        net.predict(x, 5, labels)
    assert xp.STATS["uploads"] == before


def test_a_mask_may_come_from_the_host(xp):
    net = models.UNet2DConditionModel(
        block_out_channels=(4,), norm_num_groups=2, layers_per_block=1, attention_head_dim=2, cross_attention_dim=3,
        down_block_types=("CrossAttnDownBlock2D",), up_block_types=("CrossAttnUpBlock2D",), rng=0).to("cuda")  # fmt: skip
    x, context = xp.asarray(Rng(0).standard_normal((2, 4, 4, 4))), xp.asarray(Rng(1).standard_normal((2, 5, 3)))
    assert net.predict(x, 3, models.TextCondition(context, np.ones((2, 5), bool))).shape == (2, 4, 4, 4)


def test_a_pipeline_on_the_device(xp, tmp_path):
    from minidiff import interop

    net = unet(Side(np), sample_size=4).astype(np.float32)
    interop.save_pipeline(net, Schedule.linear(), tmp_path)
    options = dict(n=2, steps=3, cond=np.array([0, 1]), guidance=1.0, rng=0)
    here, there = interop.load(tmp_path).sample(**options), interop.load(tmp_path).to("cuda").sample(**options)
    np.testing.assert_allclose(to_numpy(there), here, atol=1e-4)


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "ddpm_respaced"])
def test_a_run_waits_once_for_a_look_at_its_sample(xp, name):
    """One number comes to the host, after the last step; NaN is found there, and nothing is looked at in a recording."""
    net = unet(Side(xp), num_class_embeds=None, null_class=None)
    denoiser, x = Denoiser(net, Schedule.linear(20), "v"), xp.asarray(Rng(0).standard_normal((2, 4, 4, 1), np.float64))
    run = SAMPLERS[name].function(denoiser, x, steps=4, rng=Rng(1, xp=xp))
    with xp.no_sync():
        for _ in range(4):
            next(run)
    before = xp.STATS["syncs"]
    assert list(run) == [] and xp.STATS["syncs"] == before + 1
    with xp.no_sync():
        list(SAMPLERS[name].function(denoiser, x, steps=4, rng=Rng(1, xp=xp), graph=None))
    with pytest.raises(NotFinite, match=f"{name} stopped at step 3, t = [05]: 32 of 32 values"):
        sample(name, denoiser, x.shape, x=x * np.nan, steps=4, rng=Rng(1, xp=xp))


@pytest.mark.parametrize("level", ("karras", "exponential"))
def test_a_folders_levels_in_a_recorded_run(xp, tmp_path, level):
    """Float32 and enough steps for one recording to serve them all: the table of told times is looked up on the device."""
    from minidiff import interop
    from minidiff.diffusion import Schedule

    interop.save_pipeline(unet(Side(np), sample_size=4).astype(np.float32), Schedule.linear(), tmp_path)
    config = {"_class_name": "DPMSolverMultistepScheduler", f"use_{level}_sigmas": True}
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    options = dict(n=2, steps=10, cond=np.array([0, 1]), rng=0)
    here, there = interop.load(tmp_path).sample(**options), interop.load(tmp_path).to("cuda").sample(**options)
    np.testing.assert_allclose(to_numpy(there), here, atol=1e-4 * np.abs(here).max())


def test_the_names_are_cupys():
    """Where CuPy is installed, card or not: the stand-in offers no name that CuPy lacks, and its streams' methods are there."""
    cupy = pytest.importorskip("cupy", exc_type=ImportError)
    from strict_cupy import NAMES, cuda
    from strict_cupy.array import LACKS

    assert [name for name in sorted(NAMES) if not hasattr(cupy, name)] == []
    assert {name for name in dir(np.ndarray) if name[0] != "_" and not hasattr(cupy.ndarray, name)} == LACKS
    for name in cuda.__all__:
        ours, theirs = getattr(cuda, name), getattr(cupy.cuda, name)
        public = [part for part in vars(ours) if not part.startswith("_")] if isinstance(ours, type) else []
        assert [part for part in public if not hasattr(theirs, part)] == [], name
