"""The configuration of a run as frozen dataclasses: read from a dict or a TOML file, changed by `train.lr=3e-4`, stored in
the checkpoint. An unknown key or a value of the wrong type raises an error that lists what is expected.
"""

import ast
import dataclasses
import inspect
import types
import typing
from dataclasses import dataclass, field

from ..files import read_text
from ..json_file import about
from ..names import did_you_mean

LARGEST = 1 << 20  # bytes of a TOML file


@dataclass(frozen=True)
class DataConfig:
    """The arguments of `data.load`. name: a data set or a folder; root: where downloads are kept."""

    name: str = "digits"
    split: str = "train"
    root: str | None = None
    size: int | None = None
    n: int | None = None


@dataclass(frozen=True)
class DiffusionConfig:
    """Schedule, loss, and what sampling needs of them.

    schedule    a constructor of Schedule, or "flow"; beta_start, beta_end None: its defaults
    T           number of steps; of a flow, whose t runs from 0 to 1, the factor of the model's time input
    betas       all T of them, for schedule "from_betas"
    shift       of a flow, towards the noise: see `diffusion.Flow`
    learned_variance   the model predicts its variance too, trained by HybridLoss
    clip        bound of the predicted x0 while sampling; None: none
    """

    schedule: str = "linear"
    T: int = 1000
    beta_start: float | None = None
    beta_end: float | None = None
    betas: list | None = None
    shift: float | None = None
    predicts: str = "eps"
    weighting: str = "simple"
    cond_dropout: float = 0.1
    t_sampler: str = "uniform"
    learned_variance: bool = False
    clip: float | None = None


@dataclass(frozen=True)
class TrainConfig:
    """Keyword arguments of the Trainer, by the same names: Trainer(model, objective, images, labels, **vars(train))."""

    steps: int = 1000
    batch_size: int = 64
    lr: float = 1e-3
    curve: str = "cosine"
    warmup: int = 0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    grad_clip: float | None = 1.0
    ema_decay: float | None = 0.999
    seed: int = 0
    checkpoint_every: int | None = None
    sample_every: int | None = None


@dataclass(frozen=True)
class RunConfig:
    """One run. model: {"name": ..., and the options of that model's constructor}; `check_options` validates them."""

    data: DataConfig = field(default_factory=DataConfig)
    model: dict = field(default_factory=lambda: {"name": "unet"})
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @classmethod
    def from_dict(cls, values):
        """From nested dicts as `to_dict` gives them; what is left out has its default.

        Raises ValueError for keys that do not exist (listing those that do) and TypeError for values of the wrong kind.
        """
        return _build(cls, values, "")

    @classmethod
    def from_toml(cls, path):
        """From a TOML file with the tables [data], [model], [diffusion], [train]."""
        import tomllib

        with about(path):
            try:
                return cls.from_dict(tomllib.loads(read_text(path, LARGEST, "configuration")))
            except (tomllib.TOMLDecodeError, RecursionError) as error:
                raise ValueError(f"{path}: got {str(error) or 'tables nested too deeply'}, expected valid TOML") from None

    def to_dict(self):
        """Nested dicts of JSON values."""
        return _plain(dataclasses.asdict(self))

    def override(self, assignments):
        """A new RunConfig with "section.key=value" strings applied in order.   ["train.lr=3e-4", "model.dropout=0.1"]

        A value is a number, true, false, none, a list such as [32,64], or else a string. Raises like `from_dict`.
        """
        values = self.to_dict()
        for assignment in assignments:
            key, equals, text = assignment.partition("=")
            section, dot, name = key.strip().partition(".")
            if not (equals and dot and name):
                raise ValueError(f"--set: got {assignment!r}, expected section.key=value such as train.lr=3e-4")
            if section not in values:
                raise ValueError(_unknown(section, values, ""))
            values[section][name] = self._read(section, name, text.strip())
        return type(self).from_dict(values)

    def _read(self, section, name, text):
        value, known = parse_value(text), typing.get_type_hints(type(getattr(self, section)))
        wants_text = name in known and _fits(text, known[name]) and not _fits(value, known[name])
        return text if wants_text else value  # a folder called 7, say


def parse_value(text):
    """Parse a value of the command line: 3e-4, 12, true, none, [1, 2], "quoted"; anything else is the text itself."""
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return _plain(ast.literal_eval(text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def check_options(function, options, section):
    """Raise ValueError unless every key of `options` is a parameter of `function`, such as a model's constructor."""
    known = [name for name in inspect.signature(function).parameters if name not in ("self", "rng")]
    for key in options:
        if key not in known:
            raise ValueError(_unknown(key, known, section))


# ---- inside ----------------------------------------------------------------------------------------------------------


def _build(cls, values, section):
    if not isinstance(values, dict):
        raise TypeError(f"{section or 'configuration'}: got {values!r}, expected keys and values")
    hints, made = typing.get_type_hints(cls), {}
    for key, value in values.items():
        if key not in hints:
            raise ValueError(_unknown(key, hints, section))
        path, hint = f"{section}.{key}".lstrip("."), hints[key]
        if dataclasses.is_dataclass(hint):
            made[key] = _build(hint, value, path)
        elif _fits(value, hint):
            made[key] = _shaped(value, hint)
        else:
            raise TypeError(f"{path}: got {value!r}, expected {_words(hint)}")
    return cls(**made)


def _fits(value, hint):
    if isinstance(hint, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        kinds = typing.get_args(hint)
        return isinstance(value, (list, tuple)) and len(value) == len(kinds) and all(map(_fits, value, kinds))
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def _shaped(value, hint):
    """The value as the field declares it: 1 as 1.0 where a float is wanted, a list as a tuple."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if float in options and isinstance(value, int):
        return float(value)
    if typing.get_origin(hint) is tuple:
        return tuple(map(_shaped, value, typing.get_args(hint)))
    return dict(value) if hint is dict else value


def _words(hint):
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false", dict: "a table",
             list: "a list"}  # fmt: skip
    if isinstance(hint, types.UnionType):
        return " or ".join(map(_words, typing.get_args(hint)))
    if typing.get_origin(hint) is tuple:
        return f"a list of {len(typing.get_args(hint))} numbers"
    return names.get(hint, "none")


def _unknown(key, known, section):
    paths = [f"{section}.{name}".lstrip(".") for name in known]
    path = f"{section}.{key}".lstrip(".")
    return f"key: got {path}, expected one of {', '.join(paths)}{did_you_mean(path, paths, 1)}"


def _plain(value):
    """Tuples as lists, all the way down."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
