"""The functions of an examination paper: right sources with sizes and constants drawn for one student, and bugs to inject.

Each `make_...(draw)` returns a Function. Its text is the formula for the student, its source is right, and each of its bugs is
one change of that source. `draw` is a random.Random of one student.
"""

import textwrap
from typing import NamedTuple

EASY, MEDIUM, HARD = "easy", "medium", "hard"


class Bug(NamedTuple):
    level: str
    old: str  # stands in the source exactly once
    new: str
    what: str  # for the teacher


class Function(NamedTuple):
    name: str
    text: str  # the formula, for the student
    source: str
    bugs: list
    arrays: str  # an expression for its arguments, from `rng` and `n`, a size
    check: str = "gradients"  # or "values", for a function without a backward pass


def _source(text, **values):
    text = textwrap.dedent(text).strip("\n")
    for name, value in values.items():
        text = text.replace(f"<{name}>", str(value))
    return text


def make_affine(draw):
    scale, axis = draw.choice(("0.5", "0.25", "3.0", "1.5")), draw.choice(("w", "b"))
    bias = {"w": f"{scale} * (x @ w) + b", "b": f"{scale} * (x @ w + b)"}[axis]
    back = {"w": "dy", "b": f"({scale} * dy)"}[axis]
    source = _source(
        """
        def affine(x, w, b):
            rows = x.reshape(-1, x.shape[-1])
            y = <bias>

            def back(dy):
                flat = <scale> * dy.reshape(-1, dy.shape[-1])
                dx = (flat @ w.T).reshape(x.shape)
                dw = rows.T @ flat
                db = <back>.reshape(-1, dy.shape[-1]).sum(axis=0)
                return dx, dw, db

            return y, back
        """,
        bias=bias, scale=scale, back=back,
    )  # fmt: skip
    bugs = [
        Bug(EASY, ".sum(axis=0)", ".mean(axis=0)", "db is a mean over the rows"),
        Bug(EASY, f"flat = {scale} * dy", "flat = dy", "the factor is missing in dx and dw"),
        Bug(EASY, "dw = rows.T @ flat", "dw = rows.T @ (flat - flat.mean(axis=0))", "dw loses the mean of dy"),
        Bug(MEDIUM, "dw = rows.T @ flat", "dw = rows.T @ flat * (1 - 1e-8)", "dw is short by one part in 1e8"),
    ]
    text = f"y = {bias}, for x of shape (..., I), w (I, O) and b (O,)"
    return Function(
        "affine", text, source, bugs, "[rng.standard_normal((2, n, 3)), rng.standard_normal((3, 4)), rng.standard_normal(4)]"
    )


def make_gate(draw):
    k, kind = draw.choice(("1.702", "2.0", "0.8", "1.25")), draw.choice(("logistic", "tanh"))
    gate, slope = {
        "logistic": (f"1 / (1 + np.exp(-{k} * x))", f"{k} * s * (1 - s)"),
        "tanh": (f"0.5 * (1 + np.tanh({k} * x))", f"2 * {k} * s * (1 - s)"),
    }[kind]
    source = _source(
        """
        def gate(x, u):
            s = <gate>
            y = x * s * u

            def back(dy):
                slope = <slope>
                dx = dy * u * (s + x * slope)
                du = dy * x * s
                return dx, du

            return y, back
        """,
        gate=gate, slope=slope,
    )  # fmt: skip
    bugs = [
        Bug(EASY, "(s + x * slope)", "s", "dx leaves out that the gate depends on x"),
        Bug(EASY, "du = dy * x * s", "du = dy * s", "du lacks the factor x"),
        Bug(EASY, f"{k} * s * (1 - s)", "s * (1 - s)", f"the factor {k} of the chain rule is missing"),
        Bug(MEDIUM, "s + x * slope", "s - x * slope", "a sign in dx"),
        Bug(
            HARD, f"{k} * s * (1 - s)", f"np.float32({k}) * 1.0000001 * s * (1 - s)", "the slope is wrong in the seventh digit"
        ),
    ]
    text = f"y = x s u with s = {gate}, entry by entry, for x and u of the same shape"
    return Function("gate", text, source, bugs, "[rng.standard_normal((n, 3)), rng.standard_normal((n, 3))]")


