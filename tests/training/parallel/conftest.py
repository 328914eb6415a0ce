"""A layer that several tests of shared rows take."""

import pytest

from minidiff.nn import Dropout, Layer, Linear


class Fails(Layer):
    """y = W x + b; raises for rows above a bound, on the way forth or back."""

    def __init__(self):
        self.drop, self.linear = Dropout(0.0), Linear(1, 1, rng=0)

    def forward(self, x, way="forth"):
        if way == "forth" and x.max() > 10:
            raise ValueError("x: got more than 10")
        y, back_linear = self.linear(x)

        def back(dy):
            dx = back_linear(dy)
            if way == "back" and x.max() > 10:
                raise KeyError("no way back")
            return dx

        return y, back


@pytest.fixture
def failing():
    return Fails()
