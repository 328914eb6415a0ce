"""Step functions against published figures that no run gives: there the scaled sample is fed back into the step.

T = 1100, 10 steps on an unrounded straight line of t, sigma linear in t between whole steps.
"""

import numpy as np
from torch_random import TorchRandom

from minidiff.diffusion.sigmas import karras_sigmas, sigma_of_t, t_of_sigma
from minidiff.diffusion.spacing import spaced_steps
from minidiff.samplers.euler import ancestral_levels, euler_step, slope
from minidiff.samplers.lms import weights


def test_step(step_row, fx, outside):
    row, schedule = step_row, fx.schedule(T=1100, tables="float32")
    t = spaced_steps(schedule, 10, "linspace", whole=False)
    s = sigma_of_t(schedule, t, "linear")
    if row.get("karras"):
        s = karras_sigmas(s[-1], s[0], 10)
        t = t_of_sigma(schedule, s)
    first, v, s = row.get("start", 0), row.get("predicts") == "v", [*s.tolist(), 0.0]
    y = fx.start() * np.float32(s[0])
    if first:
        y = y + np.float32(s[first]) * fx.start(backwards=True)

    def look(y, i):
        """The sample as it was fed back, and the clean picture that it predicts."""
        y = y / (s[i] ** 2 + 1) ** 0.5
        output = fx.model(y, float(t[i]))
        x0 = y / (s[i] ** 2 + 1) - s[i] / (s[i] ** 2 + 1) ** 0.5 * output if v else y - s[i] * output
        return y, x0

    rng, slopes = TorchRandom(0), []
    for i in range(first, 10):
        y, x0 = look(y, i)
        if row["sampler"] == "euler":
            y = euler_step(y, x0, s[i], s[i + 1])
        elif row["sampler"] == "euler_ancestral":
            up, down = ancestral_levels(s[i], s[i + 1])
            y = euler_step(y, x0, s[i], down) + np.float32(up) * rng.standard_normal(y.shape)
        elif row["sampler"] == "lms":
            slopes = [slope(y, x0, s[i]), *slopes[:3]]
            nodes = [s[i - k] for k in range(min(i + 1, 4))]  # a run that starts on the way still uses its full order
            y = y + sum(w * d for w, d in zip(weights(nodes, s[i], s[i + 1]), slopes, strict=False))
        elif row["sampler"] == "heun":
            d, arrived = slope(y, x0, s[i]), euler_step(y, x0, s[i], s[i + 1])
            if s[i + 1] > 0:
                d = (d + slope(*look(arrived, i + 1), s[i + 1])) / 2
            y = y + (s[i + 1] - s[i]) * d
    assert y.dtype == np.float32
    outside(np.abs(y).sum(), row["sum"], atol=row.get("atol_sum", 1e-2))
    outside(np.abs(y).mean(), row["mean"], atol=1e-3)
