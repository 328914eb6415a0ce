"""Why predict the noise and not the image? eps, x0 and v trained alike, also with a network narrower than the data.

For every prediction, the study measures the errors of both x0 and eps by t, so that they can be compared. The narrow network is
an MLP whose hidden layers have fewer units than the image has pixels. So it cannot represent the noise, but it can represent an
image.
"""

from ..runs import build_objective
from . import digits
from .knowing_t import TIMES
from .plot import curves, finish, panels, side_by_side
from .small import FlatMLP
from .table import over_seeds

STEPS = 800  # of training
PREDICTS = ("eps", "x0", "v")
WIDTHS = {"narrow MLP, 16 wide": 16, "wide MLP, 256 wide": 256}


def run(options):
    """Rows: `network`, predicts, t, eps_mse, x0_mse; and for samples: sampler, frechet, accuracy."""
    judge, n, pictures = digits.judge(options), options.size(250, 20), []
    for net in ("U-Net", *WIDTHS):
        for predicts in PREDICTS:
            denoiser = _trained(options, net, predicts)
            for t, eps_mse, x0_mse in digits.loss_by_t(denoiser, options.size(TIMES, (0, 50)), options):
                yield {"network": net, "predicts": predicts, "t": t, "eps_mse": eps_mse, "x0_mse": x0_mse}
            for sampler, steps in options.size((("ddpm", 100), ("ddim", 20)), (("ddim", 5),)):
                kept = {}

                def measure(seed, sampler=sampler, steps=steps, denoiser=denoiser, kept=kept):
                    kept[seed] = digits.draw_samples(sampler, denoiser, n, seed, steps=steps, spacing="trailing", clip=1.0)
                    return judge.look(kept[seed], digits.asked_classes(n))

                yield {"network": net, "predicts": predicts, "sampler": f"{sampler}, {steps} steps", "samples": n,
                       **over_seeds(options.seeds, measure)}  # fmt: skip
            pictures.append((f"{net}: {predicts}", kept[options.seeds[0]][:12]))
    side_by_side(pictures, options.out / "predictions_samples.png")


def _trained(options, net, predicts):
    if net == "U-Net":
        return digits.train(options, STEPS, f"predictions/{predicts}", f"diffusion.predicts={predicts}")
    config = digits.configuration(options, 4000, f"diffusion.predicts={predicts}")
    folder = digits.place(options, f"predictions/mlp{WIDTHS[net]}_{predicts}")
    model = digits.fit(FlatMLP(WIDTHS[net]), build_objective(config), options, folder, config)
    return digits.denoiser_of(model, config)


def draw(rows):
    nets = list(dict.fromkeys(row["network"] for row in rows))
    figure, axes = panels(13, 8, 3, 2)
    for ax, below, net in zip(axes[:3], axes[3:], nets, strict=True):
        own = [row for row in rows if row["network"] == net and row.get("t") is not None]
        curves(ax, own, "t", "x0_mse", "predicts")
        finish(ax, "timestep t", "mean squared error of x0", net, legend=True, log="y")
        curves(below, own, "t", "eps_mse", "predicts")
        finish(below, "timestep t", "mean squared error of eps", None, log="y")
        below.set_ylim(top=2)
    return figure
