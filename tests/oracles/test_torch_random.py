"""torch's CPU numbers without torch: stored figures first, then torch itself where it is installed."""

import numpy as np
import pytest
from torch_random import TorchRandom


def test_seed_0_randn_begins_as_published():
    z = TorchRandom(0).standard_normal((4, 192))
    assert z.dtype == np.float32 and z.shape == (4, 192)
    np.testing.assert_allclose(z[0, :4], [-1.1258, -1.1524, -0.2506, -0.4339], atol=5e-5)


def test_stored_numbers():  # printed by torch 2.13 after manual_seed(0)
    np.testing.assert_array_equal(
        TorchRandom(0).random(3), np.array([0.49625658988952637, 0.7682217955589294, 0.08847743272781372], "f4")
    )
    np.testing.assert_allclose(
        TorchRandom(0).standard_normal(3), [1.5409960746765137, -0.293428897857666, -2.1787893772125244], rtol=1e-6
    )
    np.testing.assert_array_equal(TorchRandom(0).integers(0, 10, 8), [4, 9, 3, 0, 3, 9, 7, 3])
    np.testing.assert_array_equal(TorchRandom(0).permutation(5), [4, 0, 1, 3, 2])


SIZES = (1, 2, 15, 16, 17, 31, 33, 768, 5000)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("seed", (0, 123456789))
def test_against_torch(n, seed):
    """Every method, called in turn on one generator, so that each must also consume as many draws as torch does."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(seed)
    ours = TorchRandom(seed)
    f8 = torch.float64
    exact, close = np.testing.assert_array_equal, np.testing.assert_allclose
    for _ in range(2):
        close(ours.standard_normal(n), torch.randn(n).numpy(), atol=2e-6)
        exact(ours.random(n), torch.rand(n).numpy())
        close(ours.standard_normal(n, np.float64), torch.randn(n, dtype=f8).numpy(), atol=1e-14)
        exact(ours.random(n, np.float64), torch.rand(n, dtype=f8).numpy())
        exact(ours.uniform(-0.3, 0.7, n), torch.empty(n).uniform_(-0.3, 0.7).numpy())
        close(ours.normal(1.0, 0.02, n), torch.empty(n).normal_(1.0, 0.02).numpy(), atol=2e-7)
        exact(ours.integers(3, 1000, n), torch.randint(3, 1000, (n,)).numpy())
        exact(ours.permutation(n), torch.randperm(n).numpy())
