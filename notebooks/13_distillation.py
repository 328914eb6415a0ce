# %% [markdown]
# # 13. Distillation: many steps into one
#
# Good samplers need about 50 steps, very good ones about 10 (chapters 8 and 9). With fewer steps no sampler helps: the path
# from noise to image is curved, and a long straight step leaves it. But *another network* can learn where the path ends.
# Training such a network is called *distillation*. In **progressive distillation** (Salimans and Ho, 2022), a *student* learns
# to do in one step what its *teacher* does in two. Then the student becomes the next teacher. 64 steps become 32, 16, 8, 4, 2
# and finally 1. In this chapter we build the method by hand.
#
# {{install}}
# The code below needs neither the internet nor a GPU.
#
# **What you should know already.** A noisy image is $z_t = a_t\,x_0 + \sigma_t\,\epsilon$, with $a_t^2 + \sigma_t^2 = 1$
# (chapter 3). Here $x_0$ is the clean image, $\epsilon$ is standard normal noise, $a_t$ is chapter 3's $\sqrt{\bar\alpha_t}$,
# in code `schedule.alpha(t)`, and $\sigma_t$ is the noise level, `schedule.sigma(t)`. A prediction $\hat v$ of
# $v = a_t\,\epsilon - \sigma_t\,x_0$ gives both others: $\hat x_0 = a_t z_t - \sigma_t \hat v$ and
# $\hat\epsilon = \sigma_t z_t + a_t \hat v$ (chapter 4). DDIM steps from timestep $t$ to any earlier one, $s$, by
# $z_s = a_s\,\hat x_0 + \sigma_s\,\hat\epsilon$ (chapter 8).

# %%
import copy
import os

import numpy as np

from minidiff import data, gradcheck, grading, mistakes, models, samplers, training, viz
from minidiff.diffusion import Denoiser, GaussianMixture, Schedule, SimpleLoss, spaced_steps
from minidiff.rng import Rng
from minidiff.training.distill import TwoStepLoss, progressive_distillation

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
schedule = Schedule.cosine(1000)


