"""Sample from a trained model and save the images as a PNG, or the denoising as an animated GIF.

examples:
  minidiff sample                                             28 x 28 digits, by a model that ships with minidiff
  minidiff sample runs/digits                                 ten rows, one per class
  minidiff sample runs/digits --class 7 --count 16 --guidance 2
  minidiff sample runs/photos --class cat                     a class by name
  minidiff sample runs/digits --sampler dpmpp_2m --steps 10 --out seven.png
  minidiff sample runs/digits --out film.gif                  the denoising as an animation
  minidiff sample --prompt "a large green triangle left of a small red circle" --guidance 3    a model that ships with minidiff
  minidiff sample --prompt "two blue squares" --system imagen -n 4
  minidiff sample --pretrained FOLDER --sampler dpmpp_2m --steps 20 --prompt "a cat"      a pretrained diffusers model
  minidiff sample --pretrained FOLDER --prompt "a cat" --image photo.jpg --strength 0.6      image-to-image
  minidiff sample --pretrained FOLDER --prompt "a cat" --image photo.jpg --mask hole.png     inpainting
"""

from pathlib import Path

import numpy as np

from .. import viz
from ..backend import module_of, to_numpy
from ..files import free_name
from ..interop import read_image, read_mask
from ..interop.diffusers import open_pipeline
from ..interop.exchange import number_of_classes
from ..models import DiT
from ..mpi import world
from ..rng import Rng
from ..runs import SHIPPED, open_run
from ..samplers import find
from ..samplers.run import first_noise, walk
from ..training.parallel import among_ranks
from . import device
from .classes import class_number, class_title, known_names
from .recipes import sample_prompt
from .values import number, one_of, whole


def add_arguments(parser):
    parser.add_argument("run_folder", metavar="RUN", nargs="?", help="run folder or checkpoint file (default: a "
                        "diffusion transformer of MNIST digits that ships with minidiff)")  # fmt: skip
    parser.add_argument("--pretrained", metavar="FOLDER|NAME", help="instead of RUN: a diffusers folder, or a name on the hub")
    parser.add_argument("--prompt", metavar="TEXT", help="caption of the image, for a text-to-image model")
    parser.add_argument("--system", default="stable_diffusion", **one_of("stable_diffusion", "imagen", "dalle2", "pixart"),
                        help="system to use; with RUN, the recipe that trained it (default: stable_diffusion)")  # fmt: skip
    parser.add_argument("--negative", default="", metavar="TEXT", help="negative prompt, to guide away from (default: none)")
    parser.add_argument("--image", metavar="FILE",
                        help="with --pretrained: start from this PNG or JPEG file, resized to multiples of 8")  # fmt: skip
    parser.add_argument("--strength", type=number, metavar="X",
                        help="with --image: fraction of the steps to run, up to 1 (default: 0.8; 1 with --mask)")  # fmt: skip
    parser.add_argument(
        "--mask", metavar="FILE", help="with --image: regenerate the white pixels of this image, keep the black ones"
    )
    parser.add_argument("--frugal", action="store_true", help="memory-map the weights of a large pretrained model")
    parser.add_argument("--sampler", metavar="NAME", help="see `minidiff samplers` (default: ddim, or the scheduler of FOLDER)")
    parser.add_argument("--steps", type=whole, metavar="N", help="sampling steps (default: depends on the sampler)")
    parser.add_argument("--eta", type=number, metavar="X", help="noise of ddim, from 0 (none) to 1 (as DDPM)")
    parser.add_argument(
        "--spacing",
        metavar="NAME",
        help="how timesteps are spaced: leading, linspace, trailing, quadratic, karras, exponential",
    )
    parser.add_argument(
        "--clip",
        metavar="BOUND|dynamic|none",
        help="clip the predicted x0 to [-BOUND, BOUND], or to a quantile of it (default: diffusion.clip of the run)",
    )
    parser.add_argument("--class", dest="class_", metavar="NAME|K", help="class label, by name or number: "
                        "`minidiff info RUN` lists them (default: all, one row each)")  # fmt: skip
    parser.add_argument("--guidance", type=number, metavar="W",
                        help="weight w of classifier-free guidance, (1 + w) eps(c) - w eps(null) (default: 0)")  # fmt: skip
    parser.add_argument(
        "-n",
        "--count",
        type=whole,
        metavar="N",
        help="number of samples (default: 10 per class, at most 100; 64 without classes)",
    )
    parser.add_argument("--seed", type=whole, default=0, metavar="N", help="seed of the noise (default: 0)")
    parser.add_argument(
        "--weights",
        default="ema",
        **one_of("ema", "raw"),
        help="ema: averaged weights; raw: weights of the last step (default: ema)",
    )
    device.add_arguments(parser)
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="a .png, or a .gif for an animation (default: samples.png in the run folder, or samples-2.png if that exists)",
    )
    parser.add_argument("--no-progress", action="store_true", help="no progress bar")


