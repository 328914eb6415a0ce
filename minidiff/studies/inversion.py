"""Does DDIM recover the noise of an image? Inversion and sampling on real digits, by number of steps.

DDIM run backwards turns the image into noise, and DDIM turns the noise back into an image. On the way to noise, a step should
evaluate the network at its result, which is still unknown; `refine` repeats the step with the computed result.
"""

from ..samplers import ddim, ddim_invert
from . import digits
from .plot import curves, finish, panels

STEPS = (10, 20, 50, 100, 250, 1000)


def run(options):
    """Rows: refine, steps, mean and largest absolute error of a pixel (data lie in -1 .. 1), and the latent's deviation."""
    denoiser = digits.trained(options)
    images, labels = digits.held_out(options.size(16, 2))
    for refine in (0, 1, 3):
        for steps in options.size(STEPS, (2, 4)):
            *_, up = ddim_invert(denoiser, images, steps=steps, refine=refine, cond=labels)
            *_, down = ddim(denoiser, up.x, steps=steps, cond=labels)
            away = abs(down.x - images)
            yield {
                "refine": refine,
                "steps": steps,
                "mean": float(away.mean()),
                "rms": float((away**2).mean() ** 0.5),
                "largest": float(away.max()),
                "latent_std": float(up.x.std()),
                "images": len(images),
            }


def draw(rows):
    figure, (left, right) = panels(10, 4.2, 2)
    ticks = sorted({row["steps"] for row in rows})
    rows = [row | {"line": f"{1 + row['refine']} network evaluation{'s' * (row['refine'] > 0)} per step"} for row in rows]
    for axes, key, words in ((left, "mean", "mean error of a pixel"), (right, "largest", "largest error of any pixel")):
        curves(axes, rows, "steps", key, "line")
        for level in (1e-2, 1e-4):
            axes.axhline(level, color="#868e96", linewidth=0.8, linestyle=(0, (1, 1)))
        finish(axes, "steps in each direction", words, None, legend=axes is left, log="xy", ticks=ticks)
    figure.suptitle("Inversion and sampling by DDIM, real digits", fontsize=11)
    return figure
