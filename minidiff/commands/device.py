"""The flags that say where to compute, the same for every command that has them."""


def add_arguments(group):
    """--device, --eager, --tf32, into an argument group."""
    group.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where to compute (default: cpu)")
    group.add_argument("--eager", action="store_true", help="on a GPU: launch by launch, not as CUDA graphs; the same bits")
    group.add_argument("--tf32", action="store_true", help="on a GPU: faster matrix products, their factors in 10 bits")


def options(arguments):
    """What a Trainer, a sampler and `samplers.sample` take from these flags."""
    return {"graph": not arguments.eager, "tf32": arguments.tf32}
