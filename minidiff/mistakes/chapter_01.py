"""Chapter 1, backward passes: known mistakes in `y, back = f(x)`."""

import numpy as np

from .. import ops
from ..grading import parts, same


def tanh(answer):
    x, dy = np.array([-3.0, -1.0, 0.0, 0.5, 3.0]), np.array([1.0, -2.0, 3.0, 0.5, -1.0])
    y, back = parts(answer(x), "y", "back")
    right = np.tanh(x)
    same(y, right, "y", {
        "this is the sigmoid: tanh(x) = 2 sigmoid(2 x) - 1": 1 / (1 + np.exp(-x)),
        "this is tanh of x / 2: the exponents are 2 x": np.tanh(x / 2),
        "this is the tangent, of trigonometry; tanh is the hyperbolic one": np.tan(x),
        "this is x itself": x,
    })
    same(back(dy), dy * (1 - right**2), "dx", {
        "dy is missing: the chain rule multiplies the slope by it": 1 - right**2,
        "the slope is 1 - y^2, with y = tanh(x), not 1 - x^2": dy * (1 - x**2),
        "the slope is 1 - y^2; this is 1 - y": dy * (1 - right),
        "y (1 - y) is the sigmoid's slope; tanh's is 1 - y^2": dy * right * (1 - right),
        "this is tanh of tanh: y has been through it already": dy * (1 - np.tanh(right) ** 2),
    })


def softmax(answer):
    x, dy = np.array([[0.0, 1.0, 2.0], [1.0, -1.0, 0.5]]), np.array([[1.0, -2.0, 0.5], [0.3, 2.0, -1.0]])
    y, back = parts(answer(x), "y", "back")
    right, back_right = ops.softmax(x)
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    same(y, right, "y", {
        "normalised over all rows together; each row is by itself, axis=-1": e / e.sum(),
        "normalised down the columns; the sum runs over axis=-1": np.exp(x) / np.exp(x).sum(axis=0),
    })
    same(back(dy), back_right(dy), "dx", {
        "a plain mean of dy; each dy_j is weighted with y_j": right * (dy - dy.mean(axis=-1, keepdims=True)),
        "a plain sum of dy; each dy_j is weighted with y_j": right * (dy - dy.sum(axis=-1, keepdims=True)),
        "y (1 - y) alone is one entry's slope by itself; the cross-talk of the row is missing": dy * right * (1 - right),
        "a mean of dy y; it is a sum, the y are weights already": right * (dy - (dy * right).mean(axis=-1, keepdims=True)),
        "the sum runs over all rows; each row is by itself, axis=-1": right * (dy - (dy * right).sum()),
        "the factor y in front is missing": dy - (dy * right).sum(axis=-1, keepdims=True),
    })


def squared_matrix(answer):
    x, dy = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[1.0, -1.0], [0.5, 2.0]])
    y, back = parts(answer(x), "y", "back")
    same(y, x @ x, "y", {"entry by entry: the product of matrices is x @ x": x * x, "this is x x^T": x @ x.T})
    same(back(dy), dy @ x.T + x.T @ dy, "dx", {
        "one term only: x is used twice, and this is its use on the left": dy @ x.T,
        "one term only: x is used twice, and this is its use on the right": x.T @ dy,
        "twice the first term; matrices do not commute": 2 * dy @ x.T,
        "twice the second term; matrices do not commute": 2 * x.T @ dy,
        "the transposes are missing": dy @ x + x @ dy,
        "2 x dy is the slope of a number's square, not of a matrix's": 2 * x * dy,
    })


def gated(answer):
    x, w, v, dy = _random((4, 3), (3, 5), (3, 5), (4, 5))
    y, back = parts(answer(x, w, v), "y", "back")
    p, (q, back_silu) = x @ w, ops.silu(x @ v)
    same(y, p * q, "y", {
        "w and v have changed places: silu belongs to x v": ops.silu(p)[0] * (x @ v),
        "this is silu of the product; the gate is silu(x v) alone": ops.silu(p * (x @ v))[0],
        "silu is missing: y = (x w) silu(x v)": p * (x @ v),
    })
    dx, dw, dv = parts(back(dy), "dx", "dw", "dv")
    dp, dpre = dy * q, back_silu(dy * p)
    same(dw, x.T @ dp, "dw", {
        "p and q have changed places": x.T @ (dy * p),
        "dy has to be multiplied by the other factor": x.T @ dy,
        "this is dv: the order is dx, dw, dv": x.T @ dpre,
    })
    same(dv, x.T @ dpre, "dv", {
        "silu's own way back is missing": x.T @ (dy * p),
        "p, the other factor, is missing": x.T @ back_silu(dy),
        "this is dw: the order is dx, dw, dv": x.T @ dp,
    })
    same(dx, dp @ w.T + dpre @ v.T, "dx", {
        "only the way through x w; x is used a second time, in the gate": dp @ w.T,
        "only the way through the gate; x is used a second time, in x w": dpre @ v.T,
    })


