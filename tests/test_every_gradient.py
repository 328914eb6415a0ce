"""Every public function and layer with a backward pass has a case in `selfcheck`, which `minidiff gradcheck` prints.

The package is read for whatever returns a `back`, and each case is run once under a profiler that notes who calls what.
A function, and a class that a room exports, must be called by a case itself. A layer inside of a model must run in some case.
"""

import ast
import functools
import importlib
import inspect
import pkgutil
import sys
from pathlib import Path

import numpy as np
import pytest

import minidiff
from minidiff import selfcheck
from minidiff.diffusion import Objective
from minidiff.gradcheck import check
from minidiff.nn import Layer
from minidiff.recipes.autoencoder import FoldedAutoencoder
from minidiff.rng import Rng
from minidiff.settings import plain

ROOMS = ("ops", "nn", "models", "diffusion", "samplers", "training", "recipes", "studies")
PACKAGE = Path(minidiff.__file__).parent
CASES = [*selfcheck.OPS, *selfcheck.LAYERS, *selfcheck.MODELS, *selfcheck.PARTS, *selfcheck.LOSSES, *selfcheck.GUIDANCE]
ALSO = {  # they return gradients beside their answer, without a `back`
    "diffusion.guidance.classifier_gradient", "diffusion.losses.mean_square", "diffusion.mixture.GaussianMixture.score",
    "diffusion.mixture.GaussianMixture.hessian_product", "diffusion.vlb.discretized_gaussian", "diffusion.vlb.normal_kl",
    "diffusion.vlb.term",
}  # fmt: skip

EXCEPTIONS = {
    "diffusion.losses.Objective": "abstract: it is called through every loss that it is the base of",
    "models.autoencoder_parts.Chain": "abstract",
    "models.text_condition.TextModel": "abstract",
    "models.vq_model.VQModel": "straight through its codebook: not the slope. tests/interop/test_autoencoders.py has torch's",
    "models.vq_model.VQModel.decode": "the same",
    "models.vq_model.VectorQuantizer": "the same",
    "nn.layer.Layer": "abstract",
    "recipes.autoencoder.FoldedAutoencoder": "a recipe, which selfcheck may not import: below",
    "recipes.autoencoder.FoldedAutoencoder.decode": "the same",
    "recipes.autoencoder.FoldedAutoencoder.encode": "the same",
    "studies.knowing_t.GuessT": "of one study: tests/studies/test_models_and_losses.py",
    "studies.noise_level.CleanUp": "the same",
    "studies.small.FlatMLP": "the same",
    "studies.timed.Mute": "the same",
    "studies.timed.TellLogSNR": "the same",
    "training.parallel.data_parallel.DataParallel": "worker processes: tests/training/parallel has the undivided gradients",
}
STEPS = {  # of a forward pass: they need to run in a case
    "attend_to", "down", "norm_act", "run_with_back", "up", "NCSNpp.trunk", "ResnetBlock2D.time", "UNet.embed", "UNet.trunk",
    "UNet2DConditionModel.embed",
}  # fmt: skip


# ---- what there is --------------------------------------------------------------------------------------------------------


def modules():
    for room in ROOMS:
        package = importlib.import_module(f"minidiff.{room}")
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield importlib.import_module(found.name)


def returned(function):
    """What a function returns, but not the functions inside of it."""
    below = list(function.body)
    while below:
        node = below.pop()
        if isinstance(node, ast.Return) and node.value is not None:
            yield node.value
        if not isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            below += ast.iter_child_nodes(node)


def goes_back(function):
    """Whether a function returns (..., back), or what `chain` or `owned` return."""
    for value in returned(function):
        if isinstance(value, ast.Tuple):
            last = value.elts[-1]
            if isinstance(last, ast.Lambda) or (isinstance(last, ast.Name) and last.id.startswith("back")):
                return True
        elif isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in ("chain", "owned"):
            return True
    return False


def differentiable():
    """{name: whether a case must call it itself} of every public function, method, layer and loss with a backward pass."""
    everything, found = list(modules()), {}
    exported = {name for module in everything if hasattr(module, "__path__") for name in getattr(module, "__all__", ())}
    for module in everything:
        where = module.__name__.removeprefix("minidiff.")
        for node in ast.parse(inspect.getsource(module)).body:
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"):
                continue
            name, public = f"{where}.{node.name}", node.name in exported
            if isinstance(node, ast.FunctionDef):
                if goes_back(node) or name in ALSO:
                    found[name] = node.name not in STEPS
                continue
            methods = {method.name: method for method in node.body if isinstance(method, ast.FunctionDef)}
            if issubclass(getattr(module, node.name), (Layer, Objective)) or goes_back(methods.get("__call__", node)):
                found[name] = public
            for method, body in methods.items():
                if not method.startswith("_") and method not in WHOLE and (goes_back(body) or f"{name}.{method}" in ALSO):
                    found[f"{name}.{method}"] = public and f"{node.name}.{method}" not in STEPS
    return found


WHOLE = {"forward", "compare", "__call__"}  # what a call of an object runs: it goes by the name of the class
FOUND = differentiable()


