"""What the tests run on several ranks:   python program.py WHAT FOLDER [options]. Rank 0 writes what it found into FOLDER."""

import os
import resource
import signal
import sys
from pathlib import Path

import numpy as np

from minidiff import data, metrics, models
from minidiff.backend import use_device
from minidiff.diffusion import Schedule, SimpleLoss
from minidiff.mpi import world
from minidiff.nn import Layer, Linear, training
from minidiff.rng import Rng
from minidiff.samplers import sample
from minidiff.training import NotFinite, Trainer, progressive_distillation
from minidiff.training.parallel import among_ranks

STEPS = 50


def trainer(dtype=np.float64, steps=STEPS, folder=None, t_sampler="stratified", **options):
    """A small U-Net with dropout and classes; neither 2 nor 3 ranks can divide its batch equally."""
    images, labels = data.load("digits")
    net = models.UNet(in_channels=1, out_channels=1, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4,
                      attention_head_dim=8, num_class_embeds=11, null_class=10, dropout=0.2, rng=3).astype(dtype)  # fmt: skip
    loss = SimpleLoss(Schedule.cosine(100), "v", cond_dropout=0.2, t_sampler=t_sampler)
    options = {"batch_size": 7, "warmup": 5, "seed": 4, **options}
    return Trainer(among_ranks(net), loss, images[:64], labels[:64], steps=steps, folder=folder, **options)


def train(folder):
    for dtype in (np.float64, np.float32):
        t = trainer(dtype, batch_size=31)
        for _ in range(STEPS):
            t.step()
        if t.ranks.is_first:
            np.savez(folder / f"{np.dtype(dtype)}.npz", loss=t.history.loss, weights=t.arena.values, average=t.ema.average)


def ways(folder):
    """A loss that learns from all rows; a batch too small for three ranks; students of a teacher that is shared itself."""
    found = {}
    for name, options in (("loss", {"t_sampler": "loss"}), ("small", {"batch_size": 3})):
        t = trainer(**options)
        for _ in range(8):
            t.step()
        found[name] = t.arena.values
    teacher = SimpleLoss(Schedule.cosine(100), "v").denoiser(t.model)
    options = {"start": 4, "train_steps": 3, "batch_size": 7, "seed": 1, "progress": False}
    for stage in progressive_distillation(teacher, t.images, t.labels, **options):
        student = stage.denoiser.model.state()
        found[f"{stage.steps} steps"] = np.concatenate([value.ravel() for value in student.values()])
    if t.ranks.is_first:
        np.savez(folder / "ways.npz", **found)


def nan(folder):
    """One image of the third batch, a row of the last rank, holds NaN."""
    t = trainer()
    t.images[t.batch_indices(2)[-1]] = np.nan
    try:
        t.run(progress=False)
    except NotFinite as error:
        told = f"{error.step}, {error.tensor}, gradients {np.abs(t.arena.grads).max()}"
        (folder / f"rank{t.ranks.rank}.txt").write_text(told)


def run(folder, until, of):
    """The run in FOLDER up to this step, resumed where there is a checkpoint."""
    t = trainer(steps=int(of), folder=folder, checkpoint_every=2)
    if t.ranks.first((folder / "checkpoint.safetensors").exists):
        t.resume()
    t.run(int(until) - t.done, progress=True)


def draw(folder):
    """Samples, and the features of a classifier; and a batch with fewer rows than ranks."""
    t = trainer(np.float32)
    denoiser = t.objective.denoiser(t.model)
    images = sample("ddim", denoiser, (9, 8, 8, 1), steps=4, rng=0, cond=np.arange(9))
    judge = among_ranks(models.Classifier((8, 8, 1), 10, width=4, rng=1))
    rng = Rng(5)
    with training(rng):
        few = t.model.predict(images[:1], 3, np.zeros(1, int))
    t.ranks.agree(lambda: {"numbers drawn for dropout": str(rng.call)})  # by the ranks without rows too
    if t.ranks.is_first:
        alone = metrics.features(judge.module if t.ranks.size > 1 else judge, images)
        np.savez(folder / "draw.npz", images=images, features=alone, few=few)
    shared = metrics.features(judge, images)
    if t.ranks.is_first:
        np.savez(folder / "features.npz", shared=shared)


