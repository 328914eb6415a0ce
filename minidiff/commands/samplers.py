"""List the samplers: order, stochastic or not, evaluations per step, paper."""

from ..samplers import table


def add_arguments(parser):
    pass


def run(arguments):
    print("\n".join(table()))
