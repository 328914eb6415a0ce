# %% [markdown]
# # 1. Backward by hand
#
# Training changes every number of a network a little, in the direction that lowers the loss. For each number it must know: *if
# this number grows a little, does the loss rise or fall, and how fast?* The answer for all numbers together is the
# **gradient**, and computing it is the **backward pass**. Most libraries do this for you, out of sight. Here we write it
# ourselves. It is shorter than you may expect, and there is a simple way to check that it is right.
#
# At the end of this chapter you will have trained a small network with only NumPy and derivatives that you wrote yourself.
#
# {{install}}
# The code below needs neither the internet nor a GPU.

# %%
import os

import numpy as np

from minidiff import gradcheck, grading, mistakes, nn, ops, viz
from minidiff.data import toys

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
rng = np.random.default_rng(0)

# %% [markdown]
# ## What does a backward pass compute?
#
# Take the simplest layer, a **linear** layer. It multiplies its input $x$ by a matrix of weights $w$ and adds a bias $b$:
#
# $$y = x\,w + b.$$
#
# $x$ contains $B$ examples of $I$ numbers each, so it is a $B \times I$ matrix; $w$ is $I \times O$ and $y$ is $B \times O$.
# The layers after this one compute a single number from $y$, the loss $L$. Suppose they hand back $\partial L/\partial y$, a
# matrix of $y$'s shape. It gives the rate at which $L$ changes with each entry of $y$. We write `dy` for it, and `dx` for
# $\partial L/\partial x$. In general, *`dz` is always the derivative of the loss by `z`, and it has the shape of `z`.*
#
# For a single entry, $y_{no} = \sum_i x_{ni} w_{io} + b_o$. The number $x_{ni}$ appears in all entries of row $y_{n\cdot}$,
# each time multiplied by one $w_{io}$, so $dx_{ni} = \sum_o dy_{no} w_{io}$. The numbers $w_{io}$ and $b_o$ appear in every
# example, so their derivatives are sums over the examples. In matrices:
#
# $$dx = dy\,w^T, \qquad dw = x^T dy, \qquad db = \sum_n dy_n.$$
#
# All of minidiff is built on one idea: **a function returns its result together with a second function, which carries the
# gradient back.**

# %%
def linear(x, w, b):
    """y = x w + b.   x (B, I)   w (I, O)   b (O,)   ->   y (B, O)"""

    def back(dy):
        return dy @ w.T, x.T @ dy, dy.sum(axis=0)

    return x @ w + b, back


rng = np.random.default_rng(3)
x, w, b = rng.standard_normal((4, 3)), rng.standard_normal((3, 5)), rng.standard_normal(5)
y, back = linear(x, w, b)
dy = rng.standard_normal(y.shape)
dx, dw, db = back(dy)
assert dx.shape == x.shape and dw.shape == w.shape and db.shape == b.shape
print("x", x.shape, " w", w.shape, " b", b.shape, "  ->   y", y.shape)

# %% [markdown]
# `back` was made inside `linear`, so it can still use the `x` and `w` of that one call. Such a function is called a *closure*.
# The layer needs no other storage.

# %% [markdown]
# ## How do I know that the gradient is right?
#
# Compare it with the forward pass. A derivative is a slope, and a slope can be measured. Move one entry $x_i$ up by a small
# $h$, then down by $h$, and see how much the loss changes:
#
# $$\frac{\partial L}{\partial x_i} \approx \frac{L(x + h\,e_i) - L(x - h\,e_i)}{2h}.$$
#
# Here $e_i$ is 1 at entry $i$ and 0 elsewhere. Any loss will do for the test. The simplest one whose derivative by $y$ is
# exactly `dy` is $L = \sum dy \cdot y$. This estimate of a derivative is called a *finite difference*.

# %%
def slope(f, x, dy, h=1e-5):
    """The gradient of sum(dy * f(x)) by every entry of x, from 2 forward passes for each."""
    dx = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        dx[index] = (dy * (f(up) - f(down))).sum() / (2 * h)
    return dx


for name, ours, measured in [
    ("dx", dx, slope(lambda x: linear(x, w, b)[0], x, dy)),
    ("dw", dw, slope(lambda w: linear(x, w, b)[0], w, dy)),
    ("db", db, slope(lambda b: linear(x, w, b)[0], b, dy)),
]:
    print(f"{name}: backward pass and measured slope differ by at most {np.abs(ours - measured).max():.1e}")
    assert np.abs(ours - measured).max() < 1e-8

# %% [markdown]
# ## Why two forward passes, and why $h = 10^{-5}$?
#
# The one-sided slope $\bigl(L(x+h) - L(x)\bigr)/h$ needs only one extra pass, but its error shrinks like $h$; the error of the
# two-sided slope shrinks like $h^2$. And $h$ must not be *too* small. Then $L(x+h)$ and $L(x-h)$ agree in nearly all digits,
# and their difference is mostly rounding error. Let us measure this on $e^{\sin x}$, whose derivative we know.

