"""Where the time of a training step and of a sampling step goes, by op, forward and backward.

examples:
  minidiff profile                           the U-Net of the digits, batch 64
  minidiff profile --threads 1               on one thread
  minidiff profile --plain                   with the plain references of all ops: what the fast versions are worth
  minidiff profile --set model.block_out_channels=[64,128] --batch-size 16

A row is the time from entering an op to leaving it, work on other threads included. "elsewhere" is what happens between
ops: adding skips and gradients, drawing noise, and Python itself. Measuring costs a little; both totals are printed.
All of it is in one process; `minidiff train` shares a batch among several, each with such a profile of its own rows.
"""

from contextlib import nullcontext

from ..profiling import measure, show
from ..runs import build, preset
from ..settings import plain
from ..thread_team import get_threads, set_threads
from ..training import Trainer


def add_arguments(parser):
    parser.add_argument("--data", default="digits", metavar="NAME", help="data set, and with it the net (default: digits)")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="examples a step (default: 64)")
    parser.add_argument("--steps", type=int, default=20, metavar="N", help="steps to take the mean of (default: 20)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads (default: as many as cores)")
    parser.add_argument("--plain", action="store_true", help="run the plain reference of every op")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments",
                        help="any key of the configuration, such as model.dropout=0.1; may be given often")  # fmt: skip


def run(arguments):
    if arguments.steps < 1:
        raise ValueError(f"--steps: got {arguments.steps}, expected at least 1")
    if arguments.threads is not None:
        set_threads(arguments.threads)
    made = build(preset(arguments.data).override([f"train.batch_size={arguments.batch_size}", *arguments.assignments]))
    trainer = Trainer(made.model, made.objective, made.images, made.labels, steps=10**6, batch_size=arguments.batch_size)
    images, labels = trainer.batch(0)
    print(f"{made.model.size():,} parameters, batch {arguments.batch_size} of {images.shape[1:]}, {get_threads()} threads"
          + (", plain references" if arguments.plain else ""))  # fmt: skip

    def sampling():
        denoiser = made.objective.denoiser(made.model)
        denoiser(images, 500, labels)

    with plain() if arguments.plain else nullcontext():
        for name, step in (("training step", trainer.step), ("sampling step", sampling)):
            show(name, *measure(step, arguments.steps))
