"""How well do small text-to-image systems obey? Images compared with their prompts, seen and held out, by guidance weight.

Each system that ships with minidiff draws every prompt once, and the checker reads the images. An image obeys its prompt if it
shows everything that the prompt names, as described, and nothing else. Prompts called "seen" name one thing whose pair of
colour and shape occurs in training, "held out" prompts one whose pair never occurs. Prompts called "relation" name two things
of seen pairs and their relative position.

The system `dalle2` also makes variations of images. "variation" is how often the new image agrees with the fullest description
of the given one (size, colour, shape, place), "variation colour and shape" how often it agrees in those two.
"""

from ..data import captioned_shapes, checker
from ..data.captions import Caption, Phrase
from ..recipes import SYSTEMS, find, load, test_prompts
from ..recipes.dalle2 import variations
from ..recipes.pretrained import is_shipped
from ..recipes.stage import LOOK
from ..rng import Rng
from .plot import colour, curves, finish, panels, side_by_side
from .table import over_seeds

WEIGHTS = (0.0, 1.0, 2.0, 4.0)
ONE, TWO = ("single", "position"), ("relation",)
KINDS = {"seen": (False, ONE), "held out": (True, ONE), "relation": (False, TWO)}  # name: held out or not, kinds of caption
SHOWN = LOOK[:10]  # without the counts


def run(options):
    """Rows: system, prompts, weight, samples, obeyed; parameters and minutes of training (one core) of the system."""
    for name in filter(is_shipped, SYSTEMS):
        system = load(name)
        size = {"parameters": sum(net.size() for net in system.parts.values()), "minutes": find(name).minutes}
        for prompts, (held_out, kinds) in KINDS.items():
            for weight in options.size(WEIGHTS, (0.0, 2.0)):
                asked = test_prompts(options.size(500, 2), held_out, kinds)

                def measure(seed, system=system, asked=asked, weight=weight):
                    return {"obeyed": float(system.obeyed(asked, weight, seed, options.size(None, 2)).mean())}

                row = {"system": name, "prompts": prompts, "weight": weight, "samples": len(asked)}
                yield row | over_seeds(options.seeds, measure) | size
        if name == "dalle2":
            yield from (row | size for row in vary(system, options))
    sheet(options)


def sheet(options):
    """Draw the same prompts with each system, and write them above the images: text_to_image_samples.png"""
    prompts, steps = SHOWN[: options.size(None, 2)], options.size(None, 2)
    rows = [(name, load(name).draw(prompts, rng=0, steps=steps)) for name in filter(is_shipped, SYSTEMS)]
    side_by_side(rows, options.out / "text_to_image_samples.png", columns=prompts, high=0.72)


def vary(system, options):
    """Rows: how well variations of images of one thing agree with them, at guidance weight 1."""
    n, weight, kept = options.size(200, 2), 1.0, {}
    images, _ = captioned_shapes(n, 32, 0, kinds=("single",))
    full = [max(reading.captions(), key=len) for reading in checker.read(images)]
    things = [reading.things[0] for reading in checker.read(images)]
    expected = {"variation": full, "variation colour and shape": [Caption(Phrase(a.shape, a.colour)) for a in things]}
    for seed in options.seeds:
        kept[seed] = variations(system.parts, images, weight, Rng(seed), options.size(None, 2))
    for name, captions in expected.items():
        agree = over_seeds(options.seeds, lambda seed, c=captions: {"obeyed": float(checker.check(kept[seed], c).mean())})
        yield {"system": "dalle2", "prompts": name, "weight": weight, "samples": n} | agree
    rows = [("given", images[:10]), *((f"variation {seed + 1}", kept[seed][:10]) for seed in options.seeds)]
    side_by_side(rows, options.out / "text_to_image_variations.png")


def draw(rows):
    figure, axes = panels(4.3 * len(KINDS), 4.0, len(KINDS))
    for panel, prompts in zip(axes, KINDS, strict=True):
        curves(panel, [row for row in rows if row["prompts"] == prompts], "weight", "obeyed", by="system", names=list(SYSTEMS))
        title = {"seen": "One thing, pairs seen in training", "held out": "One thing, pairs held out", "relation": "Two things"}
        finish(panel, "guidance weight w", "share of prompts obeyed", title[prompts], legend=panel is axes[0])
        panel.set_ylim(0, 1.03)
        panel.axhline(1, color=colour(7), linewidth=0.6)
    return figure
