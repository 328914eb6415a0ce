"""Clipping, AdamW and the moving average of the weights in three launches, for any number of parameters."""

import math

import numpy as np

from .source import launch

THREADS, BLOCKS = 256, 1056  # eight blocks for each of an H100's 132 multiprocessors, each striding over the arena


def run_table(optimizer, ema, rates):
    """The numbers that change from step to step, for the next steps, as one small array that is uploaded once.

    optimizer: AdamW   ema: EMA or None   rates: the learning rate of each of these steps   ->   float32 (steps, 4)
    """
    (beta1, beta2), rows = optimizer.betas, []
    for i, lr in enumerate(rates):
        t = optimizer.t + i + 1
        take = 0.0 if ema is None else 1 - ema.decay_at(ema.n + i)
        row = lr / (1 - beta1**t), math.sqrt(1 - beta2**t), 1 - lr * optimizer.weight_decay, take
        rows.append(row)
    return np.array(rows, np.float32).reshape(-1, 4)


class Update:
    """`clip_grad_norm`, `AdamW.step` and `EMA.update` in one, with numbers in device memory so that a CUDA graph can hold it.

    optimizer, ema  from `training`, on a float32 arena of the device (ema None: no average)
    rates           the learning rates of the next steps
    max_norm        highest norm of all gradients, or None

    update() takes one step. The gradients are not changed: clipping is applied as they are read.
    step  uint32 (1,), how many steps were taken, the only clock of a recorded step
    log   float64 (steps, 2): the given loss and the norm of the gradients; a row is written once
    """

    def __init__(self, optimizer, ema, rates, max_norm=None):
        self.optimizer, self.ema, self.arena = optimizer, ema, optimizer.arena
        xp = self.arena.xp
        if self.arena.dtype != np.float32:
            raise TypeError(f"optimizer: its parameters are {self.arena.dtype}, and the kernel is written for float32")
        self.rows, self.taken = len(rates), 0
        self.table = xp.asarray(run_table(optimizer, ema, rates))
        self.log, self.step = xp.zeros((len(rates), 2), dtype=np.float64), xp.zeros(1, dtype=np.uint32)
        self.part = xp.zeros(BLOCKS, dtype=np.float64)
        self.norm, self.scale = xp.zeros(1, dtype=np.float64), xp.ones(1, dtype=np.float32)
        self.max_norm = np.float64(np.inf if max_norm is None else max_norm)
        self.grid = (min(BLOCKS, -(-self.arena.size // THREADS)),)

    def launch(self, loss=None):
        """The launches of one step, all of which a graph can replay.   loss: float32 (1,) or 0-d, for the log"""
        arena, optimizer, n = self.arena, self.optimizer, np.uint64(self.arena.size)
        average = None if self.ema is None else self.ema.average
        beta1, beta2 = optimizer.betas
        numbers = np.float32(1 - beta1), np.float32(1 - beta2), np.float32(optimizer.eps)
        launch(arena.xp, "sum_of_squares", self.grid, (THREADS,), arena.grads, self.part, n)
        launch(
            arena.xp, "clip_scale", (1,), (THREADS,), self.part, np.int32(self.grid[0]), self.max_norm, self.norm, self.scale
        )
        launch(arena.xp, "adamw_ema", self.grid, (THREADS,), arena.values, arena.grads, optimizer.m, optimizer.v,
               average, self.table, self.step, self.scale, *numbers, n)  # fmt: skip
        launch(arena.xp, "end_of_step", (1,), (1,), self.step, loss, self.norm, self.log)

    def count(self):
        """The host's part of a step: the counts of optimizer and average. Raises RuntimeError after the last step."""
        if self.taken == self.rows:
            raise RuntimeError(f"all {self.rows} steps that there are learning rates for are taken")
        self.arena.chunks()  # raises where the parameters have moved to another arena
        if self.ema is not None:
            self.ema.check_not_applied()
            self.ema.n += 1
        self.optimizer.t += 1
        self.taken += 1

    def __call__(self, loss=None):
        self.count()
        self.launch(loss)
