"""The device flags, shared by all commands that compute."""

from .values import one_of


def add_arguments(group):
    """--device, --eager, --tf32, into an argument group."""
    group.add_argument("--device", default="cpu", **one_of("cpu", "cuda"), help="device to compute on (default: cpu)")
    group.add_argument(
        "--eager",
        action="store_true",
        help="on a GPU: launch kernels one by one, without CUDA graphs; the results are bit-identical",
    )
    group.add_argument("--tf32", action="store_true", help="on a GPU: faster matrix products with 10-bit mantissas (TF32)")


def options(arguments):
    """The keyword arguments that a Trainer or a sampler takes from these flags."""
    return {"graph": not arguments.eager, "tf32": arguments.tf32}