class Careless(Layer):
    """A layer that fails for one row, or gives an output of the wrong length."""

    def __init__(self):
        self.linear = Linear(1, 1, rng=0)

    def forward(self, x, how):
        if how == "raise" and (x == 5).any():
            raise ValueError("x: got 5")
        y, back = self.linear(x)

        def back_all(dy):
            if how == "back" and (x == 5).any():
                raise KeyError("no way back")
            return back(dy)

        return (y.sum(axis=0) if how == "sum" else y), back_all


def errors(folder):
    """An error of one rank reaches all of them, and leaves nothing behind."""
    model, x, found = among_ranks(Careless()), np.arange(6.0, dtype=np.float32)[:, None], []
    for how in ("raise", "sum", "back", "fine"):
        model.zero_grad()
        try:
            y, back = model(x, how)
            found.append(f"{how}: {back(np.ones_like(y)).shape} {float(model.module.linear.weight.grad[0, 0])}")
        except Exception as error:
            found.append(f"{how}: {type(error).__name__}: {error}")
    (folder / f"rank{world().rank}.txt").write_text("\n".join(found))


def twice(folder):
    """Two passes through one model add up, whether rows are shared or not; dropout goes on where it stopped."""
    t = trainer()
    x, rng = Rng(1).standard_normal((7, 8, 8, 1), np.float64), Rng(5)
    t.arena.zero_grad()
    with training(rng):
        (y1, back1), (y2, back2) = t.model(x, 3, np.arange(7)), t.model(2 * x, 8, np.arange(7))
    back2(y1)
    back1(y2)
    if t.ranks.is_first:
        np.savez(folder / "twice.npz", grads=t.arena.grads, call=rng.call)


def killed(folder, rank, step):
    """This rank kills itself in this step."""

    def kill(t):
        if t.ranks.rank == int(rank) and t.done + 1 == int(step):
            t.ranks.at(t.done + 1)
            os.kill(os.getpid(), signal.SIGKILL)

    trainer(steps=40, folder=folder, checkpoint_every=2, callbacks=[kill]).run(progress=False)


def differ(folder, what):
    """The ranks do not agree on one thing."""
    last = world().rank == 1
    options = {"batch_size": 6 if what == "batch_size" and last else 7, "seed": 5 if what == "seed" and last else 4}
    t = trainer(folder=folder, **options)
    if last and what == "images":
        t.images[3, 2, 1] += 1
    if last and what == "minidiff":
        import minidiff.training.resume

        minidiff.training.resume.__version__ = "0.0.1"
    t.step()


def full(folder):
    """Files may not grow beyond what the log needs: the checkpoint of rank 0 does not fit."""
    t = trainer(steps=40, folder=folder, checkpoint_every=2)
    t.step()  # MPI has its memory by then, which the limit would hold for too
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    t.run(progress=False)


def device(folder):
    """Five steps and samples on the emulator of CuPy; each rank on a device."""
    root = Path(__file__).parents[1]
    sys.path[:0] = [str(root / "gpu"), str(root / "strict")]
    import emulators
    import pytest
    from steps import SMALL

    cupy = emulators.install(pytest.MonkeyPatch())
    use_device("cuda", world().local_rank)
    net = among_ranks(models.UNet(**SMALL, dropout=0.1, rng=0).to("cuda"))
    images, labels = Rng(1).standard_normal((12, 4, 4, 1)), np.arange(12) % 2
    t = Trainer(net, SimpleLoss(Schedule.linear(20)), images, labels, steps=12, batch_size=5, lr=3e-3, warmup=2, seed=3)
    for _ in range(5):
        t.step()
    t.look()
    drawn = sample("ddim", t.objective.denoiser(t.model), (5, 4, 4, 1), steps=9, rng=0, cond=cupy.asarray(np.arange(5) % 2),
                   device="cuda")  # fmt: skip
    found = {"used": cupy.cuda.Device.current, "recorded": t._device_step.recorded.graph is not None}
    found |= {"messages": net._workers.messages.name} if t.ranks.size > 1 else {}
    np.savez(folder / f"rank{t.ranks.rank}.npz", loss=t.history.loss, weights=t.arena.values.get(), drawn=drawn.get(), **found)


def raises(folder):
    """One rank fails, and the other waits for it."""
    if world().rank == 1:
        raise ValueError("x: got 1, expected 2")
    world().any(True)


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
