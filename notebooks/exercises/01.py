"""Chapter 1: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import gradcheck, grading, ops

WITHOUT = {  # what an answer may not call
    "softmax": ["slope", "minidiff.ops.*"],
    "tanh": ["slope", "minidiff.ops.*"],
    "squared_matrix": ["minidiff.ops.*"],
    "gated": ["minidiff.ops.*"],
    "unit_rows": ["minidiff.models.clip.unit_vectors"],
}

# ---- 1


def tanh(x):
    y = np.tanh(x)

    def back(dy):
        return dy * (1 - y * y)

    return y, back


def check_forward():
    """the forward pass: gradcheck does not know which function was asked for"""
    x = np.array([[-2.0, -0.5, 0.0], [0.3, 1.0, 4.0]])
    y, _ = grading.parts(tanh(x), "y", "back")
    s = 1 / (1 + np.exp(-x))
    grading.same(y, np.tanh(x), "y", {
        "this is the sigmoid: tanh(x) = 2 sigmoid(2 x) - 1": s,
        "this is tanh of x / 2: the exponents are 2 x": np.tanh(x / 2),
        "this is the tangent, of trigonometry; tanh is the hyperbolic one": np.tan(x),
        "this is x itself": x,
    })
    y, _ = grading.parts(tanh(np.array([-800.0, 800.0])), "y", "back")
    grading.same(y, [-1.0, 1.0], "y at -800 and 800", {
        "NaN: e^800 is infinite; np.tanh knows how to avoid it": [np.nan, np.nan],
    })


def check_slope_far_out():
    """the slope where tanh is nearly flat, with a dy that is not 1"""
    x, dy = np.array([-3.0, -1.0, 0.0, 0.5, 3.0]), np.array([1.0, -2.0, 3.0, 0.5, -1.0])
    _, back = grading.parts(tanh(x), "y", "back")
    y = np.tanh(x)
    grading.same(back(dy), dy * (1 - y**2), "dx", {
        "dy is missing: the chain rule multiplies the slope by it": 1 - y**2,
        "the slope is 1 - y^2, with y = tanh(x), not 1 - x^2": dy * (1 - x**2),
        "the slope is 1 - y^2; this is 1 - y": dy * (1 - y),
        "y (1 - y) is the sigmoid's slope; tanh's is 1 - y^2": dy * y * (1 - y),
        "this is tanh of tanh: y has been through it already": dy * (1 - np.tanh(y) ** 2),
    })


# ---- 2


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)

    def back(dy):
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True))

    return y, back


def check_rows():
    """each row is normalised by itself, large numbers too"""
    x = np.array([[1.0, 2.0, 3.0], [1000.0, 1001.5, 999.0]])
    y, _ = grading.parts(softmax(x), "y", "back")
    with np.errstate(all="ignore"):
        e, columns = np.exp(x - x.max(axis=-1, keepdims=True)), np.exp(x - x.max(axis=0))
        naive = np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)
    grading.same(y, ops.softmax(x)[0], "y", {
        "normalised over all rows together: each row is by itself, axis=-1": e / e.sum(),
        "normalised down the columns: the sum runs over axis=-1": columns / columns.sum(axis=0),
        "exp of 1000 is infinite: subtract the largest number of the row first, it changes nothing": naive,
    })
    x = np.log(np.arange(1.0, 13).reshape(2, 3, 2))  # a batch of tables: exp(x) is 1, 2, 3, ...
    y, _ = grading.parts(softmax(x), "y", "back")
    grading.same(y, np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True), "y of shape (2, 3, 2)", {
        "normalised along axis 1; the sum runs over the last axis, axis=-1": np.exp(x) / np.exp(x).sum(axis=1, keepdims=True),
        "normalised along axis 0; the sum runs over the last axis, axis=-1": np.exp(x) / np.exp(x).sum(axis=0),
    })


def check_cross_talk():
    """every output of a row depends on every input of the row"""
    x, dy = np.array([[0.0, 1.0, 2.0], [1.0, -1.0, 0.5]]), np.array([[1.0, -2.0, 0.5], [0.3, 2.0, -1.0]])
    _, back = grading.parts(softmax(x), "y", "back")
    y = ops.softmax(x)[0]
    grading.same(back(dy), ops.softmax(x)[1](dy), "dx", {
        "a plain mean of dy; each dy_j is weighted with y_j: (dy * y).sum": y * (dy - dy.mean(axis=-1, keepdims=True)),
        "a plain sum of dy; each dy_j is weighted with y_j: (dy * y).sum": y * (dy - dy.sum(axis=-1, keepdims=True)),
        "y (1 - y) alone is one entry's slope by itself; the cross-talk of the row is missing": dy * y * (1 - y),
        "(dy * y).mean: it is a sum, the y are weights already": y * (dy - (dy * y).mean(axis=-1, keepdims=True)),
        "the sum runs over all rows; each row is by itself, axis=-1": y * (dy - (dy * y).sum()),
        "the factor y in front is missing": dy - (dy * y).sum(axis=-1, keepdims=True),
    })


# ---- 3


def squared_matrix(x):
    def back(dy):
        return dy @ x.T + x.T @ dy

    return x @ x, back


def check_both_terms():
    """dx has two terms, in the right order and transposed"""
    x, dy = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[1.0, -1.0], [0.5, 2.0]])
    y, back = grading.parts(squared_matrix(x), "y", "back")
    grading.same(y, x @ x, "y", {"entry by entry: the product of matrices is x @ x": x * x, "this is x x^T": x @ x.T})
    grading.same(back(dy), dy @ x.T + x.T @ dy, "dx", {
        "one term only: x is used twice, and this is its use on the left": dy @ x.T,
        "one term only: x is used twice, and this is its use on the right": x.T @ dy,
        "twice the first term: the second is x^T dy, matrices do not change places": 2 * dy @ x.T,
        "twice the second term: the first is dy x^T, matrices do not change places": 2 * x.T @ dy,
        "the transposes are missing: dy x^T + x^T dy": dy @ x + x @ dy,
        "2 x dy is the slope of a number's square; of a matrix it is dy x^T + x^T dy": 2 * x * dy,
    })


# ---- 4


def gated(x, w, v):
    p, (q, back_silu) = x @ w, silu(x @ v)

    def back(dy):
        dp, dpre = dy * q, back_silu(dy * p)
        return dp @ w.T + dpre @ v.T, x.T @ dp, x.T @ dpre

    return p * q, back


def check_each_gradient():
    """dx, dw and dv, each by itself"""
    x, w, v = (np.random.default_rng(k).standard_normal(shape) for k, shape in enumerate(((4, 3), (3, 5), (3, 5))))
    dy = np.random.default_rng(9).standard_normal((4, 5))
    y, back = grading.parts(gated(x, w, v), "y", "back")
    p, (q, back_silu) = x @ w, ops.silu(x @ v)
    grading.same(y, p * q, "y", {
        "w and v have changed places: silu belongs to x v": ops.silu(p)[0] * (x @ v),
        "this is silu of the product; the gate is silu(x v) alone": ops.silu(p * (x @ v))[0],
        "silu is missing: y = (x w) silu(x v)": p * (x @ v),
    })
    dx, dw, dv = grading.parts(back(dy), "dx", "dw", "dv")
    dp, dpre = dy * q, back_silu(dy * p)
    grading.same(dw, x.T @ dp, "dw", {
        "p and q have changed places: dp = dy q": x.T @ (dy * p),
        "dy has to be multiplied by the other factor, q = silu(x v)": x.T @ dy,
        "this is dv: the order is dx, dw, dv": x.T @ dpre,
    })
    grading.same(dv, x.T @ dpre, "dv", {
        "silu's own way back is missing: dq goes through back_silu": x.T @ (dy * p),
        "p is missing: dq = dy p": x.T @ back_silu(dy),
        "this is dw: the order is dx, dw, dv": x.T @ dp,
    })
    grading.same(dx, dp @ w.T + dpre @ v.T, "dx", {
        "only the way through x w; x is used a second time, in the gate": dp @ w.T,
        "only the way through the gate; x is used a second time, in x w": dpre @ v.T,
    })


def check_leaves_the_inputs_alone():
    """another call in between changes nothing, and nothing is written into"""
    x, w, v = (np.random.default_rng(k).standard_normal(shape) for k, shape in enumerate(((2, 3), (3, 2), (3, 2))))
    gradcheck.check(gated, x, w, v)
    kept = [a.copy() for a in (x, w, v)]
    y, back = gated(x, w, v)
    gated(x + 1, w - 1, v + 2)
    dy = np.array([[1.0, 2.0], [-1.0, 0.5]])
    first, second = back(dy), back(dy)
    for name, now, before, a, b in zip(("x", "w", "v"), (x, w, v), kept, first, second, strict=True):
        grading.same(now, before, name, {"it was written into": now})
        grading.same(b, a, f"d{name} of a second call of back")


# ---- 5


def unit_rows(x):
    length = np.sqrt((x * x).sum(axis=-1, keepdims=True))
    y = x / length

    def back(dy):
        return (dy - y * (dy * y).sum(axis=-1, keepdims=True)) / length

    return y, back


def check_length_and_direction():
    """y, and the gradient of each row"""
    x, dy = np.array([[3.0, 4.0, 0.0], [1.0, -2.0, 2.0]]), np.array([[1.0, -2.0, 0.5], [0.3, 2.0, -1.0]])
    y, back = grading.parts(unit_rows(x), "y", "back")
    length = np.array([[5.0], [3.0]])
    right = x / length
    grading.same(y, right, "y", {
        "divided by the length of all rows together: each row is by itself, axis=-1": x / np.sqrt(34),
        "the root is missing: this is divided by the squared length": x / length**2,
        "divided by the sum of absolute values; the length is the root of the sum of squares": x / np.array([[7.0], [5.0]]),
    })
    grading.same(back(dy), (dy - right * (dy * right).sum(axis=-1, keepdims=True)) / length, "dx", {
        "the length is taken for a constant, but it depends on every x of its row": dy / length,
        "the division by the length is missing": dy - right * (dy * right).sum(axis=-1, keepdims=True),
        "x stands for y in the sum: the row of length 1 is y": (dy - right * (dy * x).sum(axis=-1, keepdims=True)) / length,
    })


def check_complex_step():
    """y of complex numbers: its imaginary part is the slope"""
    x, v = np.array([[3.0, 4.0, 0.0]]), np.array([[1.0, -1.0, 2.0]])
    y, _ = grading.parts(unit_rows(x + 1e-100j * v), "y", "back")
    grading.same(np.imag(y) / 1e-100, np.array([[28.0, -21.0, 50.0]]) / 125, "the slope by a complex step", {
        "no slope at all: a real part, a cast or an absolute value took the imaginary part away": 0 * v,
        "the slope of the length is lost: `np.linalg.norm`, `abs` and `conj` are not analytic, (x * x).sum() is": v / 5,
    })


def check_no_eps_in_one_pass_alone():
    """forward and backward divide by the same length, to twelve digits"""
    gradcheck.check(unit_rows, np.array([[3.0, 4.0, 0.0], [1e-3, -2e-3, 2e-3]]), method="complex")
