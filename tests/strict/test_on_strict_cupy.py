"""Everything that computes runs on the stand-in for CuPy and gives NumPy's numbers."""

import numpy as np
import pytest

from minidiff import nn, ops, selfcheck
from minidiff.backend import to_numpy
from minidiff.diffusion import Denoiser, Schedule, SimpleLoss, cfg
from minidiff.models import UNet
from minidiff.nn import Layer
from minidiff.rng import Rng
from minidiff.samplers import SAMPLERS, sample
from minidiff.training import Trainer

SMALL = dict(in_channels=1, out_channels=1, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2,
             attention_head_dim=4, num_class_embeds=3, null_class=2)  # fmt: skip


def _up(xp, arrays):
    return [xp.asarray(a) if isinstance(a, np.ndarray) else a for a in arrays]


def _case(case, seed=3):
    rng = Rng(seed)
    return case(lambda low, high: int(rng.integers(low, high + 1)), lambda *s: rng.standard_normal(s, np.float64))


def _agree(ours, numpys):
    ours, numpys = (list(z) if isinstance(z, (tuple, list)) else [z] for z in (ours, numpys))
    for a, b in zip(ours, numpys, strict=True):
        assert type(a).__module__ == "strict_cupy" and a.dtype == b.dtype
        np.testing.assert_allclose(to_numpy(a), b, rtol=1e-9, atol=1e-9)


CLOSED_OVER = {
    "attention_with_mask",
    "embedding",
    "cross_entropy",
    "sliced_attention",
}  # their index or mask is not an argument


@pytest.mark.parametrize("case", [c for c in selfcheck.OPS if c.__name__ not in CLOSED_OVER], ids=lambda case: case.__name__)
def test_op(case, xp):
    f, arrays = _case(case)
    y, back = f(*arrays)
    with xp.no_sync():
        y2, back2 = f(*_up(xp, arrays))
        dy = Rng(1).standard_normal(y.shape, np.float64)
        grads2 = back2(xp.asarray(dy))
    _agree(y2, y)
    _agree(grads2, back(dy))


def test_ops_with_an_index_or_a_mask(xp):
    x, index, mask = Rng(0).standard_normal((2, 4, 6), np.float64), np.array([1, 0, 1]), np.tril(np.ones((4, 4), bool))
    for f, arrays in (
        (lambda t, i: ops.embedding(t, i), (x[0], index)),
        (lambda t, i: ops.cross_entropy(t[:3], i), (x[0], index)),
        (lambda t, m: ops.attention(t, t, t, 2, m), (x, mask)),
    ):
        y, back = f(*arrays)
        y2, back2 = f(*_up(xp, arrays))
        _agree(y2, y)
        if y.ndim:
            _agree(back2(xp.asarray(y)), back(y))


@pytest.mark.parametrize("case", selfcheck.LAYERS, ids=lambda case: case.__name__)
def test_layer(case, xp):
    layer, arrays = _case(case)
    layer.astype(np.float64)
    y, back = layer(*arrays)
    dy = Rng(1).standard_normal(y.shape, np.float64)
    layer.zero_grad()
    dx = back(dy)
    grads = {name: p.grad.copy() for name, p in layer.parameters().items()}
    layer.to("cuda")
    y2, back2 = layer(*_up(xp, arrays))
    dx2 = back2(xp.asarray(dy))
    _agree(y2, y)
    if dx is not None:
        _agree(dx2, dx)
    for name, p in layer.parameters().items():
        _agree(p.grad, grads[name])


def test_random_numbers_are_the_same(xp):
    for draw in (lambda r: r.random((3, 5)), lambda r: r.standard_normal(7), lambda r: r.integers(3, 9, (2, 3)),
                 lambda r: r.permutation(9), lambda r: r.standard_normal(5, np.float64)):  # fmt: skip
        with xp.no_sync():
            there = draw(Rng(5, 1, 2, xp=xp))
        here = draw(Rng(5, 1, 2))
        np.testing.assert_allclose(to_numpy(there), here, rtol=0, atol=2.4e-7)


def _trainer(device, steps=4):
    net = UNet(**SMALL, rng=0).astype(np.float64).to(device)  # Adam blows up float32 rounding where a gradient is near 0
    images = Rng(3).standard_normal((16, 8, 8, 1)).clip(-1, 1)
    return Trainer(
        net, SimpleLoss(Schedule.linear(100), "v"), images, np.arange(16) % 2, steps=steps, batch_size=4, lr=1e-3, seed=1
    )


