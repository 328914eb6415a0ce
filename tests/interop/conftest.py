"""Two nets, ours and that of another library, held together: the same weights, forward, and every gradient."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def diffusers():
    return pytest.importorskip("diffusers")


@pytest.fixture
def pages_of():
    """pages_of(file): KiB of a mapped file that count as memory of this process."""
    maps = Path("/proc/self/smaps")
    if not maps.exists():
        pytest.skip("Linux tells what a mapped file takes")

    def run(file):
        lines = iter(maps.read_text().splitlines())
        inside = any(line.endswith(str(file)) for line in lines)
        return int(next(line for line in lines if line.startswith("Rss:")).split()[1]) if inside else None

    return run


@pytest.fixture
def stir(torch):
    """stir(module, seed): every parameter moved off its initial value, norms and zero-initialised ones included."""

    def run(module, seed=0, by=0.1):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for p in module.parameters():
                if p.requires_grad:
                    p.add_(torch.randn(p.shape, generator=generator) * by)
        return module.eval()

    return run


@pytest.fixture
def same_weights(torch):
    """same_weights(ours, theirs, prefix): load their weights, their names behind a prefix, with nothing left over."""
    from minidiff.interop.fit import fit

    def run(ours, theirs, prefix="", **options):
        weights = {prefix + name: p.detach().numpy() for name, p in theirs.named_parameters() if p.requires_grad}
        fit(ours, weights, **options)
        return ours

    return run


@pytest.fixture
def close(count):
    """close(ours, theirs, relative): equal within a share of the largest number, so that a NaN never is."""

    def run(ours, theirs, relative, floor=0.0, what=""):
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        assert ours.shape == theirs.shape, (what, ours.shape, theirs.shape)
        worst, scale = float(np.abs(ours - theirs).max(initial=0)), max(float(np.abs(theirs).max(initial=0)), floor)
        assert worst <= relative * scale, f"{what}: off by {worst:.2e} of {scale:.2e}, a share of {worst / scale:.2e}"
        count("outside")  # a whole tensor
        return worst / scale if scale else 0.0

    return run


@pytest.fixture
def same_gradients(torch, close):
    """same_gradients(ours, theirs): after both went back, every parameter's gradient agrees within `relative`.

    Gradients that are truly zero (a bias before a norm) are rounding noise on both sides: they are held to a share of the
    largest gradient of all instead of their own.
    """
    from minidiff.interop.layout import slots

    def run(ours, theirs, relative=1e-3, prefix=""):
        grads = {prefix + name: p.grad.numpy() for name, p in theirs.named_parameters() if p.requires_grad}
        own = slots(ours)
        assert set(own) == set(grads)
        largest = max(float(np.abs(g).max()) for g in grads.values())
        return max(close(own[n].torch(own[n].param.grad), grads[n], relative, 1e-8 * largest, n) for n in grads)

    return run


def first(x):
    """Channels first, as torch wants images.   (B, H, W, C) -> (B, C, H, W)"""
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


@pytest.fixture
def channels_first():
    return first