# %%
def f(x):
    return np.exp(np.sin(x))


h = 10.0 ** np.arange(-12, 0.1, 0.25)
x1 = 0.3
true = np.cos(x1) * f(x1)
one_sided = np.abs((f(x1 + h) - f(x1)) / h - true)
two_sided = np.abs((f(x1 + h) - f(x1 - h)) / (2 * h) - true)
x32, h32 = np.float32(x1), h.astype(np.float32)
single = np.abs((f(x32 + h32) - f(x32 - h32)) / (2 * h32) - true)  # the two-sided slope in float32

figure = viz.new_figure(6.4, 3.8, "tight")
axes = figure.add_subplot()
for error, label, colour in [
    (one_sided, "one-sided, float64", viz.COLOURS[4]),
    (two_sided, "two-sided, float64", viz.COLOURS[0]),
    (single, "two-sided, float32", viz.COLOURS[1]),
]:
    axes.loglog(h, np.maximum(error, 1e-13), color=colour, label=label)
axes.axvline(1e-5, color="grey", linestyle=":", linewidth=1)
axes.set(xlabel="step h", ylabel="error of the slope", title="Error of a finite difference", ylim=(1e-13, 3))
axes.legend(frameon=False, fontsize=9)
figure

# %%
at = [np.argmin(np.abs(h - 10.0**k)) for k in (-3, -4, -5)]  # positions of h = 1e-3, 1e-4, 1e-5
print("error of the two-sided slope at h = 1e-3, 1e-4, 1e-5:", ", ".join(f"{two_sided[i]:.0e}" for i in at))
assert two_sided[at[0]] / two_sided[at[1]] > 90 and one_sided[at[0]] / one_sided[at[1]] < 11  # shrinks like h^2, and like h
assert two_sided[at[2]] < 1e-9 < 1e-6 < one_sided[at[2]]
assert np.median(single[h < 1e-3]) > 1e-4  # in float32 rounding dominates before the slope is accurate
print(f"smallest error: one-sided {one_sided.min():.0e}, two-sided {two_sided.min():.0e}, "
      f"two-sided in float32 {single.min():.0e}")  # fmt: skip

# %% [markdown]
# In float32 the error rises again below $h \approx 10^{-2}$, long before the slope is accurate. Its smallest error is larger
# than the error of many real bugs. So **gradients are checked in float64**, whatever dtype the network is trained in.

# %% [markdown]
# ## A nonlinear function: SiLU
#
# Several linear layers in a row are only one linear layer, so a network needs something nonlinear between them. Diffusion
# networks use **SiLU**, the input times its sigmoid $s(x)$:
#
# $$\text{silu}(x) = x\,s(x), \qquad s(x) = \frac{1}{1 + e^{-x}}.$$
#
# The product rule and $s' = s(1-s)$ give $\ \text{silu}'(x) = s + x\,s(1-s)$. SiLU acts on each entry separately, so its
# backward pass multiplies `dy` by this derivative, entry by entry.

# %%
def silu(x):
    """x * sigmoid(x), entry by entry.   any shape"""
    s = 1 / (1 + np.exp(-x))

    def back(dy):
        return dy * (s + x * s * (1 - s))

    return x * s, back


rng = np.random.default_rng(12)
x, dy = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))
assert np.abs(silu(x)[1](dy) - slope(lambda x: silu(x)[0], x, dy)).max() < 1e-8

line = np.linspace(-6, 6, 200)
figure = viz.new_figure(5.2, 3.2, "tight")
axes = figure.add_subplot()
axes.plot(line, silu(line)[0], color=viz.COLOURS[0], label="silu(x)")
axes.plot(line, silu(line)[1](np.ones_like(line)), color=viz.COLOURS[1], label="its derivative")
axes.axhline(0, color="grey", linewidth=0.6)
axes.set(xlabel="x", ylim=(-0.6, 4), title="SiLU and its derivative")
axes.legend(frameon=False)
figure

# %% [markdown]
# ## The chain rule: call the backward functions in reverse order
#
# In $x \to h \to y$, a small change of $x$ changes $h$, and that changes $y$. The gradient takes the opposite way:
# $dy \to dh \to dx$. No new formula is needed, because each `back` takes the gradient that the next one returns. Below, values
# go forward in blue and gradients go back in orange.

# %%
FORWARD, BACKWARD = viz.COLOURS[0], viz.COLOURS[1]


