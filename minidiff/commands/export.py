"""Write a run as a folder that diffusers opens: config.json, safetensors, a DDIM scheduler.

example:
  minidiff export runs/digits digits-for-diffusers
  python -c "import diffusers; diffusers.DDIMPipeline.from_pretrained('digits-for-diffusers')"
"""


def add_arguments(parser):
    parser.add_argument("run_folder", metavar="RUN", help="a run's folder, or a checkpoint file")
    parser.add_argument("folder", metavar="FOLDER", help="where to; made if it is not there")
    parser.add_argument("--weights", default="ema", choices=("ema", "raw"), help="averaged weights, or the last (default: ema)")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16"), help="how to store (default: float32)")


def run(arguments):
    from ..interop import export

    export(arguments.run_folder, arguments.folder, weights=arguments.weights, dtype=arguments.dtype)
    print(f"{arguments.folder}: open it with diffusers.DDIMPipeline.from_pretrained")
