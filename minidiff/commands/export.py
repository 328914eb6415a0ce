"""Write a run as a folder that diffusers opens: config.json, safetensors, a DDIM scheduler, and a README with code.

example:
  minidiff export runs/digits digits-for-diffusers
  python -c "import diffusers; diffusers.DDIMPipeline.from_pretrained('digits-for-diffusers')"
"""

import math
from pathlib import Path

from ..interop import export
from .sample import bound


def add_arguments(parser):
    parser.add_argument("run_folder", metavar="RUN", help="a run's folder, or a checkpoint file")
    parser.add_argument("folder", metavar="FOLDER", help="where to; made if it is not there")
    parser.add_argument("--weights", default="ema", choices=("ema", "raw"), help="averaged weights, or the last (default: ema)")
    parser.add_argument("--clip", metavar="BOUND|none", default="run", help="hold the predicted x0 to [-BOUND, BOUND] while "
                        "sampling there (default: the run's diffusion.clip)")  # fmt: skip
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16"), help="how to store (default: float32)")


def run(arguments):
    clip = arguments.clip if arguments.clip == "run" else bound(arguments.clip)
    if clip == "dynamic" or (isinstance(clip, float) and not 0 < clip < math.inf):
        raise ValueError(f"--clip: got {arguments.clip!r}, expected a positive number or 'none'")
    export(arguments.run_folder, arguments.folder, weights=arguments.weights, clip=clip, dtype=arguments.dtype)
    print(f"{arguments.folder}: how diffusers samples it is in {Path(arguments.folder) / 'README.md'}")
