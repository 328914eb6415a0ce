"""The time of a step by op, called from Python; tests/test_cli.py has the command."""

import time

from minidiff import nn, profiling
from minidiff.rng import Rng


def test_a_step_is_split_into_ops_and_the_rest(capsys):
    x, layers = Rng(0).standard_normal((4, 8, 8, 8)), [nn.Conv2d(8, 8, 3, 1, 1, rng=0), nn.GroupNorm(2, 8)]

    def step():
        y, backs = x, []
        for layer in layers:
            y, back = layer(y)
            backs.append(back)
        time.sleep(0.01)
        for back in reversed(backs):
            y = back(y)

    table, profiled, alone = profiling.measure(step, steps=3, warm=1)
    assert set(table) == {"conv2d", "group_norm (silu)"}
    assert all(forward > 0 and backward > 0 and calls == 1 for forward, backward, calls in table.values())
    assert min(profiled, alone) > 10 and sum(sum(row[:2]) for row in table.values()) < profiled - 10
    profiling.show("my step", table, profiled, alone)
    lines = capsys.readouterr().out.split("\n")
    assert lines[1].startswith("my step: ") and {line.split()[0] for line in lines[3:6]} == {
        "elsewhere",
        "conv2d",
        "group_norm",
    }
