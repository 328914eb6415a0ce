"""Why predict the noise and not the image? eps, x0 and v trained alike, also with a network narrower than the data.

For every prediction, the study measures the errors of both x0 and eps by t, so that they can be compared. The narrow network is
an MLP whose hidden layers have fewer units than the image has pixels. So it cannot represent the noise, but it can represent an
image. The same holds for a transformer whose patches have more numbers than it has features (Li and He 2025, arXiv:2511.13720):
patches of 2, 4 and 8 pixels have 4, 16 and 64 numbers here.
"""

import functools

from ..models import DiT
from ..rng import Rng, Stream
from ..runs import build_objective
from . import digits
from .knowing_t import TIMES
from .plot import curves, finish, panels, side_by_side
from .small import FlatMLP
from .table import over_seeds

PREDICTS = ("eps", "x0", "v")
PATCHES, NARROW, WIDE = (2, 4, 8), 32, 96  # pixels along a side; features
SAMPLERS = (("ddpm", 100), ("ddim", 20))  # name, steps


UNET, UNET_STEPS = "U-Net", 800  # of training


def _dit(features, patch):
    return f"DiT {features} wide, patch {patch}", (2000, functools.partial(_build_dit, features, patch))


def _build_dit(features, patch, rng):
    return DiT(2, features // 2, in_channels=1, num_layers=4, sample_size=8, patch_size=patch,
               num_embeds_ada_norm=digits.CLASSES, rng=rng)  # fmt: skip


NETS = {  # beside the U-Net: (training steps, model from the generator of its weights)
    "narrow MLP, 16 wide": (4000, functools.partial(FlatMLP, 16)),
    "wide MLP, 256 wide": (4000, functools.partial(FlatMLP, 256)),
    **dict(_dit(NARROW, patch) for patch in PATCHES),
    **dict([_dit(WIDE, PATCHES[-1])]),
}


def run(options):
    """Rows: `network`, predicts, t, eps_mse, x0_mse; and for samples: sampler, frechet, accuracy. One model for each seed."""
    judge, n, pictures = digits.judge(options), options.size(250, 20), []
    for net in (UNET, *NETS):
        for predicts in PREDICTS:
            denoisers = {seed: _trained(options, net, predicts, seed) for seed in options.seeds}
            yield from _errors_by_t(options, net, predicts, denoisers)
            for sampler, steps in options.size(SAMPLERS, (("ddim", 5),)):
                chosen, kept = dict(steps=steps, spacing="trailing", clip=1.0), {}

                def measure(seed, sampler=sampler, chosen=chosen, denoisers=denoisers, kept=kept):
                    kept[seed] = digits.draw_samples(sampler, denoisers[seed], n, seed, **chosen)
                    return judge.look(kept[seed], digits.asked_classes(n))

                yield {"network": net, "predicts": predicts, "sampler": f"{sampler}, {steps} steps", "samples": n,
                       **over_seeds(options.seeds, measure)}  # fmt: skip
            pictures.append((f"{net}: {predicts}", kept[options.seeds[0]][:12]))
    side_by_side(pictures, options.out / "predictions_samples.png")


def _errors_by_t(options, net, predicts, denoisers):
    times = options.size(TIMES, (0, 50))
    found = {seed: list(digits.loss_by_t(denoiser, times, options)) for seed, denoiser in denoisers.items()}
    for k, t in enumerate(times):
        errors = over_seeds(options.seeds, lambda seed, k=k: dict(zip(("eps_mse", "x0_mse"), found[seed][k][1:], strict=True)))
        yield {"network": net, "predicts": predicts, "t": t, **errors}


def _trained(options, net, predicts, seed):
    chosen, name = (f"diffusion.predicts={predicts}", f"train.seed={seed}"), f"predictions/{net}/{predicts}/{seed}"
    if net == UNET:
        return digits.train(options, UNET_STEPS, name, *chosen)
    steps, built = NETS[net]
    config = digits.configuration(options, steps, *chosen)
    model = built(rng=Rng(seed, Stream.WEIGHTS))
    return digits.denoiser_of(digits.fit(model, build_objective(config), options, digits.place(options, name), config), config)


def draw(rows):
    figure, axes = panels(17, 8, 4, 2)
    for ax, below, net in zip(axes[:3], axes[4:7], (UNET, *NETS), strict=False):
        own = [row for row in rows if row["network"] == net and row.get("t") is not None]
        curves(ax, own, "t", "x0_mse", "predicts")
        finish(ax, "timestep t", "mean squared error of x0", net, legend=True, log="y")
        curves(below, own, "t", "eps_mse", "predicts")
        finish(below, "timestep t", "mean squared error of eps", None, log="y")
        below.set_ylim(top=2)
    sides = {_dit(NARROW, patch)[0]: patch for patch in PATCHES}
    drawn = [row | {"side": sides.get(row["network"])} for row in rows if row.get("sampler") is not None]
    for ax, sampler in zip((axes[3], axes[7]), dict.fromkeys(row["sampler"] for row in drawn), strict=False):
        curves(ax, [row for row in drawn if row["sampler"] == sampler], "side", "frechet", "predicts")
        finish(ax, f"side of a patch (pixels), {sampler}", "Fréchet distance", f"DiT, {NARROW} wide" if ax is axes[3] else None,
               log="xy", ticks=PATCHES)  # fmt: skip
    return figure