def make_normalise(draw):
    eps, centred = draw.choice(("1e-3", "1e-2", "1e-4")), draw.choice((True, False))
    centre = "x - x.mean(axis=-1, keepdims=True)" if centred else "x"
    through = "g - g.mean(axis=-1, keepdims=True)" if centred else "g"
    source = _source(
        """
        def normalise(x, gamma):
            c = <centre>
            r = 1 / np.sqrt((c * c).mean(axis=-1, keepdims=True) + <eps>)
            z = c * r
            y = z * gamma

            def back(dy):
                dz = dy * gamma
                g = r * (dz - z * (dz * z).mean(axis=-1, keepdims=True))
                dx = <through>
                dgamma = (dy * z).reshape(-1, z.shape[-1]).sum(axis=0)
                return dx, dgamma

            return y, back
        """,
        centre=centre, eps=eps, through=through,
    )  # fmt: skip
    bugs = [
        Bug(EASY, "dgamma = (dy * z)", "dgamma = (dy * c)", "dgamma from the numbers before they were normalised"),
        Bug(EASY, "dz = dy * gamma", "dz = dy", "gamma is missing in dx"),
        Bug(MEDIUM, "(dz * z).mean(axis=-1, keepdims=True)", "(dz * z).sum(axis=-1, keepdims=True)", "a sum for a mean"),
        Bug(MEDIUM, "g = r * (dz - z", "g = (dz - z", "the factor 1 / sqrt(...) is missing"),
        Bug(HARD, "z * (dz * z).mean(axis=-1, keepdims=True)",
            "c * (dz * c).mean(axis=-1, keepdims=True) / (c * c).mean(axis=-1, keepdims=True)",
            "epsilon is left out of the backward pass"),
    ]  # fmt: skip
    if centred:
        bugs.append(Bug(MEDIUM, "dx = g - g.mean(axis=-1, keepdims=True)", "dx = g", "the path through the mean is missing"))
    text = f"y = gamma z, z = c / sqrt(mean(c^2) + {eps}), c = {'x - mean(x)' if centred else 'x'}; means over the last axis"
    return Function("normalise", text, source, bugs, "[rng.standard_normal((2, n, 5)), rng.standard_normal(5)]")


def make_blocks(draw):
    k, kind = draw.choice((2, 3)), draw.choice(("mean", "sum"))
    factor = {"mean": f" / {k * k}", "sum": ""}[kind]
    source = _source(
        """
        def blocks(x):
            B, H, W, C = x.shape
            tiles = x.reshape(B, H // <k>, <k>, W // <k>, <k>, C)
            y = tiles.sum(axis=(2, 4))<factor>

            def back(dy):
                wide = dy.repeat(<k>, axis=1)
                dx = wide.repeat(<k>, axis=2)<factor>
                return dx

            return y, back
        """,
        k=k, factor=factor,
    )  # fmt: skip
    wrong = {"mean": (f".repeat({k}, axis=2) / {k * k}", f".repeat({k}, axis=2) / {k}"),
             "sum": (f"dx = wide.repeat({k}, axis=2)", f"dx = wide.repeat({k}, axis=2) / {k}")}[kind]  # fmt: skip
    bugs = [
        Bug(EASY, *wrong, "a wrong factor in dx"),
        Bug(EASY, f"wide = dy.repeat({k}, axis=1)", f"wide = np.tile(dy, (1, {k}, 1, 1))", "rows are tiled, not repeated"),
        Bug(
            MEDIUM,
            f"dx = wide.repeat({k}, axis=2){factor}",
            f"dx = wide.repeat({k}, axis=2)[:, :, ::-1]{factor}",
            "columns are turned round",
        ),
    ]
    text = f"the {kind} of each {k} x {k} block of an image (B, H, W, C)"
    return Function("blocks", text, source, bugs, f"[rng.standard_normal((2, {k} * n, {2 * k}, 3))]")


def make_attend(draw):
    scale = draw.choice(("d**-0.5", "0.5 * d**-0.5", "2 / d"))
    source = _source(
        """
        def attend(q, k, v):
            d = q.shape[-1]
            scale = <scale>
            scores = scale * (q @ k.swapaxes(1, 2))
            e = np.exp(scores - scores.max(axis=-1, keepdims=True))
            a = e / e.sum(axis=-1, keepdims=True)
            y = a @ v

            def back(dy):
                da = dy @ v.swapaxes(1, 2)
                ds = a * (da - (da * a).sum(axis=-1, keepdims=True))
                dq = scale * (ds @ k)
                dk = scale * (ds.swapaxes(1, 2) @ q)
                dv = a.swapaxes(1, 2) @ dy
                return dq, dk, dv

            return y, back
        """,
        scale=scale,
    )
    bugs = [
        Bug(
            EASY,
            "dv = a.swapaxes(1, 2) @ dy",
            "dv = (a.swapaxes(1, 2) @ dy) * scale",
            "the scale in dv, where it does not belong",
        ),
        Bug(MEDIUM, "dk = scale * (ds", "dk = (ds", "the scale is missing in dk"),
        Bug(MEDIUM, "(da * a).sum(axis=-1", "(da * a).mean(axis=-1", "a mean for a sum in the softmax"),
        Bug(
            HARD,
            "ds = a * (da - (da * a)",
            "ds = a * (da - (da * a.mean(axis=0))",
            "the softmax uses the weights' mean over the batch",
        ),
    ]
    text = f"y = softmax(scale q k^T) v, scale = {scale}, for q (B, N, d), k (B, M, d), v (B, M, e)"
    arrays = "[rng.standard_normal((2, n, 3)), rng.standard_normal((2, 4, 3)), rng.standard_normal((2, 4, 2))]"
    return Function("attend", text, source, bugs, arrays)