def run(arguments):
    for name, needed in (("image", "pretrained"), ("strength", "image"), ("mask", "image")):
        if getattr(arguments, name) is not None and getattr(arguments, needed) is None:
            raise ValueError(f"--{name}: only valid with --{needed}")
    if arguments.prompt is not None and arguments.pretrained is None:
        return sample_prompt(arguments)
    if arguments.run_folder is not None and arguments.pretrained is not None:
        raise ValueError("RUN, --pretrained: got both, expected one of the two")
    if arguments.sampler is not None:
        find(arguments.sampler)  # an unknown name fails before any file is read
    if arguments.pretrained is not None:
        return run_pretrained(arguments)
    row, options = find(arguments.sampler or "ddim"), _options(arguments)
    row.check(options)  # before the run is opened
    given = SHIPPED if arguments.run_folder is None else Path(arguments.run_folder)
    beside = Path() if given == SHIPPED else given if given.is_dir() else given.parent
    out = Path(arguments.out or free_name(beside / "samples.png"))
    if out.suffix.lower() not in (".png", ".gif"):
        raise ValueError(f"--out: got {out}, expected a name that ends in .png or .gif")
    saved = open_run(given, arguments.weights, arguments.device, processes=None)
    n, cond = _who(arguments, saved.kept)
    xp = module_of(arguments.device)
    rng = Rng(arguments.seed, xp=xp)
    x = first_noise(saved.denoiser, (n, *saved.kept["shape"]), rng)
    clip = saved.kept["diffusion"].get("clip")
    options = ({} if clip is None else {"clip": clip}) | options
    frames = [to_numpy(x)]
    for step in walk(row.name, saved.denoiser, x, cond=None if cond is None else xp.asarray(cond), rng=rng,
                     guidance=arguments.guidance or 0.0, progress=not arguments.no_progress, **device.options(arguments),
                     **options):  # fmt: skip
        if out.suffix.lower() == ".gif":
            frames.append(to_numpy(step.x))
    rows = saved.kept["classes"] if arguments.class_ is None else None
    columns = None if rows is None or n < rows else -(-n // rows)
    if not world().is_first:
        return
    if len(saved.kept["shape"]) == 1:
        viz.plot_points(step.x, path=out)
    elif out.suffix.lower() == ".gif":
        viz.save_gif(frames, out, columns=columns)
    else:
        viz.save_png(to_numpy(step.x), out, columns=columns)
    print(f"{out}: {n} samples by {row.name}, seed {arguments.seed}{_shown(arguments, saved.kept, n)}")


def run_pretrained(arguments):
    """Sample from a diffusers folder."""
    out = Path(arguments.out or free_name("samples.png"))
    if out.suffix.lower() != ".png":
        raise ValueError(f"--out: got {out}, expected a name that ends in .png for a pretrained model")
    for name in ("image", "mask"):
        given = getattr(arguments, name)
        if given is not None and not Path(given).is_file():
            raise FileNotFoundError(f"--{name}: got {given}, expected an existing file")
    n = _count(arguments, 1)
    pipeline = open_pipeline(arguments.pretrained, frugal=arguments.frugal, device=arguments.device)
    label = _label(arguments, pipeline)
    cond = None if label is None else np.full(n, label)
    pipeline.unet = among_ranks(pipeline.unet)
    images = pipeline.sample(
        n, sampler=arguments.sampler, prompt=arguments.prompt, negative=arguments.negative, guidance=arguments.guidance,
        cond=cond, rng=Rng(arguments.seed, xp=module_of(arguments.device)), progress=not arguments.no_progress,
        **_image(arguments, pipeline), **device.options(arguments), **({"steps": pipeline.default_steps} | _options(arguments)),
    )  # fmt: skip
    if world().is_first:
        viz.save_png(to_numpy(images), out, scale=None if images.shape[1] <= 64 else 1)
    print(f"{out}: {n} samples, seed {arguments.seed}")


def _label(arguments, pipeline):
    """The class label of all samples from a pretrained model, None where it does without."""
    names, classes = pipeline.class_names, number_of_classes(pipeline.unet)
    if arguments.class_ is not None:
        return class_number(arguments.class_, len(names) or classes, names)
    if classes and not isinstance(pipeline.unet, DiT):  # which then draws without regard to a class
        raise ValueError(f"--class: got none, expected a class from 0 to {classes - 1}: this model needs one")
    return None


def _image(arguments, pipeline):
    """Those of image, strength and mask that were given."""
    if arguments.image is None:
        return {}
    image = read_image(arguments.image, pipeline.factor, channels=pipeline.image_channels)
    mask = None if arguments.mask is None else read_mask(arguments.mask, image.shape[:2])
    return {"image": image, "strength": arguments.strength, "mask": mask}


def _shown(arguments, kept, n):
    """The classes of the samples, for the last line of output."""
    classes, names = kept["classes"], known_names(kept["classes"], kept.get("class_names"))
    if arguments.class_ is not None:
        return f", class {class_title(class_number(arguments.class_, classes, names), names)}"
    if not names or n % classes or names == [str(k) for k in range(classes)]:
        return ""
    return f", a row each of {', '.join(names[:20])}{', ...' if classes > 20 else ''}"


def _who(arguments, kept):
    """The number of samples and the class label of each, None for an unconditional model."""
    classes = kept["classes"]
    if classes is None:
        if arguments.class_ is not None or arguments.guidance:
            raise ValueError("--class, --guidance: cannot be combined with a model that was trained without classes")
        return _count(arguments, 64), None
    if arguments.class_ is None:
        n = _count(arguments, 10 * classes if classes <= 10 else 100)
        return n, np.arange(n) * classes // n
    number, n = class_number(arguments.class_, classes, kept.get("class_names")), _count(arguments, 64)
    return n, np.full(n, number)


def _count(arguments, default):
    if arguments.count is not None and arguments.count < 1:
        raise ValueError(f"--count: got {arguments.count}, expected at least 1")
    return arguments.count or default


def _options(arguments):
    """The sampler's options that were given."""
    options = {key: getattr(arguments, key) for key in ("steps", "eta", "spacing") if getattr(arguments, key) is not None}
    if arguments.clip is not None:
        options["clip"] = bound(arguments.clip)
    if "eta" in options and arguments.sampler not in (None, "ddim"):
        raise ValueError(f"--eta: only valid with --sampler ddim, got {arguments.sampler}")
    return options


def bound(text):
    """The value of --clip: a number, "dynamic", or None for "none"."""
    if text in ("dynamic", "none"):
        return None if text == "none" else text
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--clip: got {text!r}, expected a positive number, 'dynamic' or 'none'") from None
