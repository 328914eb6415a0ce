import numpy as np
import pytest

from minidiff.nn import Param
from minidiff.training import AdamW, Arena


def params(dtype=np.float32):
    return {"a": Param(np.arange(6, dtype=dtype).reshape(2, 3)), "b": Param(np.array(7, dtype)), "c": Param(np.ones(5, dtype))}


def test_values_and_gradients_move_in_and_stay_connected():
    p = params()
    p["a"].grad += 2
    arena = Arena(p)
    assert np.array_equal(p["a"].value, np.arange(6).reshape(2, 3)) and p["b"].value == 7 and p["b"].value.shape == ()
    assert np.array_equal(p["a"].grad, np.full((2, 3), 2)) and not p["c"].grad.any()
    arena.values[...] = 3
    assert all((x.value == 3).all() for x in p.values())
    p["c"].grad += 4
    assert arena.grads.sum() == 12 + 20
    arena.zero_grad()
    assert not p["c"].grad.any()


def test_replacing_a_value_that_lives_in_an_arena_raises():
    p = params()
    Arena(p)
    with pytest.raises(ValueError, match="arena"):
        p["a"].value = np.zeros((2, 3), np.float32)
    p["a"].value += 1  # writing is fine
    assert p["a"].value[0, 0] == 1


def test_gaps_between_parameters_stay_zero_through_steps():
    p = params()
    arena = Arena(p)
    optimizer = AdamW(arena, lr=0.1)
    arena.views(arena.grads)["a"][...] = 1
    optimizer.step()
    gap = np.ones(arena.size, bool)
    for span in arena.spans.values():
        gap[span] = False
    assert gap.any() and not arena.values[gap].any() and not arena.grads[gap].any()
    assert all(span.start % 16 == 0 for span in arena.spans.values())


def test_chunks_cover_everything_once():
    arena = Arena({"a": Param(np.zeros(300_001, np.float32)), "b": Param(np.zeros(7, np.float32))})
    seen = np.zeros(arena.size, int)
    for part in arena.chunks():
        seen[part] += 1
    assert (seen == 1).all() and len(arena.chunks()) == 3


def test_of_finds_the_arena_that_is_there():
    p = params()
    arena = Arena.of(p)
    assert Arena.of(p) is arena and Arena.of(arena) is arena
    part = Arena.of({"a": p["a"]})  # other company, so another arena: the old one must not be used any more
    assert part is not arena
    with pytest.raises(RuntimeError, match="moved"):
        arena.zero_grad()
    assert np.array_equal(p["a"].value, np.arange(6).reshape(2, 3))


def test_an_arena_that_nobody_holds_is_forgotten():
    p = params()
    Arena(p).values[...] = 5
    again = Arena.of(p)
    assert (p["a"].value == 5).all() and not again.moved
    again.values[...] = 6
    assert (p["a"].value == 6).all()


def test_norm_in_float64_where_float32_squares_overflow():
    p = {"a": Param(np.zeros(100_000, np.float32))}
    p["a"].grad[...] = 1e25
    assert Arena(p).grad_norm() == pytest.approx(float(np.float32(1e25)) * 100_000**0.5, rel=1e-12)


def test_first_bad_names_the_first_in_order():
    p = params()
    arena = Arena(p)
    assert arena.first_bad(arena.grads) is None
    p["c"].grad[2] = np.inf
    p["b"].grad[...] = np.nan
    assert arena.first_bad(arena.grads) == "b"


def test_load_lists_what_does_not_fit_and_writes_nothing():
    arena = Arena(params())
    flat = arena.zeros()
    state = {"a": np.ones((3, 2), np.float32), "c": np.ones((5, 1)), "d": np.ones(1, np.float32)}
    with pytest.raises(ValueError) as error:
        arena.load(flat, state, "EMA")
    for text in ("missing b", "unexpected d", "a is (3, 2), expected (2, 3)", "c is (5, 1), expected (5,)"):
        assert text in str(error.value)
    assert not flat.any()


def test_nothing_to_train_and_mixed_dtypes():
    with pytest.raises(ValueError, match="no parameters"):
        Arena({})
    with pytest.raises(ValueError, match="float32, float64"):
        Arena({"a": Param(np.zeros(2, np.float32)), "b": Param(np.zeros(2))})
