"""Show the contents of a checkpoint: step, model, configuration, tensors."""

import numpy as np

from ..json_file import read_field
from ..runs import find_checkpoint
from ..training import checkpoint
from .classes import classes_line
from .settings import short


def add_arguments(parser):
    parser.add_argument("run_folder", metavar="RUN", help="run folder or checkpoint file")
    parser.add_argument("--tensors", action="store_true", help="also list every tensor with its shape")


def run(arguments):
    file = find_checkpoint(arguments.run_folder)
    found = checkpoint.load(file)
    kept = _kept(found.config, file)
    count = sum(a.size for a in found.weights.values())
    print(f"{file}  ({file.stat().st_size / 1e6:.1f} MB, sha256 of its contents checked)")
    print(f"step        {found.step}")
    print(f"parameters  {count:,} in {len(found.weights)} tensors, {next(iter(found.weights.values())).dtype}")
    print(f"also holds  {', '.join(_extras(found)) or 'nothing else'}")
    print(f"random      seed {found.random.get('seed')}, at step {found.random.get('step')}")
    if kept.get("shape"):
        print(f"samples     shape {tuple(kept['shape'])}, classes {classes_line(kept['classes'], kept.get('class_names'))}")
    for section in ("data", "model", "diffusion", "train"):
        for key, value in kept.get(section, {}).items():
            print(f"{section}.{key} = {short(value)}")
    if arguments.tensors:
        width = max(map(len, found.weights))
        for name, array in found.weights.items():
            rms = float(np.sqrt((array.astype(np.float64) ** 2).mean()))
            print(f"{name:{width}}  {array.shape!s:20} {array.dtype}  rms {rms:.4g}")


def _kept(config, file):
    """The run settings in a checkpoint, {} if it has none. Raises ValueError for wrong types."""
    kept = read_field(config, "run", dict, file, {})
    for name, kind in {"shape": list, "classes": int, **dict.fromkeys(("data", "model", "diffusion", "train"), dict)}.items():
        if name in kept and read_field(kept, name, kind, file) is None and kind is dict:
            raise ValueError(f"{file}: {name}: got null, expected an object")
    return {"classes": None, **kept}


def _extras(found):
    named = {"moving average": found.ema, "optimizer moments": found.m}
    return [name for name, held in named.items() if held]
