"""Other people's checkpoints: opening, saving, sampling and training on the models of diffusers and transformers."""

from . import diffusers
from .clip_tokenizer import CLIPTokenizer
from .diffusers import describe, from_pretrained, load, sample
from .exchange import export, from_pipeline, save_pipeline
from .fit import fit
from .image_files import read_image, read_mask
from .layout import to_torch
from .model_folder import load_model, save_model
from .pipelines import Pipeline, load_pipeline
from .schedulers import Sampling, sampling_from_config
from .t5_tokenizer import T5Tokenizer

__all__ = [
    "CLIPTokenizer", "Pipeline", "Sampling", "T5Tokenizer", "describe", "diffusers", "export", "fit", "from_pipeline",
    "from_pretrained", "load", "load_model", "load_pipeline", "read_image", "read_mask", "sample", "sampling_from_config",
    "save_model", "save_pipeline", "to_torch",
]  # fmt: skip
