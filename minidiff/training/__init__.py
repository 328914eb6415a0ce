"""Training: the optimizer over a flat arena, the moving average, the training loop, and checkpoints."""

from .adamw import AdamW, clip_grad_norm
from .arena import Arena
from .checkpoint import Checkpoint, CheckpointError, load, save
from .config import RunConfig, check_options
from .distill import TwoStepLoss, progressive_distillation
from .ema import EMA
from .errors import NotFinite
from .history import History
from .losses import ContrastiveLoss, MaskedWordLoss
from .lr import learning_rate
from .parallel import DataParallel
from .trainer import Trainer

__all__ = [
    "AdamW",
    "Arena",
    "Checkpoint",
    "CheckpointError",
    "ContrastiveLoss",
    "DataParallel",
    "EMA",
    "History",
    "MaskedWordLoss",
    "NotFinite",
    "RunConfig",
    "Trainer",
    "TwoStepLoss",
    "check_options",
    "clip_grad_norm",
    "learning_rate",
    "load",
    "progressive_distillation",
    "save",
]