def train(net, objective, points, steps, labels=None, lr=2e-3, batch_size=256):
    trainer = training.Trainer(net, objective, points, labels, steps=steps, batch_size=batch_size, lr=lr,
                               warmup=max(1, steps // 20), ema_decay=None)  # fmt: skip
    return trainer.run(progress=False)


# %% [markdown]
# ## A teacher
#
# The data are points in the plane, drawn from eight Gaussian blobs on a ring. The teacher is a small network that predicts $v$.

# %%
angle = 2 * np.pi * np.arange(8) / 8
ring = GaussianMixture(1.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1), stds=0.1)
points = ring.sample(0, 8000, dtype=np.float32)
net = models.MLP(features=2, width=128, depth=3, rng=0)
history = train(net, SimpleLoss(schedule, "v"), points, 120 if FAST else 2500)
teacher = Denoiser(net, schedule, "v")
print(f"loss {np.mean(history.loss[:10]):.2f} -> {np.mean(history.loss[-100:]):.2f}")
assert np.mean(history.loss[-100:]) < 0.8 * np.mean(history.loss[:10])

# %% [markdown]
# ## Can the sampler simply take one long step?
#
# We start DDIM from the same noise and let it take 64, 8, 4, 2 and 1 steps. `times` contains the timesteps at which it
# evaluates the network. They start at the last timestep of the schedule, where $z_t$ is nearly pure noise, and are spaced
# evenly ("trailing").

# %%
def ddim(denoiser, z, times):
    for t, s in zip(times, [*times[1:], None], strict=True):
        x, eps = denoiser(z, int(t))
        z = x if s is None else schedule.alpha(int(s)) * x + schedule.sigma(int(s)) * eps  # after the last time: clean
    return z


noise = Rng(1).standard_normal((100 if FAST else 1000, 2))
teacher_makes = {n: ddim(teacher, noise, spaced_steps(1000, n, "trailing")) for n in (64, 8, 4, 2, 1)}
target = teacher_makes[64]


def off(made):
    """Root mean square distance from where 64 steps of the teacher end."""
    return np.sqrt(((made - target) ** 2).sum(axis=1).mean())


for n, made in teacher_makes.items():
    print(f"{n:2} sampling steps: distance {off(made):.2f} from the end points of 64 steps")
assert off(teacher_makes[1]) > 1 > off(teacher_makes[8])

# %%
def scatter(rows, titles):
    figure = viz.new_figure(1.95 * len(rows[0]), 2.05 * len(rows) + 0.2, "tight")
    axes = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for number, (axis, made, title) in enumerate(zip(axes.flat, sum(rows, []), sum(titles, []), strict=True)):
        axis.scatter(*made.T, s=2, color=viz.COLOURS[number // len(rows[0])], alpha=0.5, linewidths=0)
        axis.set(xlim=(-2.3, 2.3), ylim=(-2.3, 2.3), aspect="equal", xticks=[], yticks=[])
        axis.set_title(title, fontsize=10)
    return figure


scatter([list(teacher_makes.values())], [[f"{n} step{'s' * (n > 1)}" for n in teacher_makes]])

# %% [markdown]
# In one step, all points end at the same place. This is not the network's fault. The best $\hat x_0$ from pure noise is the
# mean of all the data, whatever the noise (chapter 4). The *path* from each noise, however, leads to a single blob.
#
# ## What should the student predict?
#
# The teacher takes two DDIM steps, $z_t \to z_s \to z_u$, through the timesteps $t > s > u$. The student starts at $z_t$ and
# takes one step. Suppose it predicts $\tilde x$ as the clean image, and let $r = \sigma_u / \sigma_t$. Then its step ends at
#
# $$a_u\,\tilde x + \sigma_u\,\frac{z_t - a_t\,\tilde x}{\sigma_t} = (a_u - r\,a_t)\,\tilde x + r\,z_t .$$
#
# This must be $z_u$, the point where the teacher's two steps end. Solving for $\tilde x$ gives the student's target:
#
# $$\tilde x = \frac{z_u - r\,z_t}{a_u - r\,a_t} .$$
#
# This is the idea of the method. The target $\tilde x$ need not look like any clean image. It is the $\hat x_0$ with which one
# long step ends at the right point.

# %%
def level(t):
    return (schedule.alpha(t), schedule.sigma(t)) if t is not None else (1.0, 0.0)  # None: after the end, clean


def ddim_step(x, z, t, s):
    (a_t, sigma_t), (a_s, sigma_s) = level(t), level(s)
    return a_s * x + sigma_s * (z - a_t * x) / sigma_t


def student_target(z_t, z_u, t, u):
    (a_t, sigma_t), (a_u, sigma_u) = level(t), level(u)
    r = sigma_u / sigma_t
    return (z_u - r * z_t) / (a_u - r * a_t)


t, s, u = 700, 650, 600
z_t = schedule.add_noise(points[:500].astype(np.float64), np.random.default_rng(0).standard_normal((500, 2)), t)
precise = Denoiser(copy.deepcopy(net).astype(np.float64), schedule, "v")  # for the comparison with float32 below
first, _ = precise(z_t, t)
z_s = ddim_step(first, z_t, t, s)
second, _ = precise(z_s, s)
z_u = ddim_step(second, z_s, s, u)
goal = student_target(z_t, z_u, t, u)
miss = np.abs(ddim_step(goal, z_t, t, u) - z_u).max()
print(f"with this target one step misses the end of two steps by {miss:.0e}; with the teacher's first prediction, by "
      f"{np.abs(ddim_step(first, z_t, t, u) - z_u).max():.2f}")
assert miss < 1e-12

# %% [markdown]
# The formula subtracts nearly equal numbers and divides by a small one. With short steps this loses precision in float32.
# Insert the teacher's two steps into it, and only a weighted mean of the teacher's two predictions remains:
# $\tilde x = c\,\hat x(z_t) + (1 - c)\,\hat x(z_s)$. The weight $c$ depends only on the three noise levels. minidiff uses this
# form.

# %%
def share_of_first(t, s, u):
    (a_t, sigma_t), (a_s, sigma_s), (a_u, sigma_u) = level(t), level(s), level(u)
    one = sigma_u / sigma_s * (a_s - sigma_s / sigma_t * a_t)  # what the first answer adds to the end ...
    two = a_u - sigma_u / sigma_s * a_s  # ... and the second
    return one / (one + two)


c = share_of_first(t, s, u)
print(f"at these three timesteps the target is {c:.3f} of the first prediction and {1 - c:.3f} of the second")
assert np.allclose(c * first + (1 - c) * second, goal, atol=1e-9)

direct = student_target(*(z.astype(np.float32) for z in (z_t, z_u)), t, u)
mixed = c * first.astype(np.float32) + (1 - c) * second.astype(np.float32)
lost = [np.abs(x - goal).max() for x in (direct, mixed)]
print(f"error in float32: {lost[0]:.0e} of the quotient, {lost[1]:.0e} of the weighted mean")
assert lost[1] < lost[0]

# %% [markdown]
# ## Why must the student predict $v$ and not the noise?
#
# The student's first step starts from pure noise. There $a_t$ is nearly 0, and $\hat x_0 = (z_t - \sigma_t\hat\epsilon)/a_t$
# divides by it. An error in $\hat\epsilon$ is therefore multiplied by $\sigma_t/a_t$. An error in $\hat v$ is multiplied by
# $\sigma_t \le 1$. When a sampler takes 64 steps, the later 63 correct such an error. With one step nothing corrects it.

# %%
for t in (500, 900, 999):
    a, sigma = level(t)
    print(f"t = {t}: an error in eps is multiplied by {sigma / a:8.1f} in x0, an error in v by {sigma:.1f}")
assert level(999)[1] / level(999)[0] > 1000
try:
    TwoStepLoss(Denoiser(net, schedule, "eps"), spaced_steps(1000, 64, "trailing"))
    raise SystemExit("this line is never reached")
except ValueError as error:
    print("ValueError:", error)

# %% [markdown]
# ## The loss of one halving
#
# Draw one of the student's steps, and add noise to a data point up to the timestep $t$ where this step starts. Evaluate the
# teacher twice. Compare the student's $v$ with the target's, $v = (a_t z_t - \tilde x)/\sigma_t$. The paper gives a squared
# error in $x_0$ the weight $\max(\text{SNR}, 1)$, where $\text{SNR} = a_t^2/\sigma_t^2$ is the signal-to-noise ratio. An error
# in $v$ is $1/\sigma_t$ times the error in $x_0$ (chapter 4). So the weight on a squared error in $v$ is
# $\sigma_t^2 \max(\text{SNR}, 1) = \max(a_t^2, \sigma_t^2)$, which lies between a half and 1.

# %%
def halving_loss(teacher, times):
    """The loss of a student with half as many steps, in the form that a Trainer takes: loss, back = objective(...)"""
    a, sigma = np.append(schedule.alpha(times), 1.0), np.append(schedule.sigma(times), 0.0)  # at the end: clean
    share = [share_of_first(*([*times.tolist(), None][k : k + 3])) for k in range(0, len(times), 2)]
    share = np.array(share)

    def objective(student, x0, rng, cond=None):
        def at(values, k):
            return values[k].astype(x0.dtype)[:, None]  # (B, 1)

        i = rng.integers(0, len(times) // 2, size=len(x0))  # which step of the student
        k, half = 2 * i, 2 * i + 1
        z = at(a, k) * x0 + at(sigma, k) * rng.standard_normal(x0.shape, dtype=x0.dtype)
        first, eps = teacher(z, times[k])
        second, _ = teacher(at(a, half) * first + at(sigma, half) * eps, times[half])
        goal = at(share, i) * first + (1 - at(share, i)) * second
        v, back_student = student(z, times[k])
        error = v - (at(a, k) * z - goal) / at(sigma, k)
        weight = np.maximum(at(a, k) ** 2, at(sigma, k) ** 2)

        def back(dloss=1.0):
            return back_student(2 * dloss * weight * error / error.size)

        return (weight * error**2).mean(), back

    return objective


times = spaced_steps(1000, 64, "trailing")
batch = points[:256]
loss, back = halving_loss(teacher, times)(net, batch, Rng(7))
theirs, _ = TwoStepLoss(teacher, times, cond_dropout=0.0)(net, batch, Rng(7))
print(f"loss of the first halving: this chapter {loss:.3e}, minidiff {float(theirs):.3e}")
assert np.isclose(loss, theirs, rtol=1e-3)

# %% [markdown]
# The loss is small before any training. The student starts as a copy of the teacher. With 64 steps, two short steps and one
# double step end at nearly the same point. That is why repeated halving works: **no stage has much to learn**.
#
# ## 64, 32, 16, 8, 4, 2, 1

# %%
def distil(teacher, times, train_steps):
    """Halve until one step is left.   -> {steps: student}"""
    students = {}
    while len(times) > 1:
        student = copy.deepcopy(teacher.model)
        train(student, halving_loss(teacher, times), points, train_steps, lr=1e-3)
        times, teacher = times[::2], Denoiser(student, schedule, "v")
        students[len(times)] = teacher, times
    return students


students = distil(teacher, times, 6 if FAST else 300)
student_makes = {n: ddim(student, noise, times) for n, (student, times) in students.items()}
teacher_makes = {n: ddim(teacher, noise, times) for n, (_, times) in students.items()}
for n in student_makes:
    print(f"{n:2} sampling steps: distance, teacher {off(teacher_makes[n]):.2f}, student {off(student_makes[n]):.2f}")
assert off(student_makes[1]) < off(teacher_makes[1])

# %%
shown = (8, 4, 2, 1)
scatter([[teacher_makes[n] for n in shown], [student_makes[n] for n in shown]],
        [[f"{who}, {n} step{'s' * (n > 1)}" for n in shown] for who in ("teacher", "student")])

# %%
def on_ring(made):
    """Share of the points that lie in a blob: within three standard deviations of a centre."""
    return (np.sqrt(((made[:, None] - ring.means) ** 2).sum(axis=2).min(axis=1)) < 0.3).mean()


print(f"share of points in a blob: teacher, 64 steps {on_ring(target):.0%}; teacher, 1 step {on_ring(teacher_makes[1]):.0%}; "
      f"student, 1 step {on_ring(student_makes[1]):.0%}")
assert FAST or on_ring(student_makes[1]) > 0.6

figure = viz.new_figure(5.8, 3.5, "tight")
axes = figure.add_subplot()
for label, makes, colour in (("teacher", teacher_makes, viz.COLOURS[0]), ("student", student_makes, viz.COLOURS[1])):
    axes.loglog(list(makes), [off(made) for made in makes.values()], "o-", color=colour, label=label)
axes.set(xlabel="steps", ylabel="root mean square distance", title="Distance from the end points of 64 steps")
axes.set_xticks(list(student_makes), list(student_makes))
axes.minorticks_off()
axes.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# ## Can the student learn the whole jump at once?
#
# The teacher generates pairs of a noise and the end point that it reaches in 64 steps. A network learns to map the one to the
# other (Luhman and Luhman, 2021). This needs no stages and no formula for a target. We use the same number of training steps
# and start from the same teacher:

# %%
pairs = 100 if FAST else 8000
pair_noise = Rng(2).standard_normal((pairs, 2))
pair_end = ddim(teacher, pair_noise, times)


def jump_loss(student, x0, rng, cond):
    """x0: the end points; cond: the noise each of them comes from."""
    t = int(times[0])
    v, back_student = student(cond, t)
    error = v - (schedule.alpha(t) * cond - x0) / schedule.sigma(t)
    return (error**2).mean(), lambda dloss=1.0: back_student(2 * dloss * error / error.size)


direct = copy.deepcopy(net)
train(direct, jump_loss, pair_end, 6 * (6 if FAST else 300), labels=pair_noise, lr=1e-3)
at_once = ddim(Denoiser(direct, schedule, "v"), noise, times[:1])
print(f"one step, trained directly: distance {off(at_once):.2f}, {on_ring(at_once):.0%} in a blob; "
      f"by halving: distance {off(student_makes[1]):.2f}, {on_ring(student_makes[1]):.0%} in a blob")
print(f"evaluations of the teacher: {64 * pairs:,} for the pairs, {2 * 256 * 6 * (6 if FAST else 300):,} for the halvings")
assert off(at_once) < off(teacher_makes[1])

# %% [markdown]
# It is often claimed that one jump is too much to learn at once. Here it is not. For the same number of training steps, direct
# training ends nearer to the teacher and evaluates it less often. Halving has two other advantages. It gives a student for
# *every* number of steps, so you can choose. And its targets need no stored pairs, so it never runs out of training data.
#
# ## The same in minidiff: digits
#
# minidiff's `progressive_distillation` does the same for any network that predicts $v$ or $x_0$. It supports conditioning,
# saves a checkpoint after each stage, and can average the weights. We train a small U-Net on the digits with their class
# labels, and halve it from 16 steps:

# %%
digits, labels = data.load("digits")
unet = models.UNet(in_channels=1, out_channels=1, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8,
                   num_class_embeds=11, null_class=10, rng=0)  # fmt: skip
train(unet, SimpleLoss(schedule, "v"), digits, 2 if FAST else 240, labels, lr=3e-3, batch_size=16 if FAST else 64)
expert = Denoiser(unet, schedule, "v")

asked, start = np.repeat(np.arange(10), 1 if FAST else 10), None
start = Rng(3).standard_normal((len(asked), 8, 8, 1))
stages = progressive_distillation(expert, digits, labels, start=16, stop=1, train_steps=1 if FAST else 40,
                                  batch_size=16 if FAST else 64, lr=1e-3, warmup=1 if FAST else 5, progress=False)  # fmt: skip


def draw(denoiser, times):
    *_, last = samplers.ddim(denoiser, start, steps=times, cond=asked)
    return last.x


best = draw(expert, spaced_steps(schedule, 16, "trailing"))
rows, away = {"teacher, 16": best}, {}
for stage in stages:
    made = {"teacher": draw(expert, stage.times), "student": draw(stage.denoiser, stage.times)}
    away[stage.steps] = {who: np.sqrt(((x - best) ** 2).mean()) for who, x in made.items()}
    if stage.steps in (4, 1):
        rows |= {f"{who}, {stage.steps}": x for who, x in made.items()}
    print(f"{stage.steps:2} sampling steps: root mean square difference of a pixel {away[stage.steps]['teacher']:.3f} with the "
          f"teacher, {away[stage.steps]['student']:.3f} with the student")
assert FAST or away[1]["student"] < away[1]["teacher"]

# %%
each = len(asked) // 10
pictures = np.concatenate([x[::each][:10] for x in rows.values()])
viz.show_grid(pictures, columns=10, rows=[f"{name} step{'s' * (name[-1] != '1')}" for name in rows])

# %% [markdown]
# All rows start from the same noise. The first row shows the teacher's 16 steps. Below it are four steps of the teacher and
# four of the student, then one step of the teacher and one of the student. `minidiff study distillation` runs this at full
# size, from 64 steps, and scores the samples: [table](../docs/studies.md#does-progressive-distillation-keep-the-quality).
#
# Distillation has a cost. Every stage is a training run. Each of its training steps evaluates a network three times, the
# teacher twice and the student once, and runs the student's backward pass. This pays when a model is sampled far more often
# than it is trained.
#
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** From the target $\tilde x$ and $z_t$, compute the target for a network that predicts $v$.
#
# <details><summary>Hint</summary>
#
# $\hat x_0$ follows from $z_t$ and $v$ by the formula at the top of the chapter. Which of the three do you know?
# </details>
# <details><summary>Bigger hint</summary>
#
# Solve $\tilde x = a_t z_t - \sigma_t v$ for $v$. `level(t)` returns $a_t$ and $\sigma_t$.
# </details>

# %%
def v_target(goal, z, t):
    ...  # return v


if grading.answered(v_target, goal, z_t, 700):
    mistakes.find(v_target, "13.v_target")
    made = Denoiser(lambda x, t, cond: v_target(goal, z_t, 700), schedule, "v")
    grading.same(made(z_t, 700)[0], goal, "the x0 that your v leads to")
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** Distillation halves from `start` steps to 1, with `train_steps` training steps per stage. How often is a
# network called in all, for one point of a batch? Count the teacher and the student, not the backward pass.
#
# <details><summary>Hint</summary>
#
# Count the calls in one training step of `halving_loss`, then the stages: 64 steps need six.
# </details>
# <details><summary>Bigger hint</summary>
#
# In each training step the teacher is called twice and the student once. `start` is a power of two, and its exponent is the
# number of stages. `start.bit_length()` is one more than that.
# </details>

# %%
def calls(start, train_steps):
    ...  # return a whole number


if grading.answered(calls, 64, 700):
    mistakes.find(calls, "13.calls")
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** Write the weighted loss of a student's $v$ as a separate function, with its gradient. It is the mean over all
# entries of `weight` times the squared error.
#
# <details><summary>Hint</summary>
#
# The weight multiplies the square; it is not squared itself. `back(dloss)` returns the gradient by `v`, times `dloss`.
# </details>
# <details><summary>Bigger hint</summary>
#
# Take the derivative of $\frac{1}{N} \sum_n w_n (v_n - g_n)^2$ by one $v_n$. $N$ counts all entries, `v.size`; $w$ is the
# weight and $g$ the goal.
# </details>

# %%
def weighted_loss(v, goal, weight):
    ...  # v, goal (B, ...), weight (B, 1, ...); return loss, back


if grading.answered(weighted_loss, z_t, goal, np.ones((500, 1))):
    mistakes.find(weighted_loss, "13.weighted_loss")
    gradcheck.check(lambda v: weighted_loss(v, goal, np.full((500, 1), 0.7)), z_t)
    print("exercise 3: right")

# %% [markdown]
# **Exercise 4.** Classifier-free guidance evaluates the network twice in every step (chapter 10). Guidance can be distilled too
# (Meng and others, 2023). Which noise should a student predict, so that one call replaces the guided pair at weight $w$?
#
# <details><summary>Hint</summary>
#
# Guidance extrapolates from the unconditional prediction past the conditional one. At $w = 0$ only the conditional prediction
# remains.
# </details>
# <details><summary>Bigger hint</summary>
#
# The weights of the two noise predictions add up to 1. The unconditional one, for the null label, has weight $-w$. `denoiser`
# returns `x0, eps`; take the second of them.
# </details>

# %%
def guided_target(denoiser, z, t, cond, null, w):
    ...  # denoiser(z, t, cond) -> x0, eps; return the noise


if grading.answered(guided_target, expert, start, 500, asked, 0 * asked + 10, 1.0):
    mistakes.find(guided_target, "13.guided_target")
    print("exercise 4: right")

# %% [markdown]
# ### Build it: one training step of a distillation
#
# Now build a training step for images and points alike, in three parts that make up `halving_loss`. You can solve the parts in
# any order. Write each without the chapter's functions for it. All three use the same names:
#
# - `times` contains the teacher's $2N$ timesteps, the noisiest first, where $N$ is the number of the student's steps.
# - `alpha` and `sigma` contain $a_t$ and $\sigma_t$ at these timesteps. At index $2N$ they contain the values of a clean image,
#   1 and 0.
# - `i` has one whole number for each sample: student step $i$ goes from index $2i$ past $2i + 1$ to $2i + 2$.
#
# **Exercise 5.** Take the teacher's two DDIM steps. Return its two predictions of $x_0$, and the end of the second step.
#
# <details><summary>Hint</summary>
#
# `alpha[2 * i]` is one number for each sample. Give it as many axes of length 1 as $z$ has after the batch axis, and it
# broadcasts over images.
# </details>
# <details><summary>Bigger hint</summary>
#
# `a.reshape(-1, *[1] * (z.ndim - 1))` adds the axes. The first step leads from $z_t$ to
# $z_s = a_s \hat x_0 + \sigma_s \hat\epsilon$. Call the teacher again there, with the timestep of index $2i + 1$, and take the
# second step.
# </details>

# %%
def two_steps(teacher, z, i, times, alpha, sigma):
    ...  # teacher(z, t) -> x0, eps   z (B, ...)   i (B,)   -> first, second, end


some = np.array([0, 1])  # which steps of the student
levels = np.array([0.1, 0.3, 0.6, 0.8, 1.0]), np.array([0.99, 0.95, 0.8, 0.6, 0.0])
if grading.answered(two_steps, lambda z, t: (z, z), np.ones((2, 1)), some, np.array([9, 7, 5, 3]), *levels):
    mistakes.find(two_steps, "13.two_steps")
    print("exercise 5: right")

# %% [markdown]
# **Exercise 6.** From the teacher's two predictions, compute the student's target as their weighted mean, which is accurate in
# float32 too. Return it in the dtype of the predictions.
#
# <details><summary>Hint</summary>
#
# `share_of_first` above computes the weight for three timesteps. Here every sample has three noise levels.
# </details>
# <details><summary>Bigger hint</summary>
#
# Write the end of the two steps as $p\,\hat x(z_t) + q\,\hat x(z_s) + r\,z_t$ with factors $p$, $q$ and $r$. One step with
# $\tilde x$ has the same $r$, so its factor on $\tilde x$ is $p + q$. Compute the weight in float64, and convert it last.
# </details>

# %%
def mixed_target(first, second, i, alpha, sigma):
    ...  # first, second (B, ...)   i (B,)   -> target (B, ...)


if grading.answered(mixed_target, np.ones((2, 1)), np.ones((2, 1)), some, *levels):
    mistakes.find(mixed_target, "13.mixed_target")
    print("exercise 6: right")

# %% [markdown]
# **Exercise 7.** Write the loss of the student's $v$ against the target `goal`, an $x_0$, with its gradient by $v$. The weight
# on a squared error in $v$ is $\max(a_t^2, \sigma_t^2)$, and the loss is the mean over all entries.
#
# <details><summary>Hint</summary>
#
# Which $v$ would lead from $z$ to `goal`? The student starts at index $2i$.
# </details>
# <details><summary>Bigger hint</summary>
#
# With that $v$ as the target, only exercise 3 remains. Give alpha and sigma their extra axes before you use them.
# </details>

# %%
def distillation_loss(v, z, goal, i, alpha, sigma):
    ...  # v, z, goal (B, ...)   i (B,)   -> loss, back


if grading.answered(distillation_loss, *np.ones((3, 2, 1)), some, *levels):
    mistakes.find(distillation_loss, "13.distillation_loss")
    gradcheck.check(lambda v: distillation_loss(v, z_t[:2], goal[:2], some, *levels), goal[:2] + 1)
    print("exercise 7: right")

# %% [markdown]
# The answers are in [docs/answers/13.py](../docs/answers/13.py), together with the hidden tests for graded assignments.
