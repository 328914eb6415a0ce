import numpy as np
import pytest

from minidiff.nn import Param
from minidiff.training import EMA, AdamW

# EMAModel(decay=0.95).get_decay(step) of diffusers at step = n + 1; there the very first update (n = 0) copies instead
DIFFUSERS = {1: 2 / 11, 2: 3 / 12, 9: 10 / 19, 99: 100 / 109, 170: 0.95, 171: 0.95, 999: 0.95}


def params(value=1.0):
    return {"a": Param(np.full((2, 3), value)), "b": Param(np.full(70_000, value))}


def test_decay_warms_up_as_in_tensorflow_and_diffusers(outside):
    ema = EMA(params(), decay=0.95)
    assert ema.decay_at(0) == 0.1
    outside([ema.decay_at(n) for n in DIFFUSERS], list(DIFFUSERS.values()), 1e-15)
    assert EMA(params(), decay=0.95, warmup=False).decay_at(0) == 0.95


def test_average_of_a_constant_decay_in_closed_form():
    p = params(0.0)
    ema = EMA(p, decay=0.9, warmup=False)
    for k in range(1, 21):
        for param in p.values():
            param.value[...] = k
        ema.update()
    expected = sum(0.1 * 0.9 ** (20 - k) * k for k in range(1, 21))
    assert all(np.allclose(a, expected, rtol=1e-13) for a in ema.state().values())


def test_the_start_is_forgotten_in_a_short_run():
    p = params(1000.0)
    ema = EMA(p, decay=0.9999)
    for param in p.values():
        param.value[...] = 1.0
    for _ in range(20):
        ema.update()
    assert abs(ema.average[0] - 1) < 1e-3  # a decay of 0.9999 without warm-up would still stand at 998


def test_applied_and_back_to_the_bit(same):
    rng = np.random.default_rng(0)
    p = {"a": Param(rng.standard_normal(100_003).astype(np.float32)), "b": Param(np.array([0.0, -0.0, 1e-45], np.float32))}
    ema = EMA(p, decay=0.5)
    p["a"].value *= 3
    ema.update()
    weights = {name: param.value.copy() for name, param in p.items()}
    average = ema.average.copy()
    with ema.applied():
        assert same({n: x.value for n, x in p.items()}, {n: average[ema.arena.spans[n]] for n in p})
    assert same({n: x.value for n, x in p.items()}, weights) and same(ema.average, average)


def test_back_even_when_sampling_fails(same):
    p = params(2.0)
    ema = EMA(p)
    p["a"].value[...] = 5
    with pytest.raises(ZeroDivisionError), ema.applied():
        assert p["a"].value[0, 0] == 2
        raise ZeroDivisionError
    assert p["a"].value[0, 0] == 5 and not ema.swapped


def test_no_nesting_and_no_training_inside():
    ema = EMA(params())
    with ema.applied():
        with pytest.raises(RuntimeError, match="nested"), ema.applied():
            pass
        with pytest.raises(RuntimeError, match="leave"):
            ema.update()
    ema.update()


def test_shares_the_optimizers_arena():
    p = params()
    optimizer, ema = AdamW(p, lr=1.0, weight_decay=0.5), EMA(p, decay=0.0)
    assert optimizer.arena is ema.arena
    optimizer.step()
    ema.update()
    assert (ema.average[ema.arena.spans["b"]] == 0.5).all()


def test_decay_out_of_range():
    with pytest.raises(ValueError, match=r"decay: got 1.5"):
        EMA(params(), decay=1.5)