def diagram(width, height, boxes, arrows):
    """Boxes {text: (x, y)}, and arrows (text, from, to, colour) between points, in inches.   ->   Figure"""
    figure = viz.new_figure(width, height)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    for text, (x, y) in boxes.items():
        edge = dict(boxstyle="round,pad=0.4", facecolor="#f1f3f5", edgecolor="grey")
        axes.text(x, y, text, ha="center", va="center", fontsize=11, bbox=edge)
    for text, start, end, colour in arrows:
        axes.annotate("", end, start, arrowprops=dict(arrowstyle="->", color=colour, linewidth=1.4))
        (x, y), side = np.add(start, end) / 2, 1 if colour == FORWARD else -1  # forward: text above; backward: below
        if start[0] == end[0]:
            axes.text(x + 0.08, y, text, color=colour, ha="left", va="center")
        else:
            axes.text(x, y + 0.06 * side, text, color=colour, ha="center", va="bottom" if side > 0 else "top")
    return figure


def there_and_back(value, gradient, start, end):
    """Two arrows beside each other, one for a value and one for its gradient."""
    (x, y), (to_x, to_y) = start, end
    return [(value, (x, y + 0.08), (to_x, to_y + 0.08), FORWARD), (gradient, (to_x, to_y - 0.08), (x, y - 0.08), BACKWARD)]


diagram(6.4, 1.8, {"linear": (2.1, 0.9), "silu": (4.3, 0.9)}, [
    *there_and_back("x", "dx", (0.4, 0.9), (1.7, 0.9)),
    *there_and_back("h", "dh", (2.5, 0.9), (3.98, 0.9)),
    *there_and_back("y", "dy", (4.62, 0.9), (6.0, 0.9)),
    ("w, b", (2.1, 1.65), (2.1, 1.15), FORWARD),
    ("dw, db", (2.1, 0.65), (2.1, 0.15), BACKWARD),
])  # fmt: skip

# %% [markdown]
# One rule completes the chain rule. **The gradient of a value that is used $k$ times is a sum of $k$ terms**, because a change
# of the value reaches the loss along $k$ paths. In $y = x + \text{silu}(x w + b)$, called a
# *[residual block](../docs/glossary.md#residual-block)*, $x$ is used twice: once directly and once through the layers.

# %%
def residual(x, w, b):
    """y = x + silu(x w + b).   x (B, D)   w (D, D)   b (D,)   ->   y (B, D)"""
    h, back_linear = linear(x, w, b)
    a, back_silu = silu(h)

    def back(dy):
        dx, dw, db = back_linear(back_silu(dy))
        return dy + dx, dw, db  # x was used twice, so two terms

    return x + a, back


rng = np.random.default_rng(14)
x, w, b = rng.standard_normal((4, 3)), rng.standard_normal((3, 3)), rng.standard_normal(3)
y, back = residual(x, w, b)
dy = rng.standard_normal(y.shape)
assert np.abs(back(dy)[0] - slope(lambda x: residual(x, w, b)[0], x, dy)).max() < 1e-8

diagram(6.4, 2.1, {"x": (1.3, 1.5), "+": (5.1, 1.5), "linear": (2.5, 0.6), "silu": (3.9, 0.6)}, [
    *there_and_back("", "dx (a sum)", (0.2, 1.5), (1.1, 1.5)),
    *there_and_back("x", "dy (unchanged)", (1.5, 1.5), (4.9, 1.5)),
    *there_and_back("", "", (1.45, 1.3), (2.15, 0.8)),
    *there_and_back("h", "dh", (2.87, 0.6), (3.62, 0.6)),
    *there_and_back("", "", (4.2, 0.8), (4.95, 1.3)),
    *there_and_back("y", "dy", (5.3, 1.5), (6.2, 1.5)),
])  # fmt: skip

# %% [markdown]
# The gradient returns along two paths, through the layers and past them, and the two are added at $x$. The direct path carries
# `dy` back unchanged, however many blocks follow each other. This is one reason why deep networks are built from such blocks.
#
# ## Why not store what backward needs in `self`?
#
# Many tutorials write a layer as an object that keeps its input in `self.cache` until `backward` is called. It looks tidy, and
# it passes our test:

# %%
class CachedLinear:
    def __init__(self, w, b):
        self.w, self.b = w, b

    def forward(self, x):
        self.cache = x
        return x @ self.w + self.b

    def backward(self, dy):
        self.dw = self.cache.T @ dy
        return dy @ self.w.T


layer = CachedLinear(w, b)
layer.forward(x)
layer.backward(dy)
assert np.abs(layer.dw - slope(lambda w: linear(x, w, b)[0], w, dy)).max() < 1e-8

# %% [markdown]
# Now use the same layer **twice in one forward pass**. Real networks do this: a text encoder reads two captions, guidance calls
# one network with and without a condition, and a recurrent layer runs once per word. The loss depends on both calls, so the
# gradient of $w$ is a sum of two terms.

# %%
rng = np.random.default_rng(18)
x_a, x_b = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))
dy_a, dy_b = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))
true = slope(lambda w: linear(x_a, w, b)[0], w, dy_a) + slope(lambda w: linear(x_b, w, b)[0], w, dy_b)

layer.forward(x_a)
layer.forward(x_b)  # overwrites the cache of the first call
by_cache = 0
for dy in (dy_b, dy_a):
    layer.backward(dy)
    by_cache = by_cache + layer.dw

