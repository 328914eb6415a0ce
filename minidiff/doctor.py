"""What this installation consists of: versions, device, BLAS and threads, cache folders, optional packages."""

import importlib.util
import os
import platform
import shutil
import sys

from . import __version__
from .backend import module_of
from .data.download import cache_folder
from .thread_team import get_threads

REQUIRED = {"numpy": "numpy", "matplotlib": "matplotlib", "tqdm": "tqdm", "safetensors": "safetensors", "pooch": "pooch",
            "PIL": "pillow", "threadpoolctl": "threadpoolctl"}  # import name: distribution  # fmt: skip
OPTIONAL = {  # import name: (distribution, how to install it, what it enables)
    "cupy": ("cupy", "minidiff[cuda12] or minidiff[cuda13]", "--device cuda"),
    "jupytext": ("jupytext", "minidiff[notebooks]", "building the chapters"),
    "pytest": ("pytest", "minidiff[test]", "the tests"),
    "nbgrader": ("nbgrader", "minidiff[course]", "assignments for nbgrader"),
    "sphinx": ("sphinx", "minidiff[docs]", "the site"),
    "jupyterlite_core": ("jupyterlite-core", "minidiff[lite]", "the chapters in the browser"),
    "mpi4py": ("mpi4py", "minidiff[mpi]", "training on several ranks, with mpiexec"),
    "huggingface_hub": ("huggingface_hub", "minidiff[hub]", "opening models by their name on the hub"),
    "cosmic_ray": ("cosmic-ray", "minidiff[mutants]", "mutation testing"),
    "textstat": ("textstat", "minidiff[prose]", "reading ease of the docs"),
    "torch": ("torch", "minidiff[compare]", "comparisons with PyTorch"),
    "diffusers": ("diffusers", "minidiff[compare]", "comparisons with diffusers"),
    "transformers": ("transformers", "minidiff[compare]", "comparisons with transformers"),
    "scipy": ("scipy", "minidiff[compare]", "comparisons with scipy"),
}
TOOLS = ("g++", "nvcc", "compute-sanitizer", "ncu")
VARIABLES = ("MINIDIFF_THREADS", "MINIDIFF_DATA", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE",
             "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "CUPY_CACHE_DIR", "CUPY_TF32", "TQDM_DISABLE")  # fmt: skip


def examine():
    """Everything that a bug report needs, as nested dicts of what JSON can hold. Raises nothing: trouble is a value."""
    return {
        "minidiff": {"version": __version__, "folder": os.path.dirname(os.path.abspath(__file__))},
        "python": {"version": platform.python_version(), "executable": sys.executable, "system": platform.platform()},
        "device": device(),
        "cpu": cpu(),
        "packages": {dist: version(name, dist) or "MISSING: pip install " + dist for name, dist in REQUIRED.items()},
        "optional": {name: version(name, dist) or f"not installed (pip install '{install}'): {enables}"
                     for name, (dist, install, enables) in OPTIONAL.items()},
        "tools": {name: shutil.which(name) or "not found" for name in TOOLS},
        "caches": caches(),
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }  # fmt: skip


def device():
    """The device that --device cuda would use, or in one line why there is none."""
    try:
        cupy = module_of("cuda")
        runtime = cupy.cuda.runtime
        found = runtime.getDeviceProperties(0)
        free, total = runtime.memGetInfo()
        return {"default": "cpu", "cuda": found["name"].decode(), "compute capability": f"{found['major']}.{found['minor']}",
                "memory": f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free", "driver": runtime.driverGetVersion(),
                "runtime": runtime.runtimeGetVersion(), "cupy": cupy.__version__}  # fmt: skip
    except Exception as error:  # a broken driver raises what it likes; one line of it is the finding
        return {"default": "cpu", "cuda": "not usable: " + " ".join(str(error).split())[:300]}


def cpu():
    """Cores, threads and the BLAS that NumPy loaded."""
    found = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    if hasattr(os, "sched_getaffinity"):
        found["cores of this process"] = len(os.sched_getaffinity(0))
    found["threads of minidiff"] = get_threads()
    try:
        import threadpoolctl

        pools = threadpoolctl.threadpool_info()
    except ImportError:
        return found | {"BLAS": "unknown: threadpoolctl is not installed"}
    said = [f"{pool['internal_api']} {pool.get('version')}, {pool.get('architecture', 'unknown')} kernels, "
            f"{pool['num_threads']} threads" for pool in pools if pool["user_api"] == "blas"]  # fmt: skip
    return found | {"BLAS": "; ".join(said) or "none that threadpoolctl knows"}


def caches():
    """Where downloads and compiled kernels are kept."""
    try:
        data = str(cache_folder())
    except ImportError as error:
        data = f"unknown: {error}; set MINIDIFF_DATA"
    return {"data": data, "kernels": os.environ.get("CUPY_CACHE_DIR", os.path.expanduser("~/.cupy/kernel_cache"))}


def version(name, distribution=None):
    """The version of an importable package, "unknown" where it carries none, None where it cannot be found."""
    from importlib import metadata  # a tenth of the time of `minidiff --help`

    try:
        if importlib.util.find_spec(name) is None:
            return None
    except (ImportError, ValueError):
        return None
    try:
        return metadata.version(distribution or name)
    except metadata.PackageNotFoundError:  # cupy comes as cupy-cuda12x or cupy-cuda13x
        owners = metadata.packages_distributions().get(name)
        return metadata.version(owners[0]) if owners else "unknown"


def lines(found):
    """The findings as aligned lines of text, a heading a section."""
    for section, rows in found.items():
        yield section
        width = max(map(len, rows), default=0)
        yield from (f"  {name:{width}}  {value}" for name, value in rows.items())
