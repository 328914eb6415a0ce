"""Everything that computes, once on NumPy and once on the stand-in, with the same numbers.

Each case names what it covers; every public name of the rooms is covered here or in test_gradients, or is on the list below
with its reason. Unless a case says that it waits, the emulator may bring no number to the host.
"""

import contextlib

import cases_diffusion  # noqa: F401 - the cases register themselves
import cases_samplers  # noqa: F401
import cases_training  # noqa: F401
import numpy as np
import pytest
from sides import CASES, Side, compare

from minidiff import data, diffusion, metrics, models, nn, ops, samplers, selfcheck, training

ROOMS = (data, diffusion, metrics, models, nn, ops, samplers, training)
NOT_ON_A_DEVICE = {  # reason: names
    "shares a batch among processes of the host": {"DataParallel"},
    "reads files, on the host": {"Dataset", "Info", "captioned_shapes", "info", "load", "names"},
    "copies its arrays to the host, where scipy is": {"optimal_pairs"},
    "works on Python numbers: no array goes in": {"beta_sigmas", "exponential_sigmas", "karras_sigmas", "spaced_steps",
                                                 "RunConfig", "check_options", "Point", "Sampler", "Step", "SAMPLERS",
                                                 "find", "table"},
    "an error, or a constant": {"CheckpointError", "NotFinite", "BATCH"},
    "modules and helpers that the room imports": {"np", "ops", "to_numpy", "xp_of", "device_of", "Classifier", "Trainer",
                                                  "conditioning", "text_unet", "unet_blocks"},
    "parts of cases that are there": {"sigmoid", "timestep_embedding", "causal_mask", "TextCondition", "LowResolution",
                                      "ImageEncoder"},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[f"{i:02}-{case.__name__}" for i, case in enumerate(CASES)])
def test_same_numbers(case, xp):
    with contextlib.nullcontext() if case.waits else xp.no_sync():
        there = case(Side(xp))
    compare(there, case(Side(np)), case.tolerance, case.host)


def test_every_public_name_is_covered_or_excused():
    covered = {name for case in CASES for name in case.covers}
    checked = " ".join(case.__name__ for case in [*selfcheck.OPS, *selfcheck.LAYERS, *selfcheck.MODELS])
    excused = set().union(*NOT_ON_A_DEVICE.values())
    for room in ROOMS:
        names = getattr(room, "__all__", None) or [name for name in vars(room) if not name.startswith("_")]
        missing = [name for name in names if name not in covered | excused and name not in checked]
        assert missing == [], f"{room.__name__}: no case on the stand-in"
