# %% [markdown]
# # 15. The same on a GPU
#
# A GPU does thousands of multiplications at once. Is the same code thousands of times faster on a GPU? Not automatically.
# Python has to launch every operation, and every operation reads its arrays from memory and writes its result back. A careless
# `float(loss)` makes Python stop and wait for the GPU. This chapter shows these costs by *counting* them. It uses a GPU if CuPy
# finds one, but counting does not need one. **This chapter makes no claim about the speed of a GPU.** The times it prints were
# measured on the machine that ran the notebook.
#
# {{install}}
# With an NVIDIA GPU, `pip install -e '.[cuda12]'` (or `cuda13`) installs CuPy.
#
# **What you should know already.** A forward pass returns its output and its backward pass, `y, back = f(x)` (chapter 1). You
# also need group normalisation (chapter 2), and what a training step does (chapter 4).

# %%
import os
import sys

import numpy as np

from minidiff import backend, grading, mistakes, ops, profiling, viz
from minidiff.ops import dispatch
from minidiff.rng import Rng
from minidiff.runs import build, preset
from minidiff.training import Trainer

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
try:
    xp = backend.module_of("cuda")
except RuntimeError as reason:
    xp = np
    print("No GPU found, so NumPy computes everything:", reason)
print("library of the arrays:", xp.__name__)

# %% [markdown]
# ## How can one code run on both?
#
# *CuPy* provides NumPy's functions under NumPy's names, for arrays in the memory of a GPU. So the code only has to call the
# right library. Many programs choose the library by a switch at the top. minidiff has no switch: **the array decides**. A
# function uses the library that its argument comes from:

# %%
def library_of(x):
    return sys.modules[type(x).__module__.partition(".")[0]]


def gelu_by_tanh(x):
    lib = library_of(x)
    return 0.5 * x * (1 + lib.tanh(0.7978846 * (x + 0.044715 * x**3)))


x = xp.asarray(Rng(0).standard_normal((4, 5)))
assert library_of(x) is xp and backend.xp_of(x) is xp
assert type(gelu_by_tanh(x)) is type(x)
print("input:", type(x).__module__, " output:", type(gelu_by_tanh(x)).__module__)

# %% [markdown]
# ## How can code for a GPU be tested without one?
#
# Code that only ever ran on NumPy may contain mistakes that NumPy tolerates: an array in the wrong memory, a hidden copy, a
# hidden wait. An *emulator* of CuPy finds them without a GPU. It computes with NumPy, but it is *stricter*: it raises where
# CuPy raises, and it counts costs. The emulator below counts three things:
#
# - **launches**: how often Python sends the GPU a *job*, the execution of one operation (the usual term is *kernel launch*);
# - **bytes moved**: how much each job reads from memory and writes to it;
# - **waits**: how often Python asks for a number, so that all earlier jobs must finish first (a *synchronisation*).

# %%
class Far(np.lib.mixins.NDArrayOperatorsMixin):
    """An array on an emulated device. NumPy computes; mixing with a NumPy array raises; costs are counted."""

    launches = moved = waits = 0

    def __init__(self, inside):
        self.inside = np.asarray(inside)
        self.shape = self.inside.shape

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        if any(isinstance(a, np.ndarray) for a in inputs):
            raise TypeError("a host array and a device array cannot be combined")
        result = getattr(ufunc, method)(*[a.inside if isinstance(a, Far) else a for a in inputs], **options)
        Far.launches += 1
        Far.moved += result.nbytes + sum(a.inside.nbytes for a in inputs if isinstance(a, Far))
        return Far(result)

    def __array__(self, *_, **__):
        raise TypeError("implicit copy of a device array to the host")

    def __float__(self):
        Far.waits += 1
        return float(self.inside)

    def reshape(self, *shape):
        return Far(self.inside.reshape(*shape))  # nothing moves

    def mean(self, axis=None, keepdims=False):
        total = np.add.reduce(self, axis=axis, keepdims=keepdims)
        return total * (total.inside.size / self.inside.size)


far = Far(np.arange(3.0))
for attempt in (lambda: far + np.ones(3), lambda: np.asarray(far), lambda: np.concatenate([far, far])):
    try:
        attempt()
        raise SystemExit("this line is never reached")
    except TypeError as error:
        print("TypeError:", str(error)[:70])

