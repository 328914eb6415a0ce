"""Put a recipe's trained nets into the package: float16 weights, and a card that says where they come from and what they can.

    python scripts/ship_recipe.py stable_diffusion runs/stable_diffusion --weights 0 1 3

The card's figures are measured here, with the nets as they ship: opened from the float16 files.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

from minidiff import recipes
from minidiff.data import captioned_shapes, checker, tokenizer
from minidiff.files import write_whole
from minidiff.recipes import pretrained
from minidiff.recipes.run import open_parts, reuses
from minidiff.rng import Rng
from minidiff.studies.table import over_seeds
from minidiff.training import MaskedWordLoss, checkpoint

SINGLE = ("single", "position")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", choices=recipes.NAMES)
    parser.add_argument("run", help="the folder of `minidiff train --recipe`")
    parser.add_argument("--prompts", type=int, default=500, help="of one object, seen pair and held out (default: 500)")
    parser.add_argument("--others", type=int, default=100, help="of relations, and of counts (default: 100)")
    parser.add_argument("--weights", type=float, nargs="+", default=[0, 1, 3], help="guidance weights to measure")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="sampling seeds to average over (default: 1)")
    parser.add_argument("--machine", default="", help="a sentence on where the seconds were measured")
    parser.add_argument("--card-only", action="store_true", help="measure what is in the package already")
    arguments = parser.parse_args()
    recipe = recipes.find(arguments.recipe)
    if not arguments.card_only:
        parts = open_parts(recipe, arguments.run)
        for stage in recipe.stages:
            if pretrained.path_of(recipe, stage).parent.name == recipe.name:
                pretrained.ship(recipes.Recipe(recipe.name, "", (stage,), 0.0), parts)
    parts = pretrained.shipped(recipe.name)
    figures = FIGURES[recipe.name](parts) if recipe.name in FIGURES else obeyed(recipe, parts, arguments)
    text = card(recipe, parts, Path(arguments.run), figures, arguments)
    write_whole(pretrained.FOLDER / recipe.name / "README.md", [text.encode()])
    print(text)


def card(recipe, parts, run, figures, arguments):
    """The text of a card."""
    reuse = " --reuse" if reuses(recipe, run) else ""
    weights, seeds = (" ".join(f"{n:g}" for n in numbers) for numbers in (arguments.weights, arguments.seeds))
    options = "" if recipe.name in FIGURES else f" --weights {weights} --seeds {seeds}"
    lines = [f"# {recipe.name}", "", f"{recipe.summary[0].upper()}{recipe.summary[1:]}.", "",
             f"Made by `minidiff train --recipe {recipe.name}{reuse}` (seed {seed_of(run, recipe)}) and "
             f"`python scripts/ship_recipe.py {recipe.name} runs/{recipe.name}{options}`.", "",
             "| stage | file | parameters | steps | seconds of training |", "|---|---|--:|--:|--:|"]  # fmt: skip
    for stage in recipe.stages:
        path, folder = pretrained.path_of(recipe, stage), run / stage.name
        trained = "{:,} | {:,.0f}".format(*time_of(folder)) if folder.exists() else f"[its card](../{path.parent.name}) |"
        lines.append(f"| {stage.name} | {path.parent.name}/{path.name}, {path.stat().st_size / 1e6:.2f} MB | "
                     f"{parts[stage.name].size():,} | {trained} |")  # fmt: skip
    return "\n".join([*lines, *["", arguments.machine] * bool(arguments.machine), "", *figures, ""])


def seed_of(run, recipe):
    return checkpoint.load(run / recipe.stages[-1].name / "checkpoint.safetensors").random["seed"]


def time_of(folder):
    with open(folder / "log.csv", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    return int(last["step"]), float(last["seconds"])


def obeyed(recipe, parts, arguments):
    """How many prompts hold exactly, by guidance weight: the checker's count."""
    system, n, m = recipes.System(recipe, parts), arguments.prompts, arguments.others
    sets = {
        "one object, seen pair": recipes.test_prompts(n, False, SINGLE, seed=101),
        "one object, held-out pair": recipes.test_prompts(n, True, SINGLE, seed=102),
        "two objects and a relation, seen pairs": recipes.test_prompts(m, False, ("relation",), seed=103),
        "two objects and a relation, held-out pairs": recipes.test_prompts(m, True, ("relation",), seed=104),
        "two or three equal objects, seen pair": recipes.test_prompts(m, False, ("count",), seed=105),
    }
    one = len(arguments.seeds) == 1
    seeds = f"seed {arguments.seeds[0]}" if one else f"mean ± standard error of seeds {', '.join(map(str, arguments.seeds))}"
    lines = [f"Share of prompts satisfied exactly, according to the checker, by guidance weight w (one image each, {seeds}):",
             "",
             "| prompts | number | " + " | ".join(f"w = {w:g}" for w in arguments.weights) + " |",
             "|---|--:|" + "--:|" * len(arguments.weights)]  # fmt: skip
    for name, prompts in sets.items():
        cells = []
        for w in arguments.weights:
            found = over_seeds(arguments.seeds, lambda seed, w=w, p=prompts: {"obeyed": system.obeyed(p, w, Rng(seed)).mean()})
            cells.append(f"{found['obeyed']:.1%}" + ("" if one else f" ± {100 * found['obeyed_error']:.1f}"))
        lines.append(f"| {name} | {len(prompts)} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    return lines


def of_clip(parts):
    """Top-1 retrieval among 256, caption to image and image to caption."""
    lines = ["Top-1 retrieval among 256: caption to image, and image to caption:", ""]
    for split in ("train", "test"):
        images, captions = captioned_shapes(256, 32, Rng(77), split)
        a, (_, b) = parts["clip"].embed_images(images), parts["clip"].embed_texts(tokenizer.encode(captions))
        found = [((a @ b.T).argmax(axis=axis) == np.arange(256)).mean() for axis in (0, 1)]
        what = "seen" if split == "train" else "held-out"
        lines.append(f"- {what} combinations: {found[0]:.1%} and {found[1]:.1%}")
    return lines


def of_language(parts):
    """Cross-entropy of hidden words on captions that were not trained on."""
    ids = recipes.find("language").stages[0].batch(Rng(77), 2000, {})[0]
    loss, _ = MaskedWordLoss(tokenizer.MASK)(parts["language"], ids, Rng(78))
    return [f"Cross-entropy for the hidden words of 2,000 new captions: {float(loss):.3f} (uniform over all words: "
            f"{np.log(len(tokenizer.WORDS)):.3f})."]  # fmt: skip


def of_autoencoder(parts):
    """Share of images that still satisfy their captions after reconstruction."""
    lines = ["Reconstruction of 1,000 new images:", ""]
    for split in ("train", "test"):
        images, captions = captioned_shapes(1000, 32, Rng(77), split)
        back = parts["autoencoder"].from_latent(parts["autoencoder"].to_latent(images))
        held, error = checker.check(back, captions).mean(), ((back - images) ** 2).mean()
        what = "seen" if split == "train" else "held-out"
        lines.append(f"- {what} combinations: {held:.1%} still satisfy their captions, mean squared error {error:.2e}")
    return lines


FIGURES = {"clip": of_clip, "language": of_language, "autoencoder": of_autoencoder}

if __name__ == "__main__":
    main()
