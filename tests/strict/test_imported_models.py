"""The nets of other people's checkpoints on the stand-in for CuPy."""

import numpy as np
import pytest

from minidiff import models, selfcheck_models
from minidiff.backend import to_numpy
from minidiff.rng import Rng


@pytest.mark.parametrize("case", [*selfcheck_models.MODELS, selfcheck_models.VQModel], ids=lambda case: case.__name__)
def test_net(case, xp):
    rng = Rng(3)
    net, arrays = case(lambda a, b: a, lambda *shape: rng.standard_normal(shape, np.float64))
    net.astype(np.float64)
    y, back = net(*arrays)
    dy = Rng(1).standard_normal(y.shape, np.float64)
    net.zero_grad()
    dx = back(dy)
    grads = {name: p.grad.copy() for name, p in net.parameters().items()}
    net.to("cuda")
    y2, back2 = net(*[xp.asarray(a) for a in arrays])
    dx2 = back2(xp.asarray(dy))
    assert type(y2).__module__ == "strict_cupy"
    np.testing.assert_allclose(to_numpy(y2), y, rtol=1e-9, atol=1e-9)
    if dx is not None:
        ours, theirs = ([*z] if isinstance(z, tuple) else [z] for z in (dx, dx2))
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(to_numpy(b), a, rtol=1e-8, atol=1e-8)
    for name, p in net.parameters().items():
        np.testing.assert_allclose(to_numpy(p.grad), grads[name], rtol=1e-7, atol=1e-7, err_msg=name)


def test_a_mask_may_come_from_the_host(xp):
    net = models.UNet2DConditionModel(
        block_out_channels=(4,), norm_num_groups=2, layers_per_block=1, attention_head_dim=2, cross_attention_dim=3,
        down_block_types=("CrossAttnDownBlock2D",), up_block_types=("CrossAttnUpBlock2D",), rng=0).to("cuda")  # fmt: skip
    x, context = xp.asarray(Rng(0).standard_normal((2, 4, 4, 4))), xp.asarray(Rng(1).standard_normal((2, 5, 3)))
    assert net.predict(x, 3, models.TextCondition(context, np.ones((2, 5), bool))).shape == (2, 4, 4, 4)


def test_a_pipeline_on_the_device(xp, tmp_path):
    from minidiff import interop
    from minidiff.diffusion import Schedule

    net = models.UNet(sample_size=4, block_out_channels=(4,), norm_num_groups=2, attention_head_dim=4, layers_per_block=1,
                      num_class_embeds=3, null_class=2, rng=0)  # fmt: skip
    interop.save_pipeline(net, Schedule.linear(), tmp_path)
    options = dict(n=2, steps=3, cond=np.array([0, 1]), guidance=1.0, rng=0)
    here, there = interop.load(tmp_path).sample(**options), interop.load(tmp_path).to("cuda").sample(**options)
    np.testing.assert_allclose(to_numpy(there), here, atol=1e-4)
