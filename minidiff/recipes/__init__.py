"""Recipes: text-to-image systems trained from nothing, stage by stage, and the small nets of that kind that ship along.

parts = recipes.train("stable_diffusion", "runs/sd")         what `minidiff train --recipe stable_diffusion` does
system = recipes.load("stable_diffusion")                    the shipped one; folder="runs/sd": your own
images = system.draw(["a small red circle on the left"])
"""

from .registry import NAMES, SYSTEMS, find
from .run import train
from .stage import Recipe, Stage
from .system import System, load, test_prompts

__all__ = ["NAMES", "Recipe", "SYSTEMS", "Stage", "System", "find", "load", "test_prompts", "train"]
