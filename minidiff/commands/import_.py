"""Look into somebody else's model folder (diffusers, transformers), and make a run of ours of it where that is possible.

examples:
  minidiff import ddpm-cifar10-32                 what the folder holds, part by part
  minidiff import ddpm-cifar10-32 --out runs/cars    also as a run: sample it, train on with `minidiff train --from`

Pipelines with a text encoder or an autoencoder stay folders: `minidiff sample --pretrained FOLDER --prompt "..."`.
"""

from pathlib import Path

from ..interop import describe, from_pipeline, from_pretrained
from ..interop.hub import folder_of
from ..lock import locked
from ..training import checkpoint
from ..training.trainer import FILE


def add_arguments(parser):
    parser.add_argument("folder", metavar="FOLDER", help="a folder, or a name on the hub (extra `hub`)")
    parser.add_argument("--out", metavar="RUN", help="write a run of ours into this folder")


def run(arguments):
    folder = folder_of(arguments.folder)
    print(describe(folder))
    found = from_pretrained(folder)  # every tensor is read and fitted, so what cannot be opened is said here
    if arguments.out is None:
        print("all of it opens here")
        return
    model, kept = from_pipeline(found)
    out = Path(arguments.out) / FILE
    with locked(arguments.out):
        if out.exists():
            raise ValueError(f"--out: {arguments.out} holds a checkpoint already; name another folder")
        checkpoint.save(out, model, config={"run": kept})
    print(f"{out}\nnext: minidiff sample {arguments.out}")
