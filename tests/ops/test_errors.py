"""Wrong arguments are named, with what came and what was expected."""

import numpy as np
import pytest

from minidiff import ops


def z(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


WRONG = [
    (lambda: ops.linear(z(2, 3), z(4, 5), z(5)), ValueError, r"linear: x has shape \(2, 3\), expected \(\.\.\., 4\)"),
    (lambda: ops.linear(z(2, 3), z(3, 5), z(4)), ValueError, r"linear: b has shape \(4,\), expected \(5,\)"),
    (lambda: ops.linear(z(2, 3), z(3, 5, dtype=np.float64)), TypeError, "linear: w is float64 but x is float32"),
    (lambda: ops.linear([[1.0, 2.0]], z(2, 5)), TypeError, "linear: x is a list, expected an array"),
    (lambda: ops.linear(z(2, 3, dtype=np.int64), z(3, 5)), TypeError, "dtype int64, expected a floating-point"),
    (lambda: ops.conv2d(z(2, 8, 8, 3), z(3, 3, 4, 5)), ValueError, r"conv2d: x has shape .*expected \(B, H, W, 4\)"),
    (lambda: ops.conv2d(z(2, 3, 8, 8), z(3, 3, 3, 5)), ValueError, r"conv2d: x has shape \(2, 3, 8, 8\)"),
    (lambda: ops.conv2d(z(2, 8, 8, 3), z(3, 3, 3, 5), stride=0), ValueError, "stride is 0"),
    (lambda: ops.conv2d(z(2, 8, 8, 3), z(3, 3, 3, 5), padding=-1), ValueError, "padding is -1"),
    (lambda: ops.conv2d(z(2, 8, 8, 3), z(3, 3, 3, 5), padding=((0, 1), (1, -1))), ValueError, "expected no negative"),
    (lambda: ops.conv2d(z(2, 2, 8, 3), z(3, 3, 3, 5)), ValueError, "smaller than the kernel 3 x 3"),
    (lambda: ops.group_norm(z(2, 4, 4, 6), z(6), z(6), 4), ValueError, "groups is 4, expected a divisor of the 6"),
    (lambda: ops.group_norm(z(2, 4, 4, 6), z(5), z(6), 2), ValueError, r"gamma has shape \(5,\), expected \(6,\)"),
    (
        lambda: ops.modulate(z(2, 3, 6), z(2, 6), z(2, 7)),
        ValueError,
        r"modulate: scale has shape \(2, 7\), expected \(2, 6\) to fit x \(2, 3, 6\)",
    ),
    (lambda: ops.modulate(z(2, 3, 6), z(3, 6), z(2, 6)), ValueError, r"modulate: shift has shape \(3, 6\)"),
    (lambda: ops.modulate(z(6), z(1, 6), z(1, 6)), ValueError, r"modulate: x has shape \(6,\), expected \(B, ..., D\)"),
    (
        lambda: ops.gated_add(z(2, 3, 6), z(2, 1, 6), z(2, 6)),
        ValueError,
        r"gated_add: h has shape \(2, 1, 6\), expected \(2, 3, 6\)",
    ),
    (lambda: ops.gated_add(z(2, 3, 6), z(2, 3, 6), z(6)), ValueError, r"gated_add: gate has shape \(6,\)"),
    (lambda: ops.layer_norm(z(2, 6), z(6), z(7)), ValueError, r"beta has shape \(7,\)"),
    (lambda: ops.attention(z(2, 3, 6), z(2, 5, 6), z(2, 4, 6)), ValueError, r"v has shape .* to fit k"),
    (lambda: ops.attention(z(2, 3, 6), z(2, 5, 6), z(2, 5, 6), heads=4), ValueError, "heads is 4"),
    (
        lambda: ops.attention(z(2, 1, 6), z(2, 1, 6), z(2, 1, 6), mask=np.ones((1, 5), bool)),
        ValueError,
        r"mask has shape \(1, 5\), expected one that broadcasts to \(2, 1, 1, 1\)",
    ),
    (lambda: ops.embedding(z(4, 2), np.array([0, 4])), ValueError, r"index holds 0 to 4, expected \[0, 4\)"),
    (lambda: ops.embedding(z(4, 2), np.array([-1])), ValueError, "index holds -1"),
    (lambda: ops.embedding(z(4, 2), np.array([0.5])), TypeError, "index has dtype float64, expected integers"),
    (lambda: ops.timestep_embedding(np.array([[1]]), 8), ValueError, r"t has shape \(1, 1\), expected \(B,\)"),
    (lambda: ops.timestep_embedding(np.array([1]), 2), ValueError, "dim is 2, too small"),
    (lambda: ops.upsample_nearest(z(2, 3, 4), 2), ValueError, r"x has shape \(2, 3, 4\), expected \(B, H, W, C\)"),
    (lambda: ops.avg_pool(z(2, 1, 4, 3), 2), ValueError, "smaller than one block"),
    (lambda: ops.concat([z(2, 3), z(3, 3)]), ValueError, r"xs\[1\] has shape \(3, 3\)"),
    (lambda: ops.dropout(z(2, 3), 1.0, None), ValueError, "p is 1.0, expected a probability"),
    (lambda: ops.mse(z(2, 3), z(2, 1)), ValueError, r"target has shape \(2, 1\)"),
]


@pytest.mark.parametrize("call, kind, message", WRONG, ids=range(len(WRONG)))
def test_message(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
