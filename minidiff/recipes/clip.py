"""Recipe `clip`: the text encoder of Stable Diffusion and DALL-E 2, trained against an image encoder."""

from ..data import tokenizer
from ..data.captioned import KINDS
from ..models import CLIP, ImageEncoder, TextEncoder
from ..training import ContrastiveLoss
from .stage import CaptionedStage, Recipe

FEATURES, SIZE = 64, 32


class ClipStage(CaptionedStage):
    """Contrastive training: match each image with its caption in the batch."""

    name = "clip"
    kinds = KINDS
    steps = 4000
    options = {"batch_size": 64, "lr": 2e-3}

    def model(self, rng, parts):
        text = TextEncoder(len(tokenizer.WORDS), tokenizer.LENGTH, FEATURES, rng=rng)
        return CLIP(text, ImageEncoder(SIZE, 3, (32, 64, 96), FEATURES, rng=rng), rng=rng)

    def objective(self, parts):
        return ContrastiveLoss()


RECIPE = Recipe("clip", "a text encoder and an image encoder with a shared embedding space", (ClipStage(),), minutes=4.0)
