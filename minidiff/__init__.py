"""minidiff: diffusion models with every backward pass written by hand, on NumPy and CuPy."""

__version__ = "0.1.0"
