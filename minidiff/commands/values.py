"""The values of flags. argparse prints their errors as `argument --seed: got 'x', expected a whole number`."""

import argparse


def whole(text):
    """The int that a flag such as --steps takes."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number") from None


def number(text):
    """The float that a flag such as --lr takes."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number") from None


def one_of(*names):
    """What add_argument needs for a flag that takes one of these names."""

    def name(text):
        if text not in names:
            raise argparse.ArgumentTypeError(f"got {text!r}, expected one of {', '.join(names)}")
        return text

    return {"type": name, "metavar": f"{{{','.join(names)}}}"}
