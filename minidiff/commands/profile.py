"""Profile a training step and a sampling step by op, forward and backward.

examples:
  minidiff profile                           the U-Net of the digits, batch 64
  minidiff profile --data mnist --model dit  the diffusion transformer of MNIST
  minidiff profile --threads 1               with one thread
  minidiff profile --plain                   the plain references of all ops, to compare with
  minidiff profile --set model.block_out_channels=[64,128] --batch-size 16

Each row is the wall time inside one op, including work on other threads. "elsewhere" is the time between ops: adding skips
and gradients, drawing noise, and Python itself. Profiling has a small overhead, so totals are printed with and without it.
This command uses one process. `minidiff train` splits a batch among worker processes, each of which runs the same ops.
"""

from contextlib import nullcontext

from ..model_options import MODELS
from ..profiling import measure, show
from ..runs import build, preset
from ..settings import plain
from ..thread_team import get_threads, set_threads
from ..training import Trainer
from .values import one_of, whole


def add_arguments(parser):
    parser.add_argument("--data", default="digits", metavar="NAME", help="data set (default: digits)")
    parser.add_argument("--model", **one_of(*MODELS), help="model (default: what suits the data)")
    parser.add_argument("--batch-size", type=whole, default=64, metavar="N", help="examples per step (default: 64)")
    parser.add_argument("--steps", type=whole, default=20, metavar="N", help="steps to average over (default: 20)")
    parser.add_argument("--threads", type=whole, metavar="N", help="number of threads (default: one per core)")
    parser.add_argument("--plain", action="store_true", help="run the plain reference of every op")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments",
                        help="any configuration key, such as model.dropout=0.1; may be repeated")  # fmt: skip


def run(arguments):
    if arguments.steps < 1:
        raise ValueError(f"--steps: got {arguments.steps}, expected at least 1")
    if arguments.threads is not None:
        set_threads(arguments.threads)
    made = build(
        preset(arguments.data, arguments.model).override([f"train.batch_size={arguments.batch_size}", *arguments.assignments])
    )
    trainer = Trainer(made.model, made.objective, made.images, made.labels, steps=10**6, batch_size=arguments.batch_size)
    images, labels = trainer.batch(0)
    print(f"{made.model.size():,} parameters, batch {arguments.batch_size} of {images.shape[1:]}, {get_threads()} threads"
          + (", plain references" if arguments.plain else ""))  # fmt: skip

    def sampling():
        denoiser = made.objective.denoiser(made.model)
        denoiser(images, getattr(denoiser.schedule, "T", 1) / 2, labels)  # a flow's times run from 0 to 1

    with plain() if arguments.plain else nullcontext():
        for name, step in (("training step", trainer.step), ("sampling step", sampling)):
            show(name, *measure(step, arguments.steps))
