"""Recipes: text-to-image systems trained from scratch, stage by stage, and the small trained models that ship with minidiff.

parts = recipes.train("stable_diffusion", "runs/sd")         same as `minidiff train --recipe stable_diffusion`
system = recipes.load("stable_diffusion")                    the shipped models; folder="runs/sd": those of that run
images = system.draw(["a small red circle on the left"])
"""

from .registry import NAMES, SYSTEMS, find
from .run import train
from .stage import Recipe, Stage
from .system import System, load, test_prompts

__all__ = ["NAMES", "Recipe", "SYSTEMS", "Stage", "System", "find", "load", "test_prompts", "train"]
