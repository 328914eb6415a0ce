"""What Winograd's convolution costs in accuracy: largest error beside float64, as a share of the largest number."""

import numpy as np
import torch

from minidiff import ops
from minidiff.cpu import winograd
from minidiff.rng import Rng

SHAPES = [(8, 16, 32), (8, 16, 64), (8, 16, 128), (8, 16, 256)]  # batch, size, channels
ANSWERS = ("y", "dx", "dw", "db")


def rows():
    """[{group, name, answer, channels, ours, direct, theirs, ratio}]: 3 x 3 filters; direct is our plain reference."""
    for B, H, C in SHAPES:
        shapes = (B, H, H, C), (3, 3, C, C), (C,), (B, H, H, C)
        x, w, b, dy = (Rng(i).standard_normal(shape, np.float32) for i, shape in enumerate(shapes))
        w = w / np.float32(3 * C**0.5)
        y, back = ops.conv2d.reference(*(a.astype(np.float64) for a in (x, w, b)), 1, 1)
        truth = y, *back(dy.astype(np.float64))
        pads = ((1, 1), (1, 1))
        y, back = ops.conv2d.reference(x, w, b, 1, 1)
        sides = {
            "ours": (winograd.run(x, w, b, pads, H, H), *winograd.gradients(x, w, dy, pads)),
            "direct": (y, *back(dy)),
            "theirs": _torch(x, w, b, dy),
        }
        for i, answer in enumerate(ANSWERS):
            errors = {side: float(np.abs(got[i] - truth[i]).max() / np.abs(truth[i]).max()) for side, got in sides.items()}
            yield {"group": "accuracy", "name": f"{answer}, {C} channels", "answer": answer, "channels": C, **errors,
                   "ratio": errors["ours"] / errors["theirs"]}  # fmt: skip


def show(row):
    print(f"{row['name']:44} Winograd {row['ours']:.1e}   direct {row['direct']:.1e}   torch {row['theirs']:.1e}", flush=True)


def _torch(x, w, b, dy):
    """The same four answers by torch, laid out as ours."""
    image, kernel = (0, 3, 1, 2), (3, 2, 0, 1)
    xt, wt, dyt = (torch.from_numpy(a.transpose(axes).copy()) for a, axes in ((x, image), (w, kernel), (dy, image)))
    arrays = [a.requires_grad_() for a in (xt, wt, torch.from_numpy(b.copy()))]
    y = torch.nn.functional.conv2d(*arrays, padding=1)
    dx, dw, db = torch.autograd.grad(y, arrays, dyt)
    back = (0, 2, 3, 1), (0, 2, 3, 1), (2, 3, 1, 0), (0,)
    return tuple(a.detach().numpy().transpose(axes) for a, axes in zip((y, dx, dw, db), back, strict=True))