# %% [markdown]
# minidiff's tests contain a fuller emulator (`tests/strict`). Every operation, layer and sampler runs on it.
#
# ## What does it cost to read the loss in every step?
#
# The most common waste is to read the loss in every step.

# %%
def count(f):
    """launches, bytes, waits of f()"""
    Far.launches = Far.moved = Far.waits = 0
    f()
    return Far.launches, Far.moved, Far.waits


def looks_always():
    total = 0.0
    for _ in range(100):
        loss = (Far(np.ones(64, np.float32)) ** 2).mean()
        total += float(loss)  # the GPU must finish before Python continues
    return total / 100


def looks_once():
    total = Far(np.float32(0))
    for _ in range(100):
        total = total + (Far(np.ones(64, np.float32)) ** 2).mean()  # stays there
    return float(total) / 100


for loop in (looks_always, looks_once):
    print(f"{loop.__name__:14} waits {count(loop)[2]:3} times")
assert looks_always() == looks_once() == 1.0 and count(looks_always)[2] == 100 and count(looks_once)[2] == 1

# %% [markdown]
# Why is a wait so expensive? Python only *sends* jobs; the GPU executes them asynchronously, while Python continues. As long as
# jobs are queued, the GPU does not have to wait for the next one to be sent. The plot below uses **invented** numbers: Python
# takes 5 units of time to send a job, and the GPU takes 2 or 8 to execute it.

# %%
def timeline(jobs, send, wait_each):
    """When each job is sent, and when it runs.   -> [(start, length)] of both"""
    now, free, sent, ran = 0.0, 0.0, [], []
    for length in jobs:
        sent.append((now, send))
        now += send
        start = max(now, free)
        ran.append((start, length))
        free = start + length
        if wait_each:
            now = free
    return sent, ran


figure = viz.new_figure(9.4, 3.6, "tight")
axes, ends = figure.subplots(3, 1, sharex=True), {}
cases = [("large jobs, no waiting", [8] * 8, False), ("large jobs, waiting for each", [8] * 8, True),
         ("small jobs, no waiting", [2] * 8, False)]  # fmt: skip
for axis, (title, jobs, wait_each) in zip(axes, cases, strict=True):
    sent, ran = timeline(jobs, 5, wait_each)
    axis.broken_barh(sent, (1.1, 0.8), color=viz.COLOURS[0], edgecolor="white")
    axis.broken_barh(ran, (0.1, 0.8), color=viz.COLOURS[1], edgecolor="white")
    axis.set_yticks([0.5, 1.5], ["GPU works", "Python sends"], fontsize=9)
    axis.set_title(title, fontsize=10, loc="left")
    axis.spines[["top", "right", "left"]].set_visible(False)
    ends[title] = sum(ran[-1])
axes[-1].set_xlabel("time (invented units)")
print("end of the last job:", ", ".join(f"{title}: {end:g}" for title, end in ends.items()))
assert ends["large jobs, no waiting"] == 5 + 64 and ends["large jobs, waiting for each"] == 8 * 13
figure

# %% [markdown]
# In the third row the jobs are small, and sending them takes all the time. A faster GPU would change nothing. Small networks
# are usually in this state, and so is sampling one image at a time. There are two remedies, which the next sections explain:
# **fewer, larger jobs** (a fused kernel), and **sending many jobs at once** (a CUDA graph).
#
# ## What does a fused kernel save?
#
# A *kernel* is a function that runs on the GPU. A *fused* kernel does several operations in one launch. Our example is group
# normalisation followed by SiLU, the activation $z / (1 + e^{-z})$. The pair comes before nearly every convolution of a U-Net.
# Here it is, written with one array operation at a time:

