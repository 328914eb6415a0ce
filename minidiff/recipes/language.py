"""Recipe `language`: the text encoder of Imagen, trained on captions alone, without images."""

from ..data import tokenizer
from ..data.captioned import draw_scenes
from ..models import MaskedLanguageModel, TextEncoder
from ..training import MaskedWordLoss
from .stage import Recipe, Stage

FEATURES = 64


class LanguageStage(Stage):
    """Masked language modelling: predict hidden words from their context."""

    name = "language"
    steps = 800
    options = {"batch_size": 128, "lr": 2e-3}

    def model(self, rng, parts):
        encoder = TextEncoder(len(tokenizer.WORDS), tokenizer.LENGTH, FEATURES, causal=False, rng=rng)
        return MaskedLanguageModel(encoder, rng=rng)

    def objective(self, parts):
        return MaskedWordLoss(tokenizer.MASK)

    def examples(self, rng, n):
        _, captions = draw_scenes(n, rng)
        return (tokenizer.encode([str(caption) for caption in captions]),)


RECIPE = Recipe("language", "a text encoder trained to predict hidden words", (LanguageStage(),), minutes=1.0)
