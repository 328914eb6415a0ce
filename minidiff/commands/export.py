"""Export a run as a diffusers folder: config.json, safetensors, a DDIM scheduler, and a README with code.

example:
  minidiff export runs/digits digits-for-diffusers
  python -c "import diffusers; diffusers.DDIMPipeline.from_pretrained('digits-for-diffusers')"
"""

import math
from pathlib import Path

from ..interop import export
from .sample import bound
from .values import one_of


def add_arguments(parser):
    parser.add_argument("run_folder", metavar="RUN", help="run folder or checkpoint file")
    parser.add_argument("folder", metavar="FOLDER", help="output folder; created if missing")
    parser.add_argument(
        "--weights",
        default="ema",
        **one_of("ema", "raw"),
        help="ema: averaged weights; raw: weights of the last step (default: ema)",
    )
    parser.add_argument("--clip", metavar="BOUND|none", default="run", help="clip the predicted x0 to [-BOUND, BOUND] when "
                        "diffusers samples (default: diffusion.clip of the run)")  # fmt: skip
    parser.add_argument(
        "--dtype", default="float32", **one_of("float32", "float16"), help="dtype of the weights (default: float32)"
    )


def run(arguments):
    clip = arguments.clip if arguments.clip == "run" else bound(arguments.clip)
    if clip == "dynamic" or (isinstance(clip, float) and not 0 < clip < math.inf):
        raise ValueError(f"--clip: got {arguments.clip!r}, expected a positive number or 'none'")
    export(arguments.run_folder, arguments.folder, weights=arguments.weights, clip=clip, dtype=arguments.dtype)
    print(f"{arguments.folder}: {Path(arguments.folder) / 'README.md'} shows how to sample it with diffusers")