(_, back_a), (_, back_b) = linear(x_a, w, b), linear(x_b, w, b)  # each back keeps the arrays of its call
by_back = back_a(dy_a)[1] + back_b(dy_b)[1]


def off(gradient):
    return np.linalg.norm(gradient - true) / np.linalg.norm(true)


print(f"self.cache:  relative error of dw {off(by_cache):.0%}, and no error was raised")
print(f"y, back:     relative error of dw {off(by_back):.0e}")
assert off(by_cache) > 0.3 and off(by_back) < 1e-8

# %% [markdown]
# The cached layer is not slightly off. Its error is about as large as the gradient itself, and nothing reports it. minidiff's
# gradient checker tests for this bug: it runs the forward pass a second time before it calls the first `back` again.

# %%
def cached(x, w, b):
    layer.w, layer.b = w, b
    y = layer.forward(x)

    def back(dy):
        dx = layer.backward(dy)
        return dx, layer.dw, dy.sum(axis=0)

    return y, back


try:
    gradcheck.check(cached, x_a, w, b)
    raise SystemExit("this line is never reached")
except gradcheck.GradientError as error:
    print(error)

# %% [markdown]
# ## Checking a million entries with one random direction
#
# Two forward passes for *each* entry are fine for twelve entries and hopeless for a million. Instead, move all entries at once
# along a random direction $r$, an array of $x$'s shape. The slope along $r$ is one number, and the backward pass predicts it:
#
# $$\sum dx \cdot r \;=\; \frac{1}{2h} \sum dy \cdot \bigl(f(x + h r) - f(x - h r)\bigr).$$
#
# If `dx` is wrong in any entry, the two sides differ for almost every $r$. The check needs two forward passes, whatever the
# size of $x$.

# %%
def check(f, x, h=1e-5, dy=None):
    """Relative error of a backward pass along one random direction.   f(x) -> y, back"""
    rng = np.random.default_rng(123)
    y, back = f(x)
    dy = rng.standard_normal(y.shape) if dy is None else dy
    r = rng.standard_normal(x.shape)
    r /= np.linalg.norm(r)
    by_back = (back(dy) * r).sum()
    by_slope = (dy * (f(x + h * r)[0] - f(x - h * r)[0])).sum() / (2 * h)
    return abs(by_back - by_slope) / (abs(by_back) + abs(by_slope) + 1e-5)  # the 1e-5 accepts two slopes of 0


rng = np.random.default_rng(22)
big = rng.standard_normal((500, 400))
print(f"relative error of silu's gradient on {big.size:,} numbers: {check(silu, big):.0e}")
assert check(silu, big) < 1e-6

# %% [markdown]
# ## Why is `dy` random, and not simply all ones?
#
# A `dy` of ones hides bugs. The **softmax** turns a row of numbers into probabilities, $y_i = e^{x_i} / \sum_j e^{x_j}$. Its
# backward pass is $dx_i = y_i\,(dy_i - \sum_j dy_j y_j)$. Below is a version with a common bug, a plain mean in place of the
# weighted sum:

# %%
def wrong_softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)

    def back(dy):
        return y * (dy - dy.mean(axis=-1, keepdims=True))  # should be (dy * y).sum(...)

    return y, back


rng = np.random.default_rng(5)
rows = rng.standard_normal((6, 5))
with_ones, with_random = check(wrong_softmax, rows, dy=np.ones((6, 5))), check(wrong_softmax, rows)
print(f"relative error found with dy = 1: {with_ones:.0e}; with a random dy: {with_random:.2f}")
assert with_ones < 1e-6 and with_random > 0.01

# %% [markdown]
# With `dy = 1` the loss is the sum of the probabilities. This sum is always 1, so its true gradient is 0, and the wrong formula
# gives 0 too. A random `dy` does not have this blind spot.

# %% [markdown]
# ## Why can a finite difference not detect an error below $10^{-8}$?
#
# A float64 has about 16 digits. So $f(x + h)$ and $f(x - h)$ each have a rounding error of about $\varepsilon\,|f|$, with
# $\varepsilon = 2 \cdot 10^{-16}$. The subtraction keeps this error, and the division by $2h$ magnifies it. The formula itself
# has a second error, which grows with $h$:
#
# $$\text{error} \;\approx\; \frac{\varepsilon\,|f|}{h} + \frac{h^2}{6}\,|f'''|.$$
#
# If $f$, $f'$ and $f'''$ are all about 1, the sum is smallest near $h = \varepsilon^{1/3} \approx 10^{-5}$. There it is about
# $\varepsilon^{2/3} \approx 10^{-11}$; a one-sided slope reaches $\sqrt\varepsilon \approx 10^{-8}$ at best. A function that
# varies more quickly has its best $h$ elsewhere, and a checker does not know where.
#
# For functions of complex numbers there is another way. Take a step along the **imaginary** axis, and write the Taylor series:
#
# $$f(x + i h) = f(x) + i h\,f'(x) - \frac{h^2}{2} f''(x) - \dots \qquad\Longrightarrow\qquad
# f'(x) = \frac{\operatorname{Im} f(x + i h)}{h} + O(h^2).$$
#
# The real part contains the value and the imaginary part contains the slope. Nothing has to be subtracted, so $h$ may be as
# small as we like. With $h = 10^{-100}$ the error $O(h^2)$ is far below the last digit. This method is the **complex step**
# (Squire and Trapp, 1998). Let us measure both methods on $e^{\sin x}$ again, and on a wave that oscillates 300 times as fast.