def unit_rows(answer):
    x, dy = np.array([[3.0, 4.0, 0.0], [1.0, -2.0, 2.0]]), np.array([[1.0, -2.0, 0.5], [0.3, 2.0, -1.0]])
    y, back = parts(answer(x), "y", "back")
    length = np.array([[5.0], [3.0]])
    right = x / length
    same(y, right, "y", {
        "divided by the length of all rows together; each row is by itself, axis=-1": x / np.sqrt(34),
        "the root is missing: this is divided by the squared length": x / length**2,
        "divided by the sum of absolute values; the length is the root of the sum of squares": x / np.array([[7.0], [5.0]]),
    })
    same(back(dy), (dy - right * (dy * right).sum(axis=-1, keepdims=True)) / length, "dx", {
        "the length is taken for a constant, but it depends on every x of its row": dy / length,
        "the division by the length is missing": dy - right * (dy * right).sum(axis=-1, keepdims=True),
        "x stands for y in the sum: the row of length 1 is y": (dy - right * (dy * x).sum(axis=-1, keepdims=True)) / length,
    })
    v = np.array([[1.0, -1.0, 2.0]])
    y, _ = parts(answer(x[:1] + 1e-100j * v), "y", "back")
    same(np.imag(y) / 1e-100, np.array([[28.0, -21.0, 50.0]]) / 125, "the slope by a complex step", {
        "no slope at all: a real part, a cast or an absolute value took the imaginary part away": 0 * v,
        "the slope of the length is lost: `np.linalg.norm`, `abs` and `conj` are not analytic, (x * x).sum() is": v / 5,
    })


# ---- build it: a layer, a network, a training loop


def linear_layer(answer):
    x, w, b, dy = _random((2, 3, 4), (4, 5), (5,), (2, 3, 5))
    y, back = parts(answer(x, w, b), "y", "back")
    same(y, x @ w + b, "y", {"the bias is missing": x @ w, "the bias is subtracted": x @ w - b})
    dx, dw, db = parts(back(dy), "dx", "dw", "db")
    rows, grads = x.reshape(-1, 4), dy.reshape(-1, 5)
    same(dx, dy @ w.T, "dx", {"this is dw: the order is dx, dw, db": rows.T @ grads})
    same(dw, rows.T @ grads, "dw", {
        "one matrix for each entry of the first axis: the same w serves them all, so they add up": x.swapaxes(1, 2) @ dy,
        "a mean over the rows; every row adds to dw": rows.T @ grads / len(rows),
        "it is transposed: dw has w's shape, (I, O)": grads.T @ rows,
    })
    same(db, grads.sum(axis=0), "db", {
        "summed over the first axis only: every axis but the last adds to db": dy.sum(axis=0),
        "a mean; every row adds to db": grads.mean(axis=0),
    })


def loss_and_gradients(answer):
    x, target, w1, b1, w2, b2 = _random((6, 2), (6, 1), (2, 3), (3,), (3, 1), (1,))
    loss, grads = parts(answer([(w1, b1), (w2, b2)], x, target), "loss", "gradients")
    z = x @ w1 + b1
    h, back_silu = ops.silu(z)
    error = h @ w2 + b2 - target
    same(loss, (error**2).mean(), "loss", {
        "a sum of squares; the loss is their mean": (error**2).sum(),
        "half the mean of squares; the loss here has no 1/2": (error**2).mean() / 2,
        "the mean of the errors, not of their squares": error.mean(),
        "there is a silu after the last layer; the output is the linear layer's": (
            (ops.silu(error + target)[0] - target) ** 2
        ).mean(),
        "no silu between the layers": ((z @ w2 + b2 - target) ** 2).mean(),
    })
    dy = error / 3
    dz, straight = back_silu(dy @ w2.T), dy @ w2.T
    right = [(x.T @ dz, dz.sum(axis=0)), (h.T @ dy, dy.sum(axis=0))]
    no_silu = [(x.T @ straight, straight.sum(axis=0)), right[1]]
    layers = parts(grads, "(dw, db) of layer 1", "(dw, db) of layer 2")
    for number in (1, 0):
        for k, (got, name) in enumerate(zip(parts(layers[number], "dw", "db"), ("dw", "db"), strict=True)):
            wanted = right[number][k]
            same(got, wanted, f"{name} of layer {number + 1}", {
                "the loss is a mean over the batch, so its gradient has a factor 1/B": 6 * wanted,
                "the square has the slope 2 (y - target); the 2 is missing": wanted / 2,
                "the gradient went past silu without its backward pass": no_silu[number][k],
            })


def train(answer):
    def bowl(params, x, target):
        """Its minimum moves with the batch, so that each batch counts."""
        ((w, b),) = params
        aim = x.mean()
        return float(((w - aim) ** 2).sum() + b @ b), [(2 * (w - aim), 2 * b)]

    w, b, x = np.array([[1.0], [2.0]]), np.array([3.0]), np.arange(8.0).reshape(8, 1)

    def walk(steps, lr=0.1, draw=lambda rng: rng.integers(8, size=2)):
        at, bias, losses, rng = w, b, [], np.random.default_rng(5)
        for _ in range(steps):
            loss, [(dw, db)] = bowl([(at, bias)], x[draw(rng)], None)
            at, bias = at - lr * dw, bias - lr * db
            losses.append(loss)
        return at, losses

    params, losses = parts(answer(bowl, [(w, b)], x, x, 3, 0.1, 2, np.random.default_rng(5)), "params", "losses")
    right, expected = walk(3)
    same(losses, expected, "losses", {
        "one loss too many: a loss for each step, of the parameters before they move": walk(4)[1],
        "uphill: the gradient points where the loss grows": walk(3, lr=-0.1)[1],
        "nothing moves: the next step has to use the new parameters": walk(3, lr=0.0)[1],
        "all rows in each step; a step sees only the rows that were drawn": walk(3, draw=lambda rng: slice(None))[1],
        "the first rows in each step; draw them: rng.integers(len(x), size=batch)": walk(3, draw=lambda rng: slice(2))[1],
    })
    same(parts(parts(params, "layer 1")[0], "w", "b")[0], right, "w after 3 steps", {
        "one step too few": walk(2)[0],
        "one step too many": walk(4)[0],
        "these are the parameters that it started from": w,
    })


def _random(*shapes):
    rng = np.random.default_rng(9)
    return [rng.standard_normal(shape) for shape in shapes]