# %%
def group_norm_silu(x, gamma, beta, groups, eps=1e-5):
    B, H, W, C = x.shape
    g = x.reshape(B, H * W, groups, C // groups)
    centred = g - g.mean(axis=(1, 3), keepdims=True)
    variance = (centred * centred).mean(axis=(1, 3), keepdims=True)
    z = (centred * (variance + eps) ** -0.5).reshape(B, H, W, C) * gamma + beta
    return z * (1 / (1 + np.exp(-z)))  # np.exp dispatches to the library of z


x, gamma, beta = Rng(1).standard_normal((8, 32, 32, 64)), np.full(64, 1.5, np.float32), np.full(64, 0.1, np.float32)
assert np.allclose(group_norm_silu(x, gamma, beta, 8), ops.group_norm_silu(x, gamma, beta, 8)[0], atol=1e-5)
launches, moved, _ = count(lambda: group_norm_silu(Far(x), Far(gamma), Far(beta), 8))
once = 2 * x.nbytes + gamma.nbytes + beta.nbytes  # x in, y out, and the two small ones
print(f"array by array: {launches} launches, {moved / 1e6:.0f} MB moved; one fused kernel: 1 launch, {once / 1e6:.0f} MB")
print(f"array by array moves {moved / once:.1f} times as many bytes")
assert launches == 16 and 11 < moved / once < 13

# %% [markdown]
# These operations do very little arithmetic. Most of the time goes into moving the data to and from memory, a dozen times over.
# The same holds on a CPU, where minidiff processes the data in pieces that fit into the cache (`minidiff/cpu`). (The kernel
# reads $x$ three times, for the mean, the variance and the result. But one block of threads works on a part of $x$ that stays
# in the GPU's cache between the reads.)
#
# ## What is a kernel?
#
# A kernel runs once for each of very many *threads*. Threads are grouped into *blocks*. The threads of one block have a little
# fast *shared memory*, and they can wait for each other at a *barrier* (`__syncthreads` in CUDA C). We can emulate this in
# Python: a thread is a generator, and a barrier is a `yield`. New shared memory contains arbitrary values, so the emulator
# fills it with NaN.

# %%
def launch(kernel, blocks, threads, *arguments):
    for block in range(blocks):
        shared = np.full(threads, np.nan)
        running = [kernel(block, thread, threads, shared, *arguments) for thread in range(threads)]
        while running:  # each thread runs to its next barrier, then the next thread does
            running = [thread for thread in running if next(thread, "end") != "end"]


def norm_silu_kernel(block, thread, threads, shared, x, gamma, beta, y, groups, barriers=True):
    """A block normalises one group of one image; a thread computes every `threads`-th number of it."""
    image, group = divmod(block, groups)
    per_group, pixels = x.shape[2] // groups, x.shape[1]
    mine = [(image, i // per_group, group * per_group + i % per_group) for i in range(thread, pixels * per_group, threads)]
    shared[thread] = sum(x[i] for i in mine)
    if barriers:
        yield  # every thread has written
    mean = shared.sum() / (pixels * per_group)
    if barriers:
        yield  # every thread has read, before any writes again
    shared[thread] = sum((x[i] - mean) ** 2 for i in mine)
    if barriers:
        yield
    rstd = (shared.sum() / (pixels * per_group) + 1e-5) ** -0.5
    for i in mine:
        z = (x[i] - mean) * rstd * gamma[i[2]] + beta[i[2]]
        y[i] = z / (1 + np.exp(-z))


small = Rng(2).standard_normal((2, 16, 8), dtype="float64")  # images, pixels, channels
gamma, beta = np.linspace(0.5, 1.5, 8), np.linspace(-1, 1, 8)
right, raced = np.zeros_like(small), np.zeros_like(small)
launch(norm_silu_kernel, 2 * 4, 8, small, gamma, beta, right, 4)
launch(norm_silu_kernel, 2 * 4, 8, small, gamma, beta, raced, 4, False)
reference, _ = ops.group_norm_silu(small, gamma, beta, 4)
print(f"largest error with barriers: {np.abs(right - reference).max():.0e}; share of NaN without: {np.isnan(raced).mean():.0%}")
assert np.allclose(right, reference) and np.isnan(raced).any()

# %% [markdown]
# Without barriers, a thread sums values before the other threads have written them. This is a *race condition*. On a real GPU
# the result is right most of the time, which makes the bug harder to find. The real kernels are `minidiff/gpu/kernels/*.cu`,
# some 50 lines each. The tests check them without a GPU, on the CPU as here. A C++ compiler compiles the kernels, and each
# thread is a fibre, a function that can pause. Memory is filled with NaN.
#
# Where there is a GPU, this cell runs a kernel through CuPy:

# %%
SILU = """
extern "C" __global__ void silu(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[i] / (1.0f + expf(-x[i]));
}
"""
flat = xp.asarray(Rng(3).standard_normal(1000))
if xp is np:
    print("No GPU found, so this kernel was not run.")
else:
    y = xp.empty_like(flat)
    xp.RawKernel(SILU, "silu")((4,), (256,), (flat, y, np.int32(1000)))
    assert xp.allclose(y, ops.silu(flat)[0], atol=1e-6)
    print("the kernel and ops.silu agree")

# %% [markdown]
# ## What is a CUDA graph?
#
# A CUDA graph is a recording of jobs. A training step sends a long list of jobs, the same list each time. Once this list has
# been recorded, **one** launch starts all of it, and Python has nothing more to do. The price is that the list is fixed,
# including the memory addresses that it was recorded with. A recorder takes ten lines:

# %%
class Recorder:
    def __init__(self):
        self.jobs = []

    def __call__(self, function, *inputs, out=None):
        out = function(*inputs, out=out)
        self.jobs.append((function, inputs, out))
        return out

    def replay(self):
        for function, inputs, out in self.jobs:
            function(*inputs, out=out)  # into the same memory as before


def record_step(x, y, w, lr):
    """One step of gradient descent on the squared error of w x - y, elementwise."""
    record = Recorder()
    error = record(np.subtract, record(np.multiply, w, x), y)
    gradient = record(np.multiply, error, x)
    record(np.subtract, w, record(np.multiply, gradient, lr), out=w)
    return record


x, y, w = np.full(4, 2.0), np.full(4, 6.0), np.zeros(4)
step = record_step(x, y, w, 0.1)  # recording also executes the step
for _ in range(50):
    step.replay()
print(f"{len(step.jobs)} jobs, replayed 50 times; w = {w[0]:.6f}, expected 3")
assert np.allclose(w, 3)

# %% [markdown]
# Three mistakes are common, and none of them raises an error:

# %%
x, y, w = np.full(4, 2.0), np.full(4, 6.0), np.zeros(4)
step = record_step(x, y, w, 0.1)
y = np.full(4, 20.0)  # 1. a new batch in a new array: the recording holds the old address
for _ in range(50):
    step.replay()
print(f"batch in a new array: w = {w[0]:.2f}, expected 10")
assert np.allclose(w, 3)

x, y, w, lr = np.full(4, 2.0), np.full(4, 6.0), np.zeros(4), 0.1
step = record_step(x, y, w, lr)
lr, before = 0.0, w.copy()  # 2. a plain number was copied into the list when it was recorded
step.replay()
print(f"learning rate set to 0: w still changed by {w[0] - before[0]:.2f}")
assert not np.allclose(w, before)

noise = Recorder()
draws = []
noise(np.add, Rng(0).standard_normal(4), 0.0)  # 3. random numbers drawn outside the recording
for _ in range(2):
    noise.replay()
    draws.append(noise.jobs[0][2].copy())
print("noise drawn outside the recording: the same in every step:", np.array_equal(*draws))
assert np.array_equal(*draws)

# %% [markdown]
# Each mistake has a remedy:
#
# 1. Copy the new batch *into* the recorded array.
# 2. Keep the learning rate in an array too.
# 3. Draw the random numbers inside the recording, from a counter in the GPU's memory that the recording increments.
#
# The third remedy is the reason why minidiff's `Rng` computes the $n$-th number from the seed and $n$ alone. There is no
# generator state to copy, and CPU and GPU draw the same numbers.

# %%
x, y, w, lr = np.full(4, 2.0), np.zeros(4), np.zeros(4), np.full(1, 0.1)
step = record_step(x, y, w, lr)
y[...] = 20.0
for _ in range(50):
    step.replay()
assert np.allclose(w, 10)
lr[...] = 0.0
before = w.copy()
step.replay()
assert np.array_equal(w, before)

one, other = Rng(7, step=812).standard_normal(8), Rng(7, step=812, xp=xp).standard_normal(8)
assert np.allclose(one, backend.to_numpy(other), atol=1e-6)
print("noise of step 812, from the seed 7 and the step alone:", one[:4])

# %% [markdown]
# minidiff records whole training and sampling steps in this way (`minidiff/gpu`). `docs/gpu.md` lists what has been measured
# and what is still to be measured.
#
# ## Where does the time go here?
#
# Do not guess, measure. `minidiff profile` lists the time of each operation in a training step and a sampling step of the
# digits' U-Net. The times are those of this machine.

# %%
batch = 8 if FAST else 64
made = build(preset("digits").override([f"train.batch_size={batch}"]))
trainer = Trainer(made.model, made.objective, made.images, made.labels, steps=10**6, batch_size=batch)
tables = {}
for name, context in (("fast versions", None), ("plain references", dispatch.plain())):
    with context or open(os.devnull):
        tables[name], _, alone = profiling.measure(trainer.step, 1 if FAST else 8, warm=1)
    print(f"training step with the {name}: {alone:.0f} ms")
    if name == "fast versions":
        profiling.show("training step", tables[name], sum(f + b for f, b, _ in tables[name].values()), alone)
together = {name: sum(f + b for f, b, _ in table.values()) for name, table in tables.items()}
assert FAST or together["fast versions"] < together["plain references"]

# %%
names = sorted(tables["plain references"], key=lambda op: -sum(tables["plain references"][op][:2]))[:7][::-1]
figure = viz.new_figure(7.6, 3.8, "tight")
axes = figure.add_subplot()
for offset, (title, table), colour in zip((0.2, -0.2), tables.items(), viz.COLOURS, strict=False):
    forward, backward = (np.array([table.get(op, (0, 0, 0))[way] for op in names]) for way in (0, 1))
    axes.barh(np.arange(len(names)) + offset, forward, 0.36, color=colour, label=f"{title}, forward pass")
    label = f"{title}, backward pass"
    axes.barh(np.arange(len(names)) + offset, backward, 0.36, left=forward, color=colour, alpha=0.5, label=label)
axes.set_yticks(range(len(names)), names)
axes.set(xlabel="time in ms", title="Training step of the digits' U-Net on this machine's CPU")
axes.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# ## The same in minidiff
#
# To move a minidiff program to the GPU, you only change where its arrays are: `net.to("cuda")`, or `--device cuda`. Every
# operation has one plain version in `minidiff/ops`. Where that is slow, minidiff looks up a faster function of the same name by
# the array's library (`ops/dispatch.py`). Tests check that the two agree. The plain version remains available:

# %%
x = xp.asarray(Rng(4).standard_normal((2, 8, 8, 16)))
gamma, beta = xp.ones(16, dtype=np.float32), xp.zeros(16, dtype=np.float32)
fast, back = ops.group_norm_silu(x, gamma, beta, 4)
with dispatch.plain():
    plain, back_plain = ops.group_norm_silu(x, gamma, beta, 4)
ours = group_norm_silu(x, gamma, beta, 4)  # this chapter's version, which names no library
for a, b in [(fast, plain), (fast, ours), *zip(back(plain), back_plain(plain), strict=True)]:
    assert xp.allclose(a, b, atol=1e-4)
print("fast version, plain reference and this chapter's function agree on", xp.__name__)

# %% [markdown]
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** You get a list of losses, each a `Far` number in the memory of the emulated GPU. Return their mean as a Python
# number, with only *one* wait.
#
# <details><summary>Hint</summary>
#
# What makes Python wait: adding two `Far` numbers, or converting one to a Python number?
# </details>
# <details><summary>Bigger hint</summary>
#
# `Far` numbers can be added and divided where they are. Start from the first of them, and add the others. `float(...)` comes
# last, around everything else, as in `looks_once`.
# </details>

# %%
def mean_loss(losses):
    ...  # a list of Far numbers; return a float


def mean_and_waits(values):
    """What mean_loss returns for losses with these values, and how often it waits."""
    answers = []
    waits = count(lambda: answers.append(mean_loss([Far(np.float32(value)) for value in values])))[2]
    return answers[0], waits


if grading.answered(mean_loss, [Far(np.float32(1))]):
    mistakes.find(mean_and_waits, "15.mean_loss")
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** Write a kernel that computes `y = x + bias`. The array `x` is flat, of shape (pixels times channels,), and
# `bias` has one number for each channel. Each thread computes one number. The last block may have more threads than numbers are
# left: the extra threads must do nothing. End with a `yield`: it makes the function a generator, as `launch` expects.
#
# <details><summary>Hint</summary>
#
# First compute the index of this thread's number from `block`, `threads` and `thread`. Draw 3 blocks of 4 threads in a row.
# </details>
# <details><summary>Bigger hint</summary>
#
# Each earlier block computes `threads` numbers. Channels are contiguous: number 0 belongs to channel 0, number 1 to channel 1,
# and after `len(bias)` numbers the channels start again. A thread writes only if its index is inside `x`.
# </details>

# %%
def add_bias(block, thread, threads, shared, x, bias, y):
    ...  # write y[i]; then: yield


written = np.zeros(4)
if add_bias(0, 0, 4, None, np.ones(4), np.ones(2), written) is not None or written.any():
    mistakes.find(add_bias, "15.add_bias")
    x, bias, y = np.arange(10.0), np.array([100.0, 200.0]), np.zeros(10)
    launch(add_bias, 3, 4, x, bias, y)  # 12 threads for 10 numbers
    grading.same(y, x + np.tile(bias, 5), "y, launched as above")
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** A job moves `moved` bytes and does `operations` arithmetic operations. The device moves `bandwidth` bytes per
# second and does `peak` operations per second, both at the same time. What is the shortest time, in seconds, that the job can
# take? (This estimate is called the *roofline model*.)
#
# <details><summary>Hint</summary>
#
# How long do the bytes take alone, and how long does the arithmetic?
# </details>
# <details><summary>Bigger hint</summary>
#
# Two people start to work at the same time, and the job is done when both have finished. When is that?
# </details>

# %%
def at_best(moved, operations, bandwidth, peak):
    ...  # return seconds


if grading.answered(at_best, 1, 1, 1, 1):
    mistakes.find(at_best, "15.at_best")
    n = 8 * 32 * 32 * 64  # group norm with SiLU, about 12 operations a number: memory decides
    grading.same(at_best(8 * n, 12 * n, 1e12, 1e13), 8 * n / 1e12, "seconds of group norm with SiLU", atol=0)
    convolution = 2 * 9 * 64 * n  # operations of a 3 x 3 convolution: arithmetic decides
    grading.same(at_best(8 * n, convolution, 1e12, 1e13), convolution / 1e13, "seconds of a convolution", atol=0)
    print("exercise 3: right")

# %% [markdown]
# **Exercise 4.** Make the recorder draw new noise in each replay. `normals` is a function that writes new random numbers into
# `out`, an array of `x`'s shape, and returns it. Return a recorder whose last job's result is `x` plus the noise.
#
# <details><summary>Hint</summary>
#
# Code that is not a job of the recorder runs only once, while recording. So drawing the noise must be a job, like any other.
# </details>
# <details><summary>Bigger hint</summary>
#
# `record(normals, ...)` needs no inputs, but it needs memory to write into: `out=`, an empty array of the right shape. It
# returns this array, and the next job adds it to `x`. Give that job no `out`, so that `x` does not change.
# </details>

# %%
def record_noise(x, normals):
    ...  # return a Recorder whose last job's result is x + noise


class Normals:
    """A source with a counter: each call is another step of the same seed."""

    steps = 0

    def __call__(self, out):
        Normals.steps += 1
        out[...] = Rng(0, step=Normals.steps).standard_normal(out.shape)
        return out


if grading.answered(record_noise, np.zeros(4), Normals()):
    mistakes.find(record_noise, "15.record_noise")
    recorded, seen = record_noise(np.full(4, 100.0), Normals()), []
    for _ in range(3):
        recorded.replay()
        seen.append(recorded.jobs[-1][2].copy())
    assert not np.allclose(seen[0], seen[1]) and all(abs(s.mean() - 100) < 5 for s in seen)
    print("exercise 4: right")

# %% [markdown]
# The answers are in [docs/answers/15.py](../docs/answers/15.py), together with the hidden tests for graded assignments.
