"""Chapter 6: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading, ops

WITHOUT = {  # what an answer may not call
    "mean_pool": ["minidiff.ops.*"],
    "many_heads": ["minidiff.ops.attention", "minidiff.ops.sliced_attention"],
}

# ---- 1


def mean_pool(x):
    B, H, W, C = x.shape

    def back(dy):
        return np.repeat(np.repeat(dy, 2, axis=1), 2, axis=2) / 4

    return x.reshape(B, H // 2, 2, W // 2, 2, C).mean(axis=(2, 4)), back


def check_blocks():
    """which four pixels make one, and what each gets back"""
    x, dy = np.arange(48.0).reshape(1, 4, 6, 2) ** 2, np.arange(12.0).reshape(1, 2, 3, 2) + 1
    blocks = x.reshape(1, 2, 2, 3, 2, 2)
    y, back = grading.parts(mean_pool(x), "y", "back")
    grading.same(y, blocks.mean(axis=(2, 4)), "y", {
        "a sum; asked is the mean": blocks.sum(axis=(2, 4)),
        "the largest of the four; asked is the mean": blocks.max(axis=(2, 4)),
        "one of the four: every second pixel": x[:, ::2, ::2],
        "half of the picture with the other half; neighbours belong together: (B, H/2, 2, W/2, 2, C)": x.reshape(
            1, 2, 2, 2, 3, 2).mean(axis=(1, 3)),
    })
    spread = dy.repeat(2, axis=1).repeat(2, axis=2)
    grading.same(back(dy), spread / 4, "dx", {
        "each of the four gets a quarter: the mean divides by 4": spread,
        "each of the four gets a quarter, not a half: the mean is over 2 x 2": spread / 2,
        "the whole dy stands there four times; each entry goes to its own four pixels": np.tile(dy, (1, 2, 2, 1)) / 4,
    })


# ---- 2


def reach(strides):
    seen, pixel = 0, 1
    for stride in strides:
        seen += pixel
        pixel *= stride
    return seen


def check_more_strides():
    """nets that you do not see, one without any stride among them"""
    for strides in ([1, 2, 1, 2, 1, 1], [4, 1], [1, 1, 1], [3, 3, 1]):
        pixels = [int(np.prod(strides[:k])) for k in range(len(strides))]
        grading.same(reach(strides), sum(pixels), f"reach({strides})", {
            "multiplied before it was added: a convolution's own stride makes the pixels after it larger": sum(
                int(np.prod(strides[: k + 1])) for k in range(len(strides))),
            "this is how large a pixel is at the end; asked is how far is seen": int(np.prod(strides)),
            "every convolution adds 1; after a stride it adds more, in pixels of the picture": len(strides),
            "the sum of the strides; they multiply": sum(strides),
            "this is the whole width that is seen; asked is to one side": 2 * sum(pixels) + 1,
        })


# ---- 3


def many_heads(q, k, v, heads):
    parts = zip(*(np.split(x, heads, axis=-1) for x in (q, k, v)), strict=True)
    return np.concatenate([attention(*part)[0] for part in parts], axis=-1)


def check_other_shapes():
    """three heads, and keys of another number than queries"""
    rng = np.random.default_rng(1)
    q, k, v = rng.standard_normal((2, 5, 6)), rng.standard_normal((2, 4, 6)), rng.standard_normal((2, 4, 6))
    right = ops.attention(q, k, v, heads=3)[0]
    each = [ops.attention(a, b, c, heads=1)[0] for a, b, c in zip(*(np.split(x, 3, axis=-1) for x in (q, k, v)), strict=True)]

    def turns(x):
        return x.reshape(*x.shape[:2], 2, 3).swapaxes(2, 3).reshape(x.shape)

    grading.same(many_heads(q, k, v, 3), right, "the answer", {
        "one head: each part of the features attends by itself": ops.attention(q, k, v, heads=1)[0],
        "the heads' answers are added; put them side by side": sum(each),
        "the heads' answers are averaged; put them side by side": sum(each) / 3,
        "the answers are below each other; side by side is axis=-1": np.concatenate(each, axis=1),
        "only v is cut; q and k are cut too": ops.attention(q, k, v, heads=1)[0],
        "the scores are divided by the root of all features; it is that of one head's": ops.attention(
            q / np.sqrt(3), k, v, heads=3)[0],
        "neighbouring features belong to one head; here they take turns": ops.attention(
            turns(q), turns(k), turns(v), heads=3)[0],
        "the batch is cut, not the features: axis=-1": each[0],
    })


# ---- 4


def gigabytes(size):
    return (size * size) ** 2 * 4e-9


def check_sizes():
    """sizes that you do not see"""
    for size in (16, 100, 1024):
        grading.same(gigabytes(size), size**4 * 4e-9, f"gigabytes({size})", {
            "N is the number of pixels, size x size; the weights are N x N": size**2 * 4e-9,
            "4 bytes each: this counts the weights": size**4 * 1e-9,
            "8 bytes are a float64": size**4 * 8e-9,
            "these are bytes": size**4 * 4,
            "these are megabytes": size**4 * 4e-6,
            "a gigabyte here is 10^9 bytes, not 2^30": size**4 * 4 / 2**30,
        })