# ---- what the cases call --------------------------------------------------------------------------------------------------


def name_of(frame):
    """The name that FOUND has, or would have, for what runs in this frame of the package."""
    if frame.f_code.co_name in WHOLE:
        kind = type(frame.f_locals.get("self"))  # a subclass may have taken over its base's forward
        return f"{kind.__module__.removeprefix('minidiff.')}.{kind.__qualname__}"
    return name_of_code(frame.f_code)


@functools.cache
def name_of_code(code):
    return ".".join((*Path(code.co_filename).relative_to(PACKAGE).with_suffix("").parts, code.co_qualname))


def above(frame):
    """The names of what called this frame; a `back` goes by the name of the function that made it."""
    names = set()
    while (frame := frame.f_back) and frame.f_code is not called.__code__:
        if frame.f_code.co_filename.startswith(str(PACKAGE)):
            name, inside, _ = name_of(frame).partition(".<locals>")
            owner, _, method = name.rpartition(".")
            names.add(owner if inside and method in WHOLE else name)
    return names


def called(case):
    """(names that the case calls itself, names that ran at all), forward and back through the plain ops.

    A name is called by the case itself where no other name of FOUND stands between.
    """
    rng, direct, ran = Rng(3), set(), set()

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(str(PACKAGE)):
            name = name_of(frame)
            ran.add(name)
            if name in FOUND and not (above(frame) - {name}) & set(FOUND):
                direct.add(name)

    outer = sys.getprofile()
    sys.setprofile(note)
    try:
        with plain():
            f, arrays = case(lambda low, high: int(rng.integers(low, high + 1)), lambda *s: rng.standard_normal(s, np.float64))
            f = f.astype(np.float64) if isinstance(f, Layer) else f
            y, back = f(*arrays)
            back(np.ones_like(y))
    finally:
        sys.setprofile(outer)
    return direct, ran


@pytest.fixture(scope="module")
def calls():
    return {case: called(case) for case in CASES}


def missing(calls):
    """What is in FOUND and in none of these {case: (names called directly, names that ran)}."""
    direct, ran = (set().union(*(names[i] for names in calls.values())) for i in (0, 1))
    return {name for name, public in FOUND.items() if name not in (direct if public else ran)}


def test_every_public_backward_pass_has_a_case(calls):
    assert sorted(missing(calls) - set(EXCEPTIONS)) == []
    assert ALSO < set(FOUND) and len(FOUND) > 120


def test_every_exception_is_needed(calls):
    assert sorted(set(EXCEPTIONS) - missing(calls)) == []


@pytest.mark.parametrize("name, gone", [
    ("silu", "ops.activation.silu"), ("conv2d", "ops.conv2d.conv2d"), ("Linear", "nn.layers.Linear"),
    ("UNet2DConditionModel", "models.unet.condition.UNet2DConditionModel"), ("cfg", "diffusion.guidance.Guided.eps_back"),
    ("EDMLoss", "diffusion.edm_loss.EDMLoss"), ("MaskedWordLoss", "training.losses.masked_words.MaskedWordLoss"),
    ("AutoencoderKL_encode", "models.autoencoder_kl.AutoencoderKL.encode"), ("unit_vectors", "models.clip.unit_vectors"),
])  # fmt: skip
def test_a_removed_case_is_reported(calls, name, gone):
    """All cases that start with the name, as conv2d has two; that others call it on the way is not enough."""
    rest = {case: names for case, names in calls.items() if not case.__name__.startswith(name)}
    assert gone in missing(rest) and gone not in missing(calls)


def test_every_case_is_on_a_list():
    for module in (selfcheck.guidance, selfcheck.imported_layers, selfcheck.layers, selfcheck.losses, selfcheck.model_parts,
                   selfcheck.models, selfcheck.ops, selfcheck.text_models):  # fmt: skip
        for name, case in inspect.getmembers(module, inspect.isfunction):
            if list(inspect.signature(case).parameters) == ["pick", "randn"] and not name.startswith("_"):
                assert case in CASES or name == "VQModel", name


@pytest.mark.parametrize("case", [*selfcheck.PARTS, *selfcheck.LOSSES, *selfcheck.GUIDANCE], ids=lambda case: case.__name__)
def test_gradients(case):
    """Those of ops, layers and models are in tests/ops and tests/models, over more shapes."""
    for seed in range(4):
        selfcheck.run_seed(case, seed, tolerance=1e-12)


@pytest.mark.parametrize("method, shape", [("encode", (2, 4, 4, 1)), ("decode", (2, 2, 2, 1)), ("__call__", (2, 4, 4, 1))])
def test_gradients_of_the_folded_autoencoder(method, shape):
    net = FoldedAutoencoder(4, 4, block_out_channels=(4,), norm_num_groups=2, latent_channels=1, rng=0,
                            mid_block_add_attention=False).astype(np.float64)  # fmt: skip
    errors = check(getattr(net, method), Rng(1).standard_normal(shape, dtype=np.float64), tolerance=1e-12)
    assert errors[0].method == "complex"
