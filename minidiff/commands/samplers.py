"""List the samplers: order, whether they add noise, evaluations a step, paper."""

from ..samplers import table


def add_arguments(parser):
    pass


def run(arguments):
    print("\n".join(table()))
