import json
from pathlib import Path

import numpy as np
import pytest

from minidiff.nn import Param
from minidiff.training import AdamW, clip_grad_norm

ORACLE = json.loads((Path(__file__).parent.parent / "oracles" / "adamw_torch.json").read_text())


def start(dtype=np.float64):
    return {
        "w": Param(np.linspace(-1, 1, 12).reshape(3, 4).astype(dtype)),
        "b": Param(np.linspace(0.5, -0.5, 5).astype(dtype)),
    }


def gradients(k):
    a, c = np.arange(12.0).reshape(3, 4), np.arange(5.0)
    return {"w": np.cos(0.7 * a + 0.3 * k) * (1 + 0.1 * a), "b": np.sin(c - 0.2 * k) + 0.05 * c}


@pytest.mark.parametrize("row", ORACLE["runs"], ids=["defaults", "others"])
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, ORACLE["tolerance"]), (np.float32, 2e-6)])
def test_fifty_steps_as_torch(row, dtype, tolerance, outside):
    params = start(dtype)
    optimizer = AdamW(params, row["lr"], row["betas"], row["eps"], row["weight_decay"])
    for k in range(50):
        optimizer.zero_grad()
        for name, g in gradients(k).items():
            params[name].grad += g.astype(dtype)
        optimizer.step()
        for name, expected in row["after"].get(str(k + 1), {}).items():
            outside(params[name].value.ravel(), expected, tolerance)
    assert params["w"].value.dtype == dtype


def test_against_torch_itself_where_it_is_installed():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(s) for s in ((300, 400), (7,), ())]
    params = {str(i): Param(v.copy()) for i, v in enumerate(values)}
    theirs = [torch.nn.Parameter(torch.tensor(v)) for v in values]
    ours, reference = AdamW(params, lr=3e-3, weight_decay=0.05), torch.optim.AdamW(theirs, lr=3e-3, weight_decay=0.05)
    for _ in range(50):
        for mine, their in zip(params.values(), theirs, strict=True):
            g = rng.standard_normal(mine.shape)
            mine.grad[...] = g
            their.grad = torch.tensor(g)
        norm = clip_grad_norm(params, 100.0)
        assert float(norm) == pytest.approx(float(torch.nn.utils.clip_grad_norm_(theirs, 100.0)), rel=1e-12)
        ours.step()
        reference.step()
    for mine, their in zip(params.values(), theirs, strict=True):
        np.testing.assert_allclose(mine.value, their.detach().numpy(), rtol=1e-10, atol=1e-12)


def test_the_decay_does_not_pass_through_the_moments():
    p = {"p": Param(np.array([2.0]))}
    AdamW(p, lr=0.1, weight_decay=0.5).step()  # no gradient: only the decay is left
    assert p["p"].value[0] == 2.0 * (1 - 0.1 * 0.5)


def test_a_numpy_learning_rate_keeps_float32():
    p = {"p": Param(np.ones(3, np.float32))}
    p["p"].grad += 1
    AdamW(p).step(lr=np.float64(1e-2))
    assert p["p"].value.dtype == np.float32 and p["p"].value[0] == pytest.approx(1 - 1e-2 - 1e-4, rel=1e-6)


@pytest.mark.parametrize("length, expected", [(5.0, 5.0), (0.5, 0.5)])
def test_clip_shortens_only_what_is_too_long(length, expected):
    p = {"a": Param(np.zeros(2)), "b": Param(np.zeros(1))}
    p["a"].grad[...] = [0.6 * length, 0]
    p["b"].grad[...] = 0.8 * length
    norm = clip_grad_norm(p, 1.0)
    assert float(norm) == pytest.approx(expected)
    after = float(np.hypot(p["a"].grad[0], p["b"].grad[0]))
    assert after == pytest.approx(min(length, 1.0), rel=1e-5) and p["a"].grad[0] / after == pytest.approx(0.6)


def test_clip_without_a_limit_only_measures():
    p = {"a": Param(np.zeros(2))}
    p["a"].grad[...] = [3, 4]
    assert clip_grad_norm(p, None) == 5 and p["a"].grad[1] == 4


def test_state_goes_out_and_comes_back(same):
    params, other = start(), start()
    first, second = AdamW(params), AdamW(other)
    for k in range(6):
        for name, g in gradients(k).items():
            params[name].grad[...] = g
            other[name].grad[...] = g
        first.step()
        if k < 3:
            second.step()
        if k == 2:  # a third optimizer goes on from what the second had
            third = AdamW(start())
            third.load_state(second.state(), second.t)
            third.arena.values[...] = second.arena.values
        if k >= 3:
            third.arena.grads[...] = first.arena.grads
            third.step()
    assert same(first.arena.values, third.arena.values) and same(first.m, third.m) and same(first.v, third.v)


@pytest.mark.parametrize(
    "name, value",
    [("lr", -1), ("betas", (0.9, 1.0)), ("betas", (0.9,)), ("eps", 0), ("weight_decay", float("nan"))],
)
def test_numbers_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"^{name}: got"):
        AdamW(start(), **{name: value})


def test_incomplete_state():
    with pytest.raises(ValueError, match="missing v"):
        AdamW(start()).load_state({"m": {}}, 3)