# %%
def gentle(x):
    return np.exp(np.sin(x))


def quick(x):
    return np.exp(np.sin(300 * x))


h = 10.0 ** np.arange(-20, -1.9, 0.25)
usual = np.argmin(np.abs(h - 1e-5))
figure = viz.new_figure(6.4, 3.8, "tight")
axes = figure.add_subplot()
for g, true, style in [(gentle, np.cos(0.3) * gentle(0.3), "-"), (quick, 300 * np.cos(300 * 0.3) * quick(0.3), "--")]:
    difference = np.abs((g(0.3 + h) - g(0.3 - h)) / (2 * h) / true - 1)
    step = np.abs(g(0.3 + 1j * h).imag / h / true - 1)
    axes.loglog(h, np.maximum(difference, 1e-17), style, color=viz.COLOURS[0], label=f"two-sided difference, {g.__name__}")
    axes.loglog(h, np.maximum(step, 1e-17), style, color=viz.COLOURS[1], label=f"complex step, {g.__name__}")
    print(f"{g.__name__:6}  error of the difference: {difference.min():.0e} at its best h, {difference[usual]:.0e} at h = 1e-5;"
          f" of the complex step: at most {step[h < 1e-12].max():.0e} for h < 1e-12")  # fmt: skip
    assert step[h < 1e-12].max() < 1e-15 < difference.min()
assert difference[usual] > 1e-8  # of the quick function, the last in the loop
axes.axvline(1e-5, color="grey", linestyle=":", linewidth=1)
axes.set(xlabel="step h", ylabel="relative error of the slope", title="Finite difference and complex step", ylim=(3e-18, 3))
axes.legend(frameon=False, fontsize=8, loc="center left")
figure

# %% [markdown]
# On the right of the plot both errors are the term in $h^2$, and the lines coincide. On the left the error of the difference
# rises again, so its curve is a V, and the tip of the V depends on the function. The error of a complex step stays flat at the
# last digit. (Errors of 0 are drawn at $10^{-17}$.)
#
# We now use the complex step in the gradient check, with the same `dy` and the same direction $r$. It takes the slope from one
# forward pass in complex numbers. The test cases are two right functions, and a SiLU whose backward pass computes in float32 to
# save time.

# %%
def exact_check(f, x):
    """`check`, with the slope from a complex step."""
    rng, h = np.random.default_rng(123), 1e-100
    y, back = f(x)
    dy = rng.standard_normal(y.shape)
    r = rng.standard_normal(x.shape)
    r /= np.linalg.norm(r)
    by_back = (back(dy) * r).sum()
    by_step = (dy * f(x + 1j * h * r)[0].imag).sum() / h
    return abs(by_back - by_step) / (abs(by_back) + abs(by_step) + 1e-5)


def wave(x):
    return np.sin(300 * x), lambda dy: dy * 300 * np.cos(300 * x)


def hasty_silu(x):
    s = 1 / (1 + np.exp(-x))

    def back(dy):
        z, short = x.astype(np.float32), s.astype(np.float32)  # half the bytes, and half the digits
        return dy * (short + z * short * (1 - short))

    return x * s, back


numbers = np.random.default_rng(24).standard_normal((4, 3))
errors = {f.__name__: (check(f, numbers), exact_check(f, numbers)) for f in (silu, wave, hasty_silu)}
for name, (by_difference, by_step) in errors.items():
    print(f"{name:10}  error by a finite difference {by_difference:.0e}, by a complex step {by_step:.0e}")
assert errors["hasty_silu"][0] < errors["wave"][0] < 1e-6  # the wrong function has a smaller error than a right one
assert max(errors["silu"][1], errors["wave"][1]) < 1e-14 and errors["hasty_silu"][1] > 1e-10

# %% [markdown]
# A finite difference gives the wrong function a smaller error than the right wave, so no tolerance separates them. The complex
# step does: a right backward pass agrees with it to the last digits. `gradcheck.check` uses the complex step. It fails above
# $10^{-12}$, where a finite difference has to accept $10^{-6}$.
#
# ### What a complex step needs
#
# The Taylor series has to hold along the imaginary axis: $f$ must be **analytic**. Sums, products, quotients, powers, `exp`,
# `log`, `sin`, `tanh` and matrix products are analytic; NumPy's `abs` is not. The absolute value of a complex number is its
# length, a real number, so `abs` drops the slope without an error. Any operation that compares sizes, such as an absolute
# value, a maximum or a comparison, has to look at the **real part** only.