def make_slide(draw):
    K, step = draw.choice((3, 5)), draw.choice((1, 2))
    pad = (K // 2) * step
    source = _source(
        """
        def slide(x, w):
            B, N, C = x.shape
            padded = np.zeros((B, N + 2 * <pad>, C), x.dtype)
            padded[:, <pad> : <pad> + N] = x
            y = sum(padded[:, i * <step> : i * <step> + N] @ w[i] for i in range(<K>))

            def back(dy):
                dpadded = np.zeros((B, N + 2 * <pad>, C), dy.dtype)
                dw = np.zeros(w.shape, dy.dtype)
                for i in range(<K>):
                    seen = slice(i * <step>, i * <step> + N)
                    dpadded[:, seen] += dy @ w[i].T
                    dw[i] = padded[:, seen].reshape(B * N, C).T @ dy.reshape(B * N, -1)
                return dpadded[:, <pad> : <pad> + N], dw

            return y, back
        """,
        K=K, step=step, pad=pad,
    )  # fmt: skip
    bugs = [
        Bug(EASY, "dpadded[:, seen] += dy", "dpadded[:, seen] = dy", "each tap overwrites the gradient of the one before"),
        Bug(MEDIUM, "dy @ w[i].T", f"dy @ w[{K - 1} - i].T", "the kernel is turned round in dx"),
        Bug(MEDIUM, f"return dpadded[:, {pad} : {pad} + N]", f"return dpadded[:, {pad - 1} : {pad - 1} + N]",
            "dx is cut out one place too early"),
        Bug(HARD, f"for i in range({K}):\n            seen",
            f"for i in range({K - 1} if N > {3 * K} else {K}):\n            seen",
            "the last tap is left out for long inputs"),
    ]  # fmt: skip
    text = f"a convolution along an axis: y[n] = sum over i < {K} of x[n + {step} i - {pad}] w[i], with zeros outside; "
    text += f"x is (B, N, C) and w ({K}, C, O)"
    return Function(
        "slide", text, source, bugs, f"[rng.standard_normal((2, {4 * K} + n, 2)), rng.standard_normal(({K}, 2, 3))]"
    )


def make_huber(draw):
    delta, weight = draw.choice(("0.5", "1.0", "0.3")), draw.choice(("w", "w * w"))
    source = _source(
        """
        def huber(prediction, target, w):
            error = prediction - target
            root = np.sqrt(error * error + <delta>**2)
            loss = (<weight> * (root - <delta>)).mean()

            def back(dloss):
                derror = dloss * <weight> * error / root / error.size
                dw = dloss * <slope> * (root - <delta>) / error.size
                return derror, -derror, dw

            return loss, back
        """,
        delta=delta, weight=weight, slope={"w": "1.0", "w * w": "2 * w"}[weight],
    )  # fmt: skip
    bugs = [
        Bug(EASY, "return derror, -derror, dw", "return derror, derror, dw", "the sign of the target's gradient"),
        Bug(EASY, "error / root / error.size", "error / root", "the mean's factor is missing"),
        Bug(EASY, "derror = dloss * ", "derror = ", "dloss is not used in the gradient of the error"),
        Bug(
            MEDIUM,
            "error / root / error.size",
            "error / root / len(error)",
            "the mean runs over all numbers, not over the batch",
        ),
    ]
    text = f"the mean over all numbers of {weight} (sqrt(e^2 + {delta}^2) - {delta}), e = prediction - target"
    arrays = "[rng.standard_normal((n, 3)), rng.standard_normal((n, 3)), rng.random((n, 3)) + 0.5]"
    return Function("huber", text, source, bugs, arrays)


def make_times(draw):
    period, order = (
        draw.choice(("1000.0", "10000.0", "500.0")),
        draw.choice(("np.sin(angle), np.cos(angle)", "np.cos(angle), np.sin(angle)")),
    )
    offset = draw.choice((0, 1))
    source = _source(
        """
        def times(t, dim):
            half = dim // 2
            exponent = np.arange(half) / (half - <offset>)
            angle = t[:, None] * <period> ** -exponent
            return np.concatenate([<order>], axis=1)
        """,
        period=period, offset=offset, order=order,
    )  # fmt: skip
    swapped = ", ".join(reversed(order.split(", ")))
    bugs = [
        Bug(EASY, order, swapped, "sines and cosines have changed places"),
        Bug(EASY, "** -exponent", "** exponent", "the sign of the exponent"),
        Bug(MEDIUM, f"(half - {offset})", f"(half - {1 - offset})", "the divisor of the exponent"),
        Bug(HARD, f"{period} ** -exponent", f"({period} + 1) ** -exponent", "the period is off by one"),
    ]
    text = f"embeddings (B, dim) of times: angles t {period}^(-i / (half - {offset})), i < half = dim / 2; [{order}]"
    return Function("times", text, source, bugs, "[rng.random(n) * 100, 8]", "values")


def make_step(draw):
    eta = draw.choice(("0.0", "0.5", "1.0"))
    source = _source(
        """
        def step(x, eps, noise, alpha_bar, t, s):
            now, then = alpha_bar[t], alpha_bar[s]
            x0 = (x - np.sqrt(1 - now) * eps) / np.sqrt(now)
            added = <eta> * np.sqrt((1 - then) / (1 - now) * (1 - now / then))
            kept = np.sqrt(1 - then - added**2)
            return np.sqrt(then) * x0 + kept * eps + added * noise
        """,
        eta=eta,
    )
    bugs = [
        Bug(EASY, "/ np.sqrt(now)", "/ np.sqrt(then)", "x0 is divided by the root of the wrong time"),
        Bug(MEDIUM, "kept = np.sqrt(1 - then", "kept = np.sqrt(1 - now", "the noise that is kept is that of t"),
        Bug(MEDIUM, "np.sqrt(then) * x0", "then * x0", "a root is missing"),
        Bug(
            HARD,
            "kept = np.sqrt(1 - then - added**2)",
            "kept = np.sqrt(1 - then) - added",
            "deviations are subtracted in place of variances",
        ),
        Bug(HARD, "(1 - now / then)", "(1 - now)", "the variance of one step is that of all"),
    ]
    if eta == "0.0":
        bugs = bugs[:3]
    text = (
        f"a step of DDIM from t to s < t with eta = {eta} (Song et al. 2021, equation 12), from the eps that a model predicts"
    )
    arrays = "[*rng.standard_normal((3, n, 2)), np.linspace(0.99, 0.01, 20), 15, 6]"
    return Function("step", text, source, bugs, arrays, "values")


def make_mean(draw):
    steps = draw.choice((20, 30, 50))
    source = _source(
        """
        def mean(x, v, betas, t):
            alpha_bar = np.cumprod(1 - betas)
            now, before = alpha_bar[t], alpha_bar[t - 1]
            x0 = np.sqrt(now) * x - np.sqrt(1 - now) * v
            of_x0 = np.sqrt(before) * betas[t] / (1 - now)
            of_xt = np.sqrt(1 - betas[t]) * (1 - before) / (1 - now)
            return of_x0 * x0 + of_xt * x
        """
    )
    bugs = [
        Bug(EASY, "np.sqrt(1 - now) * v", "(1 - now) * v", "a root is missing in x0"),
        Bug(EASY, "np.cumprod(1 - betas)", "1 - np.cumsum(betas)", "a product is replaced by its first order"),
        Bug(MEDIUM, "np.sqrt(before) * betas[t]", "np.sqrt(now) * betas[t]", "alpha_bar of t in place of t - 1"),
        Bug(
            HARD,
            "np.sqrt(1 - betas[t]) * (1 - before)",
            "np.sqrt(1 - betas[t]) * (1 - now / (1 - betas[t - 1]))",
            "alpha_bar of t - 1 is made with the wrong beta",
        ),
    ]
    text = "the mean of q(x_(t-1) | x_t, x0) (Ho et al. 2020, equation 7), with x0 from a prediction of v"
    arrays = f"[*rng.standard_normal((2, n, 2)), np.linspace(1e-3, 0.2, {steps}), {steps // 2}]"
    return Function("mean", text, source, bugs, arrays, "values")


MAKERS = (
    make_affine,
    make_gate,
    make_normalise,
    make_blocks,
    make_attend,
    make_slide,
    make_huber,
    make_times,
    make_step,
    make_mean,
)
