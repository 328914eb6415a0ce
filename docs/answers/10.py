"""Chapter 10: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading
from minidiff.diffusion import Schedule

WITHOUT = {  # what an answer may not call
    "towards_and_away": ["minidiff.diffusion.cfg"],
    "drop_labels": ["drop", "minidiff.diffusion.losses.drop_conditions"],
    "conditional_loss": ["drop", "minidiff.diffusion.losses.drop_conditions", "minidiff.diffusion.SimpleLoss"],
    "guided_eps": ["minidiff.diffusion.cfg", "minidiff.diffusion.guidance.Guided"],
}

# ---- 1


def by_scale(eps_without, eps_with, scale):
    return eps_without + scale * (eps_with - eps_without)


def check_scales():
    """at 0, 1 and beyond, for a batch of images in float32"""
    without, given = np.full((2, 3, 3, 1), 1.0, np.float32), np.full((2, 3, 3, 1), 3.0, np.float32)
    for scale, right in ((7.5, 16.0), (0.0, 1.0), (1.0, 3.0), (0.5, 2.0), (-1.0, -1.0)):
        got = by_scale(without, given, scale)
        grading.same(got, np.full((2, 3, 3, 1), right), f"guided, scale {scale}")
        assert got.dtype == np.float32, "eps of float32 numbers is not float32"


# ---- 2


def towards_and_away(denoiser, x, t, c, away, w):
    return (1 + w) * denoiser(x, t, c)[1] - w * denoiser(x, t, away)[1]


def check_what_is_asked():
    """a batch of images, each at its own t, for weights that favour either side"""
    def denoiser(x, t, cond=None):
        shift = 0.0 if cond is None else np.asarray(cond, float)[:, None, None, None] * (1 + np.asarray(t))[:, None, None, None]
        return x + 7, shift - x

    x, t = np.linspace(-1, 1, 24).reshape(3, 2, 2, 2), np.array([0, 1, 4])
    for w, shift in ((0.5, (4.0, 9.0, -10.0)), (0.0, (3.0, 8.0, 0.0)), (-1.0, (1.0, 6.0, 20.0))):
        right = np.array(shift)[:, None, None, None] - x
        got = towards_and_away(denoiser, x, t, np.array([3, 4, 0]), np.array([1, 3, 4]), w)
        grading.same(got, right, f"the guided eps, w = {w}")


# ---- 3


def same_contrast(guided, conditional):
    axes = (1, 2, 3)
    return guided * conditional.std(axis=axes, keepdims=True) / guided.std(axis=axes, keepdims=True)


def check_picture_by_picture():
    """one image, and several in colour, whose means differ"""
    guided = np.array([[[[3.0], [-1.0]]], [[[10.0], [14.0]]]])  # deviations 2 and 2
    plain = np.array([[[[5.0], [4.0]]], [[[0.0], [12.0]]]])  # deviations 1/2 and 6
    grading.same(same_contrast(guided, plain), [[[[0.75], [-0.25]]], [[[30.0], [42.0]]]], "the answer, two images")
    grading.same(same_contrast(guided[:1], plain[:1]), [[[[0.75], [-0.25]]]], "the answer, one image")
    rng = np.random.default_rng(6)
    wild, calm = rng.standard_normal((2, 4, 2, 3, 3)) * np.arange(1.0, 4) + np.arange(4.0).reshape(4, 1, 1, 1)
    right = [w * np.sqrt(((c - c.mean()) ** 2).mean() / ((w - w.mean()) ** 2).mean()) for w, c in zip(wild, calm, strict=True)]
    grading.same(same_contrast(wild, calm), right, "the answer, in colour")


# ---- 4


def log_sure(x):
    return -np.logaddexp(0, -2 * x)


def check_far_out():
    """far out on both sides, where exp overflows"""
    x = np.array([-1000.0, -3.0, 0.0, 2.0, 1000.0])
    with np.errstate(all="ignore"):
        naive = np.log(1 / (1 + np.exp(-2 * x)))
        other = np.log(np.exp(2 * x) / (1 + np.exp(2 * x)))
    right = [-2000.0, -6.002475685137730, -0.6931471805599453, -0.018149927917809, 0.0]
    grading.same(log_sure(x), right, "log p(1 | x)", {
        "exp overflows far out on the left: use np.logaddexp": naive,
        "exp overflows far out on the right: use np.logaddexp": other,
    })


# ---- 5


def drop_labels(labels, null, rate, rng):
    gone = rng.random(len(labels)) < rate
    return np.where(gone.reshape((-1,) + (1,) * (labels.ndim - 1)), null, labels)


def check_rates_and_ranks():
    """no rate, every label, a share in between; captions of any rank; the labels that were given stay"""
    labels = np.arange(20_000) % 7
    kept = labels.copy()
    for rate in (0.0, 0.25, 1.0):
        got = drop_labels(labels, 7, rate, np.random.default_rng(1))
        grading.same((got == 7).mean(), rate, f"the share dropped at rate {rate}", atol=0.01)
        grading.same(got[got != 7], labels[got != 7], f"those kept at rate {rate}")
        assert got.dtype.kind == "i", "the labels are no whole numbers any more"
    grading.same(labels, kept, "the labels that were given", {"they were written into": drop_labels(kept, 7, 1.0, rng)})
    tokens = np.arange(1.0, 4001).reshape(1000, 2, 2)
    null = np.array([[-1.0, -2.0], [-3.0, -4.0]])
    got = drop_labels(tokens, null, 0.5, np.random.default_rng(2))
    gone = (got == null).all(axis=(1, 2))
    grading.same(gone.mean(), 0.5, "the share of tokens (1000, 2, 2) dropped", atol=0.06)
    grading.same(got, np.where(gone[:, None, None], null, tokens), "tokens (1000, 2, 2)")


# ---- 6


def conditional_loss(model, schedule, x0, labels, null, rate, rng):
    t = rng.integers(schedule.T, size=len(x0))
    eps = rng.standard_normal(x0.shape)
    labels = np.where(rng.random(len(x0)) < rate, null, labels)
    alpha, sigma = (level.reshape((-1,) + (1,) * (x0.ndim - 1)) for level in (schedule.alpha(t), schedule.sigma(t)))
    y, back_model = model(alpha * x0 + sigma * eps, t, labels)

    def back(dloss=1.0):
        return back_model(dloss * 2 * (y - eps) / y.size)

    return ((y - eps) ** 2).mean(), back


def check_a_model_of_each_label():
    """points in the plane, and a table with a row for each label, by its exact gradient"""
    schedule, table, seen = Schedule.cosine(200), np.arange(12.0).reshape(6, 2) / 5, []

    def model(x, t, cond):
        seen.append((np.asarray(x), np.asarray(t), np.asarray(cond)))

        def back(dy):
            dtable = np.zeros_like(table)
            np.add.at(dtable, seen[-1][2], dy)
            return dtable

        return table[np.asarray(cond)] + 0 * np.asarray(x), back

    labels, x0 = np.arange(1000) % 5, np.ones((1000, 2))
    got, back = grading.parts(
        conditional_loss(model, schedule, x0, labels, 5, 0.2, np.random.default_rng(3)), "loss", "back")
    (x, t, cond), rng = seen[-1], np.random.default_rng(3)
    t_right = rng.integers(200, size=1000)
    eps = rng.standard_normal((1000, 2))
    grading.same(t, t_right, "t")
    grading.same(x, np.sqrt(schedule.alpha_bar[t])[:, None] + np.sqrt(1 - schedule.alpha_bar[t])[:, None] * eps, "x_t")
    grading.same((cond == 5).mean(), 0.2, "the share of labels dropped", atol=0.04)
    grading.same(cond[cond != 5], labels[cond != 5], "the labels kept")
    grading.same(got, ((table[cond] - eps) ** 2).mean(), "the loss")
    right = np.stack([(table[k] - eps[cond == k]).sum(axis=0) for k in range(6)]) / 1000
    grading.same(back(1.0), right, "the gradient of the table")
    grading.same(back(-2.0), -2 * right, "the gradient of the table, for dloss = -2")


# ---- 7


def guided_eps(model, x, t, cond, null, w):
    both = np.concatenate([cond, np.full_like(cond, null)])
    given, none = np.split(model(np.concatenate([x, x]), np.concatenate([t, t]), both), 2)
    w = np.reshape(w, (-1,) + (1,) * (x.ndim - 1))
    return (1 + w) * given - w * none


def check_one_call():
    """images and captions, a weight for each sample, batches of one and of four, one call"""
    for B in (1, 4):
        rng, sizes = np.random.default_rng(B), []
        x, cond, null = rng.standard_normal((B, 4, 4, 3)), rng.integers(1, 9, (B, 5)), np.array([0, 0, 1, 0, 0])

        def model(x, t, cond, sizes=sizes):
            sizes.append(len(x))
            return x * np.asarray(t)[:, None, None, None] + np.asarray(cond).sum(axis=1)[:, None, None, None] ** 2

        t, w = np.arange(1, B + 1), np.linspace(-1, 3, B)
        shift = (1 + w) * cond.sum(axis=1) ** 2 - w
        right = x * t[:, None, None, None] + shift[:, None, None, None]
        grading.same(guided_eps(model, x, t, cond, null, w), right, f"the guided eps of {B}")
        grading.same(sizes, [2 * B], "the rows of each call of the model")
        grading.same(guided_eps(model, x, t, cond, null, 0.0), x * t[:, None, None, None] + (cond.sum(axis=1) ** 2)[
            :, None, None, None], f"the plain conditional eps of {B}")