# %%
def absolute(x):
    return np.where(x.real > 0, x, -x)


pair = np.array([-2.0, 3.0]) + 1e-100j
print("slopes of |x| at -2 and 3: np.abs", np.abs(pair).imag / 1e-100, " absolute", absolute(pair).imag / 1e-100)
assert list(absolute(pair).imag / 1e-100) == [-1, 1]

# %% [markdown]
# If your function cannot take complex numbers, `gradcheck.check` falls back to a finite difference and reports it: each error
# has a `.method`. The page [The complex step](../docs/guide/complex_step.md) has the details.

# %% [markdown]
# ## Training a network with these gradients
#
# The data are "two moons": points in the plane, of two kinds. The network $2 \to 24 \to 24 \to 1$ outputs one number $z$ for
# each point, and $s(z)$ is the probability that it gives to kind 1. The loss is the usual one for two classes, the
# cross-entropy. It is large where the network gives the true label $k$ (0 or 1) a small probability:
#
# $$L = \frac{1}{B}\sum_n \bigl(\log(1 + e^{z_n}) - k_n z_n\bigr), \qquad dz_n = \frac{s(z_n) - k_n}{B}.$$

# %%
def surprise(z, kind):
    """Mean of -log(probability given to the true kind).   z (B, 1)   kind (B, 1), 0 or 1   ->   a number"""
    def back():
        return (1 / (1 + np.exp(-z)) - kind) / len(z)

    return (np.logaddexp(0, z) - kind * z).mean(), back


def network(x, params):
    """Linear, SiLU, linear, SiLU, linear.   x (B, 2)   ->   z (B, 1)"""
    backs, h = [], x
    for number, (w, b) in enumerate(params):
        h, back_linear = linear(h, w, b)
        h, back_silu = silu(h) if number < len(params) - 1 else (h, lambda dh: dh)
        backs.append((back_linear, back_silu))

    def back(dh):
        grads = []
        for back_linear, back_silu in reversed(backs):
            dh, dw, db = back_linear(back_silu(dh))
            grads.insert(0, (dw, db))
        return dh, grads

    return h, back


sizes = [2, 24, 24, 1]
rng = np.random.default_rng(27)
params = [(rng.standard_normal((i, o)) / i**0.5, np.zeros(o)) for i, o in zip(sizes[:-1], sizes[1:], strict=True)]
start = [(w.copy(), b.copy()) for w, b in params]
points, kinds = toys.moons(400, rng=1, noise=0.12)
points, kinds = points.astype(np.float64), kinds[:, None]
gradcheck.check(lambda x: (network(x, params)[0], lambda dy: network(x, params)[1](dy)[0]), points[:5])

# %% [markdown]
# Each training step runs forward, then backward, and then moves each parameter a little against its gradient:

# %%
params, losses = start, []
for _ in range(500 if FAST else 1500):
    z, back = network(points, params)
    loss, back_loss = surprise(z, kinds)
    _, grads = back(back_loss())
    params = [(w - 0.5 * dw, b - 0.5 * db) for (w, b), (dw, db) in zip(params, grads, strict=True)]
    losses.append(loss)
test_points, test_kinds = toys.moons(1000, rng=2, noise=0.12)
right = ((network(test_points.astype(np.float64), params)[0][:, 0] > 0) == test_kinds).mean()
print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f};   {right:.1%} of 1000 new points are classified correctly")
assert losses[-1] < 0.1 and right > 0.95

# %%
axis = np.linspace(-2.2, 2.2, 120)
plane = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
belief = 1 / (1 + np.exp(-network(plane, params)[0])).reshape(120, 120)
figure = viz.new_figure(9, 3.8, "tight")
left, right_axes = figure.subplots(1, 2, width_ratios=(1.25, 1))
left.semilogy(losses, color=viz.COLOURS[0])
left.set(xlabel="training step", ylabel="loss", title="Training loss")
right_axes.contourf(axis, axis, belief, levels=20, cmap="RdBu_r", alpha=0.4)
right_axes.contour(axis, axis, belief, levels=[0.5], colors="black", linewidths=1)
for kind in (0, 1):
    right_axes.scatter(*points[kinds[:, 0] == kind].T, s=6, color=("#1f4e9c", "#a61e1e")[kind])
right_axes.set(aspect="equal", title="Predicted probability of kind 1")
figure

# %% [markdown]
# ## The same with minidiff's layers
#
# minidiff's `ops` are the same functions with argument checks. Its layers contain their parameters: `layer(x)` returns
# `y, back`, and `back(dy)` adds to each parameter's `.grad`. The network above, built from these layers, must give the same
# numbers to the last digits. Does it?

