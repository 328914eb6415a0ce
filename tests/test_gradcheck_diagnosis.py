"""What `gradcheck` says of functions that cannot be checked as they are: it names the cause, and never a missing term.

The right verdicts are known by construction: each function below has one defect, or none. The slopes quoted at a kink are
those of the closed form (relu: 0 and 1).
"""

import numpy as np
import pytest

from minidiff import gradcheck, nn, ops
from minidiff.gradcheck import GradientError, check, check_layer, numerical_grad


def randn(*shape):
    return np.random.default_rng(3).standard_normal(shape)


def message(f, *arrays, kind=GradientError):
    with pytest.raises(kind) as caught:
        check(f, *arrays)
    return str(caught.value)


# ---- functions that are right ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [float, np.float64, np.asarray])
def test_a_loss_that_is_a_plain_number_is_checked(number):
    x = randn(3, 4)
    assert check(lambda x: (number((x * x).sum()), lambda dy=1.0: 2 * x * dy), x)[0] < 1e-8
    text = message(lambda x: (number((x * x).sum()), lambda dy=1.0: 3 * x * dy), x)
    assert "1.5" in text and "kink" not in text  # 3 x is 1.5 times 2 x


def test_a_plain_number_as_gradient_of_a_number():
    assert check(lambda a: (float(a) ** 3, lambda dy: float(3 * a * a * dy)), np.array(2.0))[0] < 1e-8


def test_numerical_grad_of_a_plain_number_is_the_slope():
    x = randn(2, 3)
    assert np.allclose(numerical_grad(lambda x: float((x * x).sum()), x, 1.0), 2 * x, atol=1e-8)


def test_a_layer_whose_loss_is_a_plain_number():
    class Loss(nn.Layer):
        def __init__(self):
            self.weight = nn.Param(randn(3))

        def forward(self, x):
            w = self.weight

            def back(dy=1.0):
                w.grad += 2 * w.value * dy * x.sum()
                return np.full(x.shape, (w.value**2).sum() * dy)

            return float((w.value**2).sum() * x.sum()), back

    assert max(check_layer(Loss(), randn(2, 2)).values()) < 1e-8


# ---- what is wrong, by name -----------------------------------------------------------------------------------------------


def test_a_back_that_returns_nothing_is_named():
    def f(x, y):
        def back(dy):
            dy * y, dy * x

        return x * y, back

    assert message(f, randn(3), randn(3)) == (
        "back returned None, expected 2 gradients, in the order of the arguments: no `return`?"
    )
    assert message(lambda x, y: (x * y, lambda dy: (dy * y, None)), randn(3), randn(3)) == (
        "argument 1: its gradient is None, expected an array of the argument's shape"
    )
    assert "argument 0: its gradient is a str, expected" in message(lambda x: (x, lambda dy: "dx"), randn(3))


def test_a_layer_whose_back_returns_nothing_is_named():
    class Silent(nn.Layer):
        def __init__(self):
            self.weight = nn.Param(randn(3))

        def forward(self, x):
            return x * self.weight.value, lambda dy: None

    with pytest.raises(GradientError, match="back returned None, expected 1 gradients"):
        check_layer(Silent(), randn(2, 3))


def test_a_forward_that_returns_something_else_is_named():
    assert message(lambda x: None, randn(3), kind=TypeError).startswith("f: got None, expected y, back = f")
    assert message(lambda x: x, randn(3), kind=TypeError).startswith("f: got a ndarray, expected y, back = f")
    assert (
        message(lambda x: ((x, x), lambda dy: dy), randn(3), kind=TypeError)
        == "f: its y is a tuple, expected one array or a number"
    )


def test_relu_at_0_is_a_kink_with_slopes_0_and_1():
    x = np.array([[0.0]])
    text = message(ops.relu, x)
    assert "a kink at x (ReLU at 0" in text and "missing" not in text and "lies between them" in text
    dy = float(text.rpartition("forward's slope is ")[2].split()[0]), float(text.partition("one side and ")[2].split()[0])
    assert sorted(map(abs, dy))[0] == 0 and sorted(map(abs, dy))[1] > 0.01


def test_a_kink_among_many_entries_and_one_close_by():
    x = randn(4, 5)
    x[1, 2] = 0.0
    assert "a kink at x" in message(ops.relu, x)
    x[1, 2] = 1e-7  # within the step of the check, and relu's backward is right
    assert "a kink within 1e-05 of x" in message(ops.relu, x)
    x[1, 2] = 0.3
    assert check(ops.relu, x)[0] < 1e-8
    equal = np.ones((2, 3))  # the maximum of equal numbers
    assert "kink" in message(lambda x: (x.max(axis=1), lambda dy: (x == x.max(axis=1, keepdims=True)) * dy[:, None]), equal)


def test_a_wrong_backward_at_a_kink_is_reported_as_such():
    assert "lies outside them, so it is wrong too" in message(lambda x: (abs(x), lambda dy: 5 * dy), np.array([0.0]))