def test_training_gives_numpys_numbers(xp):
    here, there = _trainer("cpu"), _trainer("cuda")
    for trainer in (here, there):
        trainer.run(progress=False)
    assert type(there.arena.values).__module__ == "strict_cupy"
    np.testing.assert_allclose(there.history.loss, here.history.loss, rtol=1e-9)
    np.testing.assert_allclose(to_numpy(there.arena.values), here.arena.values, atol=1e-9)


def test_a_training_step_never_waits_and_uploads_only_the_batch_indices(xp):
    trainer = _trainer("cuda", steps=10)
    trainer.step()  # tables of the schedule go up once
    for key in xp.STATS:
        xp.STATS[key] = 0
    with xp.no_sync():
        for _ in range(3):
            trainer.step()
    assert xp.STATS["syncs"] == 0 and xp.STATS["downloads"] == 0
    assert xp.STATS["uploads"] == 3


@pytest.mark.parametrize("name", SAMPLERS)
def test_sampler(name, xp):
    net = UNet(**SMALL, rng=0).astype(np.float64)
    cond = np.array([0, 1])
    steps = {"ddpm": 100, "probability_flow": 200}.get(name, 5)
    options = {"rtol": 0.1, "atol": 0.1} if name == "probability_flow" else {}

    def run(device):
        denoiser, labels = Denoiser(net.to(device), Schedule.linear(100), "v"), cond if device == "cpu" else xp.asarray(cond)
        if device == "cuda":
            denoiser.schedule.alpha(xp.asarray(cond))  # uploads nothing in the loop
        guided = cfg(denoiser, labels, 1.0)
        return sample(name, guided, (2, 8, 8, 1), steps=steps, rng=4, device=device, dtype=np.float64, **options)

    here = run("cpu")
    there = run("cuda")
    assert type(there).__module__ == "strict_cupy"
    np.testing.assert_allclose(to_numpy(there), here, rtol=1e-6, atol=1e-6)


# ---- the stand-in bites ---------------------------------------------------------------------------------------------------


def _mistakes(xp):
    x, host = xp.ones((3, 3)), np.ones((3, 3))

    def captured(call):
        def run():
            with xp.capturing():
                call()

        return run

    def unsynced(call):
        def run():
            with xp.no_sync():
                call()

        return run

    return {
        "host array in an operator": lambda: x + host,
        "host array first": lambda: host + x,
        "host array in place": lambda: x.__iadd__(host),
        "host array in a function": lambda: xp.maximum(x, host),
        "host array in an assignment": lambda: x.__setitem__(0, host[0]),
        "host array in an op": lambda: ops.linear(x, host),
        "host weights under a device input": lambda: nn.Linear(3, 2, rng=0)(x),
        "numpy's function on a device array": lambda: np.exp(x),
        "numpy's concatenate": lambda: np.concatenate([x, x]),
        "implicit conversion": lambda: np.asarray(x),
        "a name that CuPy lacks": lambda: xp.errstate(all="ignore"),
        "another": lambda: xp.block([[x]]),
        "a keyword that CuPy lacks": lambda: xp.sum(x, where=x > 0),
        "index with a list": lambda: x[[0, 1]],
        "index with a host array": lambda: x[np.array([0])],
        "duplicate indices in an assignment": lambda: x.__setitem__(xp.asarray(np.array([0, 0])), 1.0),
        "a list in a ufunc": lambda: xp.add(x, [1.0, 2.0, 3.0]),
        "float() in a training step": unsynced(lambda: float(x.sum())),
        "if in a training step": unsynced(lambda: 1 if x.sum() > 0 else 0),
        ".item() in a training step": unsynced(lambda: x.sum().item()),
        "a boolean mask in a training step": unsynced(lambda: x[x > 0]),
        "nonzero in a training step": unsynced(lambda: xp.nonzero(x)),
        "upload inside capture": captured(lambda: xp.asarray(host)),
        "matmul inside capture": captured(lambda: x @ x),
        "einsum inside capture": captured(lambda: xp.einsum("ij,jk->ik", x, x)),
    }


def test_planted_mistakes_are_all_caught(xp, count):
    for name, mistake in _mistakes(xp).items():
        with pytest.raises((TypeError, AttributeError, NotImplementedError)):
            mistake()
            pytest.fail(f"not caught: {name}")
        count("planted")


def test_layers_keep_their_forward_only_promise(xp):
    """predict on the device keeps nothing and waits for nothing."""
    net = UNet(**SMALL, rng=0).to("cuda")
    x, labels = xp.asarray(Rng(0).standard_normal((2, 8, 8, 1))), xp.asarray(np.array([0, 1]))
    assert isinstance(net, Layer)
    with xp.no_sync():
        net.predict(x, 5, labels)
