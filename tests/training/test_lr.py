import pytest

from minidiff.training import learning_rate

# get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=10, num_training_steps=100) of transformers
COSINE = {0: 0, 1: 0.1, 5: 0.5, 9: 0.9, 10: 1, 11: 0.9996954135095479, 50: 0.5868240888334653, 99: 3.0458649045211894e-4}


def test_cosine_as_in_transformers(outside):
    outside([learning_rate(step, lr=1.0, steps=100, warmup=10) for step in COSINE], list(COSINE.values()), 1e-15)


def test_constant_after_warmup():
    assert [learning_rate(s, lr=2.0, steps=9, warmup=4, curve="constant") for s in (0, 2, 4, 8)] == [0.0, 1.0, 2.0, 2.0]


def test_no_warmup_starts_at_the_top_and_ends_at_zero():
    assert learning_rate(0, lr=3e-4, steps=50) == 3e-4
    assert learning_rate(50, lr=3e-4, steps=50) == learning_rate(80, lr=3e-4, steps=50) == 0.0


def test_unknown_curve():
    with pytest.raises(ValueError, match="'linear', expected one of cosine, constant"):
        learning_rate(0, lr=1.0, steps=10, curve="linear")