# %%
(y, back), (y_lib, back_lib) = linear(x, w, b), ops.linear(x, w, b)
assert np.allclose(y, y_lib, atol=1e-12)
for mine, theirs in zip(back(dy), back_lib(dy), strict=True):
    assert np.allclose(mine, theirs, atol=1e-12)
(y, back), (y_lib, back_lib) = silu(x), ops.silu(x)
assert np.allclose(y, y_lib, atol=1e-12) and np.allclose(back(dy), back_lib(dy), atol=1e-12)

net = nn.Sequential(nn.Linear(2, 24), nn.SiLU(), nn.Linear(24, 24), nn.SiLU(), nn.Linear(24, 1)).astype(np.float64)
for param, value in zip(net.parameters().values(), [a for pair in start for a in pair], strict=True):
    param.value[...] = value
z, back = net(points)
back(surprise(z, kinds)[1]())
z_hand, back_hand = network(points, start)
grads = [a for pair in back_hand(surprise(z_hand, kinds)[1]())[1] for a in pair]
worst = max(np.abs(p.grad - g).max() for p, g in zip(net.parameters().values(), grads, strict=True))
print(f"the {len(grads)} gradients by hand and by minidiff differ by at most {worst:.0e}")
assert worst < 1e-12
gradcheck.check_layer(net, points[:5])

# %% [markdown]
# `gradcheck.check(f, *arrays)` and `gradcheck.check_layer(layer, *arrays)` are public: use them on your own functions and
# layers. When a gradient is wrong, they report which entry, by how much, and the usual cause of such an error.
#
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** Write `tanh(x)` with its backward pass.
#
# <details><summary>Hint</summary>
#
# The slope of tanh is a function of tanh itself, so `back` needs only `y`.
# </details>
# <details><summary>Bigger hint</summary>
#
# Write $\tanh = (e^{2x} - 1) / (e^{2x} + 1)$ and take the derivative of the quotient. Then look for $\tanh^2$ in it. You may
# use `np.tanh`, which is also right for large numbers.
# </details>

# %%
def tanh(x):
    ...  # return y, back


rng = np.random.default_rng(34)
if grading.answered(tanh, np.zeros(1)):
    mistakes.find(tanh, "01.tanh")
    gradcheck.check(tanh, rng.standard_normal((4, 3)))
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** Repair the softmax above.
#
# <details><summary>Hint</summary>
#
# Every $y_i$ depends on every $x_j$ of its row. Where does the backward pass above treat all entries of a row alike?
# </details>
# <details><summary>Bigger hint</summary>
#
# $\partial y_i / \partial x_j = y_i (\delta_{ij} - y_j)$, where $\delta_{ij}$ is 1 if $i = j$ and 0 otherwise. Multiply by
# $dy_i$ and sum over $i$: the second term is a sum of the $dy_i$, each with a weight.
# </details>

# %%
def softmax(x):
    ...  # return y, back


rng = np.random.default_rng(36)
if grading.answered(softmax, np.zeros((1, 2))):
    mistakes.find(softmax, "01.softmax")
    gradcheck.check(softmax, rng.standard_normal((4, 3)))
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** $y = x \cdot x$, a matrix times *itself* (for square $x$). How many terms does $dx$ have?
#
# <details><summary>Hint</summary>
#
# For $y = a\,b$ you know both gradients from the linear layer. Here $a$ and $b$ are the same matrix.
# </details>
# <details><summary>Bigger hint</summary>
#
# An array that is used twice receives a gradient from each use, and the two are added. Write $da$ and $db$ of $y = a\,b$ first.
# Check which factor is transposed, and on which side it stands.
# </details>

# %%
def squared_matrix(x):
    ...  # return y, back


rng = np.random.default_rng(38)
if grading.answered(squared_matrix, np.eye(2)):
    mistakes.find(squared_matrix, "01.squared_matrix")
    gradcheck.check(squared_matrix, rng.standard_normal((4, 4)))
    print("exercise 3: right")

# %% [markdown]
# **Exercise 4.** A gated layer: $y = (x\,w)\cdot\text{silu}(x\,v)$, with an entry-by-entry product. Many modern text encoders
# contain similar layers. Return `dx, dw, dv`.
#
# <details><summary>Hint</summary>
#
# Name the two factors, $p = x w$ and $q = \text{silu}(x v)$, and find $dp$ and $dq$ first.
# </details>
# <details><summary>Bigger hint</summary>
#
# $dp$ is `dy` times the other factor, and so is $dq$. The gradient $dq$ passes back through silu, then through $x v$. As $x$ is
# used twice, $dx$ has two terms.
# </details>

# %%
def gated(x, w, v):
    ...  # return y, back


rng = np.random.default_rng(40)
if grading.answered(gated, np.zeros((1, 1)), np.zeros((1, 1)), np.zeros((1, 1))):
    mistakes.find(gated, "01.gated")
    gradcheck.check(gated, rng.standard_normal((4, 3)), rng.standard_normal((3, 5)), rng.standard_normal((3, 5)))
    print("exercise 4: right")

