"""Answers to the exercises of chapter 6, so that a test can tell that they have one."""

import numpy as np


def mean_pool(x):
    B, H, W, C = x.shape

    def back(dy):
        return np.repeat(np.repeat(dy, 2, axis=1), 2, axis=2) / 4

    return x.reshape(B, H // 2, 2, W // 2, 2, C).mean(axis=(2, 4)), back


def reach(strides):
    seen, pixel = 0, 1
    for stride in strides:
        seen += pixel
        pixel *= stride
    return seen


def many_heads(q, k, v, heads):
    parts = zip(*(np.split(x, heads, axis=-1) for x in (q, k, v)), strict=True)
    return np.concatenate([attention(*part)[0] for part in parts], axis=-1)  # noqa: F821 - the chapter's own


def gigabytes(size):
    return (size * size) ** 2 * 4e-9
