"""Inspect a diffusers or transformers model folder, and convert it to a minidiff run where possible.

examples:
  minidiff import ddpm-cifar10-32                 list the parts of the folder
  minidiff import ddpm-cifar10-32 --out runs/cars    and convert it, to sample or to fine-tune with `minidiff train --from`

Pipelines with a text encoder or an autoencoder are not converted; sample them with
`minidiff sample --pretrained FOLDER --prompt "..."`.
"""

from pathlib import Path

from ..interop import describe, from_pipeline, from_pretrained
from ..interop.hub import folder_of
from ..lock import locked
from ..training import checkpoint
from ..training.trainer import FILE


def add_arguments(parser):
    parser.add_argument("folder", metavar="FOLDER", help="a folder, or a name on the hub (extra `hub`)")
    parser.add_argument("--out", metavar="RUN", help="write a minidiff run into this folder")


def run(arguments):
    folder = folder_of(arguments.folder)
    print(describe(folder))
    found = from_pretrained(folder)  # reads and fits every tensor, so an unsupported part fails here
    if arguments.out is None:
        print("every part can be opened")
        return
    model, kept = from_pipeline(found)
    out = Path(arguments.out) / FILE
    with locked(arguments.out):
        if out.exists():
            raise ValueError(f"--out: got {arguments.out}, expected a folder without a checkpoint")
        checkpoint.save(out, model, config={"run": kept})
    print(f"{out}\nnext: minidiff sample {arguments.out}")