# %% [markdown]
# **Exercise 5.** Divide each row of $x$ by its length, $y = x / \ell$ with $\ell = \sqrt{\sum_j x_j^2}$. Write it so that a
# complex step can check it.
#
# <details><summary>Hint</summary>
#
# `np.linalg.norm` takes absolute values, which lose the imaginary part. And $\ell$ is not a constant: it depends on every $x_j$
# of the row.
# </details>
# <details><summary>Bigger hint</summary>
#
# $\partial \ell / \partial x_j = x_j / \ell = y_j$. By the quotient rule, $dx$ is `dy` minus its component along $y$, divided
# by the length.
# </details>

# %%
def unit_rows(x):
    ...  # return y, back


rng = np.random.default_rng(42)
if grading.answered(unit_rows, np.ones((1, 1))):
    mistakes.find(unit_rows, "01.unit_rows")
    gradcheck.check(unit_rows, rng.standard_normal((4, 3)), method="complex")
    print("exercise 5: right")

# %% [markdown]
# ### Build it: a layer, its network, its training
#
# Now build the whole thing, in three steps. Each exercise can pass without the others: later steps may call the chapter's
# `linear` and `silu`.
#
# **Exercise 6.** Write a linear layer for any number of leading axes: $x$ is $(\dots, I)$ and $y$ is $(\dots, O)$. Text models
# need it, because they have one vector for each word of each text. Do not use the chapter's `linear`. `back(dy)` returns
# `dx, dw, db`.
#
# <details><summary>Hint</summary>
#
# Every row uses the same $w$, wherever the row stands. So $dw$ and $db$ are sums over **all** leading axes.
# </details>
# <details><summary>Bigger hint</summary>
#
# `x.reshape(-1, I)` turns any number of leading axes into one list of rows. In this form $dw$ and $db$ are those of the
# chapter; `dx` needs no reshape.
# </details>

# %%
def linear_layer(x, w, b):
    ...  # x (..., I)   w (I, O)   b (O,)   -> y (..., O), back


rng = np.random.default_rng(44)
if grading.answered(linear_layer, np.ones((1, 1, 1)), np.ones((1, 1)), np.ones(1)):
    mistakes.find(linear_layer, "01.linear_layer")
    gradcheck.check(linear_layer, rng.standard_normal((2, 3, 4)), rng.standard_normal((4, 5)), rng.standard_normal(5))
    print("exercise 6: right")

# %% [markdown]
# **Exercise 7.** Write a network with any number of linear layers, with silu between them and none after the last. Return the
# loss, which is the mean of $(y - \text{target})^2$ over all entries, and its gradients: a list of `(dw, db)`, one for each
# `(w, b)` in `params`. Do not use the chapter's `network`.
#
# <details><summary>Hint</summary>
#
# Run forward once and put each `back` into a list. The loss gives the first gradient to the last layer.
# </details>
# <details><summary>Bigger hint</summary>
#
# The derivative of the mean by $y$ is $2 (y - \text{target}) / N$, where $N$ is the number of entries. Pass it through the list
# of backs in reverse order. Insert each `(dw, db)` at the front.
# </details>

# %%
def loss_and_gradients(params, x, target):
    ...  # params [(w, b), ...]   x (B, I)   target (B, O)   -> loss, [(dw, db), ...]


if grading.answered(loss_and_gradients, [(np.ones((1, 1)), np.ones(1))], np.ones((1, 1)), np.ones((1, 1))):
    mistakes.find(loss_and_gradients, "01.loss_and_gradients")
    print("exercise 7: right")

# %% [markdown]
# **Exercise 8.** Write the training loop. Each step draws `rows = rng.integers(len(x), size=batch)` and computes the loss and
# gradients of these rows. Then it moves every parameter against its gradient, by `lr` times the gradient. Return the final
# parameters and the list of losses. Do not change the arrays in `params`: make new ones.
#
# <details><summary>Hint</summary>
#
# The training loop above has all the parts. It uses all points in each step; here each step uses only its `rows`, of `x` and of
# `target`.
# </details>
# <details><summary>Bigger hint</summary>
#
# `w -= lr * dw` would write into the caller's array; `w - lr * dw` makes a new one. The loss of a step is the loss of the
# parameters before the update.
# </details>

# %%
def train(loss_and_gradients, params, x, target, steps, lr, batch, rng):
    ...  # -> params, losses


one, ones = [(np.ones((1, 1)), np.ones(1))], np.ones((1, 1))
if grading.answered(train, lambda *_: (0.0, one), one, ones, ones, 1, 0.1, 1, np.random.default_rng(0)):
    mistakes.find(train, "01.train")
    print("exercise 8: right")

# %% [markdown]
# The answers are in [docs/answers/01.py](../docs/answers/01.py), together with the hidden tests for graded assignments.