def test_a_smooth_function_with_a_wrong_backward_has_no_kink():
    for scale in (1.0, 30.0):  # curved strongly, too
        x = randn(3, 4)
        text = message(lambda x, s=scale: (np.sin(s * x), lambda dy: s * dy * np.cos(s * x) * (1 + 0.1 * x)), x)
        assert "kink" not in text and "usual cause" in text


def test_a_fresh_dropout_mask_is_not_a_missing_term():
    rng = np.random.default_rng(0)
    text = message(lambda x: ops.dropout(x, 0.5, rng), randn(4, 5))
    assert "f is not deterministic: two calls on the same arguments differ by up to" in text and "missing" not in text
    mask = rng.random((4, 5)) < 0.5
    assert check(lambda x: (x * mask, lambda dy: dy * mask), randn(4, 5))[0] < 1e-8


def test_dropout_inside_a_layer_is_named_too():
    class Dropped(nn.Layer):
        def __init__(self):
            self.linear, self.dropout = nn.Linear(4, 4, rng=0), nn.Dropout(0.5)

        def forward(self, x):
            h, back_linear = self.linear(x)
            y, back_dropout = self.dropout(h)
            return y, lambda dy: back_linear(back_dropout(dy))

    with nn.training(np.random.default_rng(0)), pytest.raises(GradientError, match="f is not deterministic"):
        check_layer(Dropped(), randn(3, 4))
    check_layer(Dropped(), randn(3, 4))  # outside of training, nothing is dropped


def test_a_torch_tensor_is_named_with_the_way_to_numpy():
    torch = pytest.importorskip("torch")
    x = torch.randn(3, dtype=torch.float64)
    expected = "got a torch.Tensor, expected a NumPy or CuPy array (for torch: x.detach().numpy())"
    assert message(lambda x: (2 * x, lambda dy: 2 * dy), x, kind=TypeError) == f"argument 0: {expected}"
    assert message(lambda x: (torch.tensor(x), lambda dy: dy), randn(3), kind=TypeError) == f"f: its y: {expected}"
    text = message(lambda x: (x, lambda dy: torch.tensor(dy)), randn(3), kind=TypeError)
    assert text == f"argument 0: its gradient: {expected}"


def test_the_diagnoses_of_wrong_gradients_are_where_they_were():
    assert gradcheck.diagnose(-np.ones(3), np.ones(3), np.ones(3)) == ["a sign: the gradient is exactly the negative"]


# ---- how y and x are connected --------------------------------------------------------------------------------------------


def test_the_slope_of_an_entry_by_entry_function_is_quoted():
    """tanh with 1 - x^2 for 1 - y^2: by the closed form the slope is 1 - tanh(x)^2."""
    x = np.array([[0.5, -2.0]])
    text = message(lambda x: (np.tanh(x), lambda dy: dy * (1 - x**2)), x)
    assert (
        "y[0, 1] depends on argument 0[0, 1] alone. At argument 0 = -2, y = -0.964028 the slope is 0.0706508, "
        "and back multiplies dy by -3" in text
    )
    assert "softmax" not in text


def test_cross_terms_that_are_missing_are_named():
    """Of a row of 4, all 4 inputs move each output of a softmax; the diagonal alone is y (1 - y)."""

    def softmax(x):
        y = ops.softmax(x)[0]
        return y, lambda dy: dy * y.real * (1 - y.real)

    text = message(softmax, randn(3, 4))
    assert (
        "y[0, 0] depends on 4 entries of argument 0, and back carries its gradient to 1 of them, not to argument 0[0, 1]"
        in text
    )


def test_entries_that_get_too_much_are_named():
    def rows(x):
        y = x * x
        return y, lambda dy: (2 * x * dy + dy.sum(axis=0)).real

    assert "y[0, 0] does not depend on argument 0[1, 0], and back carries its gradient there" in message(rows, randn(3, 4))


def test_by_differences_too():
    text = message(lambda x: (abs(x.real) ** 1.5 * np.sign(x.real), lambda dy: dy * (1 - x**2)), randn(2, 3) + 3)
    assert "alone. At argument 0 = " in text and "the formula of the slope" in text


def test_wrong_factors_are_quoted():
    """x x has the gradient dy x' + x' dy; without the transposes it reaches the same entries."""
    x = randn(3, 3)
    text = message(lambda x: (x @ x, lambda dy: dy @ x + x @ dy), x)
    assert "back reaches the right entries with wrong factors. From y[" in text


def test_a_constant_factor_close_to_1_is_shown_with_its_digits():
    assert "a constant factor of 1.00002" in message(lambda x: (x * x, lambda dy: 2.00004 * x.real * dy), randn(3, 4))


def test_a_dy_that_is_not_used_is_named():
    assert "back(0) is not 0" in message(lambda x: (np.tanh(x), lambda dy: 1 - np.tanh(x) ** 2), randn(3, 4))
