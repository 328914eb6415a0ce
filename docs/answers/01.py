"""Chapter 1: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import gradcheck, grading, ops

WITHOUT = {  # what an answer may not call
    "softmax": ["slope", "minidiff.ops.*"],
    "tanh": ["slope", "minidiff.ops.*"],
    "squared_matrix": ["minidiff.ops.*"],
    "gated": ["minidiff.ops.*"],
    "unit_rows": ["minidiff.models.clip.unit_vectors"],
    "linear_layer": ["linear", "minidiff.ops.*"],
    "loss_and_gradients": ["network", "minidiff.nn.Linear", "minidiff.nn.Sequential"],
}

# ---- 1


def tanh(x):
    y = np.tanh(x)

    def back(dy):
        return dy * (1 - y * y)

    return y, back


def check_forward():
    """the forward pass, far out and in float32"""
    y, _ = grading.parts(tanh(np.array([[-800.0, -2.0, 0.0], [0.3, 4.0, 800.0]])), "y", "back")
    grading.same(y, [[-1.0, -0.9640275800758169, 0.0], [0.2913126124515909, 0.999329299739067, 1.0]], "y", {
        "NaN: e^800 is infinite; np.tanh knows how to avoid it": [
            [np.nan, -0.9640275800758169, 0.0], [0.2913126124515909, 0.999329299739067, np.nan]],
    })
    assert tanh(np.ones(2, np.float32))[0].dtype == np.float32, "y of float32 numbers is not float32"


def check_slope_far_out():
    """the slope where tanh is nearly flat, in a table"""
    x, dy = np.array([[-6.0, -1.5, 0.1], [2.0, 5.0, 9.0]]), np.array([[1.0, -2.0, 3.0], [0.5, -1.0, 2.0]])
    _, back = grading.parts(tanh(x), "y", "back")
    grading.same(back(dy), dy / np.cosh(x) ** 2, "dx")


# ---- 2


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)

    def back(dy):
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True))

    return y, back


def check_rows():
    """each row is normalised by itself, with large numbers and in a batch of tables too"""
    x = np.array([[1000.0, 1001.5, 999.0], [-2000.0, 0.0, 1.0]])
    y, _ = grading.parts(softmax(x), "y", "back")
    with np.errstate(all="ignore"):
        naive = np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)
    grading.same(y, ops.softmax(x)[0], "y", {
        "exp of 1000 is infinite: subtract the largest number of the row first, it changes nothing": naive,
    })
    x = np.log(np.arange(1.0, 13).reshape(2, 3, 2))  # a batch of tables: exp(x) is 1, 2, 3, ...
    y, _ = grading.parts(softmax(x), "y", "back")
    grading.same(y, np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True), "y of shape (2, 3, 2)", {
        "normalised along axis 1; the sum runs over the last axis, axis=-1": np.exp(x) / np.exp(x).sum(axis=1, keepdims=True),
        "normalised along axis 0; the sum runs over the last axis, axis=-1": np.exp(x) / np.exp(x).sum(axis=0),
    })


def check_cross_talk():
    """every output of a row depends on every input of the row, in a batch of tables"""
    rng = np.random.default_rng(3)
    x, dy = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 4))
    _, back = grading.parts(softmax(x), "y", "back")
    grading.same(back(dy), ops.softmax(x)[1](dy), "dx")


# ---- 3


def squared_matrix(x):
    def back(dy):
        return dy @ x.T + x.T @ dy

    return x @ x, back


def check_both_terms():
    """dx has two terms, in the right order and transposed"""
    x, dy = np.arange(9.0).reshape(3, 3) ** 1.5, np.arange(9.0)[::-1].reshape(3, 3) - 2
    y, back = grading.parts(squared_matrix(x), "y", "back")
    grading.same(y, x @ x, "y")
    grading.same(back(dy), dy @ x.T + x.T @ dy, "dx")


# ---- 4


def gated(x, w, v):
    p, (q, back_silu) = x @ w, silu(x @ v)

    def back(dy):
        dp, dpre = dy * q, back_silu(dy * p)
        return dp @ w.T + dpre @ v.T, x.T @ dp, x.T @ dpre

    return p * q, back


def check_each_gradient():
    """y, dx, dw and dv, of one row and of many"""
    for rows in (1, 7):
        rng = np.random.default_rng(rows)
        x, w, v, dy = (rng.standard_normal(shape) for shape in ((rows, 2), (2, 4), (2, 4), (rows, 4)))
        y, back = grading.parts(gated(x, w, v), "y", "back")
        p, (q, back_silu) = x @ w, ops.silu(x @ v)
        grading.same(y, p * q, "y")
        dx, dw, dv = grading.parts(back(dy), "dx", "dw", "dv")
        dp, dpre = dy * q, back_silu(dy * p)
        grading.same(dw, x.T @ dp, "dw")
        grading.same(dv, x.T @ dpre, "dv")
        grading.same(dx, dp @ w.T + dpre @ v.T, "dx")


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
    """y, and the gradient of each row, in a batch of tables"""
    x = np.array([[[3.0, 4.0], [5.0, -12.0]], [[-8.0, 15.0], [7.0, 24.0]]])
    dy = np.array([[[1.0, -2.0], [0.3, 2.0]], [[-1.0, 0.5], [2.0, 3.0]]])
    y, back = grading.parts(unit_rows(x), "y", "back")
    length = np.array([[[5.0], [13.0]], [[17.0], [25.0]]])
    right = x / length
    grading.same(y, right, "y")
    grading.same(back(dy), (dy - right * (dy * right).sum(axis=-1, keepdims=True)) / length, "dx")


def check_complex_step():
    """y of complex numbers: its imaginary part is the slope"""
    x, v = np.array([[1.0, -2.0, 2.0]]), np.array([[2.0, 1.0, 0.5]])
    y, _ = grading.parts(unit_rows(x + 1e-100j * v), "y", "back")
    grading.same(np.imag(y) / 1e-100, np.array([[17.0, 11.0, 2.5]]) / 27, "the slope by a complex step")


def check_no_eps_in_one_pass_alone():
    """forward and backward divide by the same length, to twelve digits"""
    gradcheck.check(unit_rows, np.array([[3.0, 4.0, 0.0], [1e-3, -2e-3, 2e-3]]), method="complex")


# ---- 6


def linear_layer(x, w, b):
    def back(dy):
        rows, grads = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
        return dy @ w.T, rows.T @ grads, grads.sum(axis=0)

    return x @ w + b, back


def check_any_axes():
    """one row, a table, and four axes"""
    for shape in ((3,), (5, 3), (2, 1, 4, 3)):
        rng = np.random.default_rng(len(shape))
        x, w, b = rng.standard_normal(shape), rng.standard_normal((3, 2)), rng.standard_normal(2)
        y, _ = grading.parts(linear_layer(x, w, b), "y", "back")
        grading.same(y, ops.linear(x, w, b)[0], f"y, for x of shape {shape}")
        gradcheck.check(linear_layer, x, w, b)


# ---- 7


def loss_and_gradients(params, x, target):
    h, backs = x, []
    for number, (w, b) in enumerate(params):
        h, back = linear(h, w, b)
        backs.append(back)
        if number < len(params) - 1:
            h, back = silu(h)
            backs.append(back)
    dh, grads = 2 * (h - target) / h.size, []
    for back in reversed(backs):
        dh = back(dh)
        if isinstance(dh, tuple):
            dh, dw, db = dh
            grads.insert(0, (dw, db))
    return ((h - target) ** 2).mean(), grads


def check_one_layer_and_three():
    """networks of one layer and of three, with two outputs"""
    for sizes in ((3, 2), (3, 4, 5, 2)):
        rng = np.random.default_rng(len(sizes))
        params = [(rng.standard_normal(pair), rng.standard_normal(pair[1])) for pair in zip(sizes, sizes[1:], strict=False)]
        x, target = rng.standard_normal((7, 3)), rng.standard_normal((7, 2))

        def loss(*arrays, x=x, target=target):
            pairs = list(zip(arrays[::2], arrays[1::2], strict=True))
            h = x
            for w, b in pairs[:-1]:
                h = h @ w + b
                h = h / (1 + np.exp(-h))
            return ((h @ pairs[-1][0] + pairs[-1][1] - target) ** 2).mean()

        flat = [a for pair in params for a in pair]
        got, grads = grading.parts(loss_and_gradients(params, x, target), "loss", "gradients")
        grading.same(got, loss(*flat), f"the loss of {len(params)} layers")
        found = [a for pair in grads for a in grading.parts(pair, "dw", "db")]
        grading.same(len(found), len(flat), "the number of gradients")
        for k, (gradient, array) in enumerate(zip(found, flat, strict=True)):
            moved = [*flat[:k], array + 1e-100j * rng.standard_normal(array.shape), *flat[k + 1 :]]
            slope = np.imag(loss(*moved)) / 1e-100
            grading.same((gradient * np.imag(moved[k])).sum() / 1e-100, slope, f"d{'wb'[k % 2]} of layer {k // 2 + 1}")


# ---- 8


def train(loss_and_gradients, params, x, target, steps, lr, batch, rng):
    losses = []
    for _ in range(steps):
        rows = rng.integers(len(x), size=batch)
        loss, grads = loss_and_gradients(params, x[rows], target[rows])
        params = [(w - lr * dw, b - lr * db) for (w, b), (dw, db) in zip(params, grads, strict=True)]
        losses.append(loss)
    return params, losses


def check_rows_of_both():
    """x and target keep together, the parameters given stay, and a line is learnt"""
    def line(params, x, target):
        ((w, b),) = params
        error = x @ w + b - target
        return float((error**2).mean()), [(2 * x.T @ error / len(x), 2 * error.mean(axis=0))]

    rng = np.random.default_rng(2)
    x = rng.standard_normal((50, 2))
    target = x @ np.array([[2.0], [-1.0]]) + 0.5
    start = [(np.zeros((2, 1)), np.zeros(1))]
    params, losses = grading.parts(train(line, start, x, target, 200, 0.1, 8, np.random.default_rng(7)), "params", "losses")
    grading.same(len(losses), 200, "the number of losses")
    drawn = np.random.default_rng(7).integers(50, size=8)  # the rows of the first step; w and b are 0
    grading.same(losses[0], (target[drawn] ** 2).mean(), "the first loss, of 8 rows drawn", {
        "it is the loss of all rows": (target**2).mean(), "it is the loss of the first 8 rows": (target[:8] ** 2).mean(),
    })
    grading.same(params[0][0], [[2.0], [-1.0]], "w", rtol=1e-3)
    grading.same(params[0][1], [0.5], "b", rtol=1e-3)
    grading.same(start[0][0], np.zeros((2, 1)), "the w that it started from", {"it was written into": params[0][0]})
