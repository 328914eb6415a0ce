"""Builds the configuration of `minidiff train` from flags, a TOML file and the settings of another run."""

import dataclasses
import inspect
import json
import tomllib
from pathlib import Path

from ..model_options import MODELS
from ..runs import config_of, preset, shortened
from ..training.config import RunConfig
from ..training.resume import SettingsDiffer

SHORT = {  # flag -> key of the configuration
    "steps": "train.steps", "batch_size": "train.batch_size", "lr": "train.lr", "seed": "train.seed",
    "checkpoint_every": "train.checkpoint_every", "sample_every": "train.sample_every", "schedule": "diffusion.schedule",
    "T": "diffusion.T", "model": "model.name", "predicts": "diffusion.predicts", "size": "data.size", "root": "data.root",
}  # fmt: skip
ALLOW = "add --allow-change"
FREE = ("train.steps", "train.checkpoint_every", "train.sample_every", "data.root", "diffusion.clip")  # may change at any time


def configuration(arguments, resumed=None, given=None):
    """The RunConfig from flags, --config and --set, on top of another run's settings.   -> RunConfig, [changes]

    resumed   settings of the run to resume; all of them are fixed
    given     settings of the run of --from; its model and objective are fixed
    Raises SettingsDiffer where an option contradicts a fixed setting, unless --allow-change is given.
    """
    tables = _tables(arguments.config)
    if resumed:
        base = config_of(resumed, arguments.out or "this run")
        fixed = ("data", "model", "diffusion", "train")
    else:
        base, fixed = preset(data_name(arguments, given), _model_name(arguments, tables)), ()
    if given:
        theirs = config_of(given, arguments.start_from)
        if data_name(arguments, None, None) is None:  # use that run's data, with its settings
            base = dataclasses.replace(base, data=theirs.data)
        model = {key: value for key, value in theirs.model.items() if key != "sample_size"}  # sample_size follows from the data
        base = dataclasses.replace(base, model=model, diffusion=theirs.diffusion)
        fixed = ("model", "diffusion")
    config = _laid_over(base, tables)
    config = config.override(_assignments(arguments, config.data.name))
    if not resumed and "warmup" not in tables.get("train", {}) and not _sets(arguments, "train.warmup"):
        config = shortened(config)
    differs = _differences(base, config, fixed)
    if differs and not arguments.allow_change:
        who = "the checkpoint" if resumed else arguments.start_from
        raise SettingsDiffer([f"{key}: got {after}, expected {before} as in {who}" for key, before, after in differs], ALLOW)
    return config, [f"{key} from {before} to {after}" for key, before, after in differs]


def data_name(arguments, given=None, default="digits"):
    """The requested data set: from --set data.name, else --data, else --config, else the run of --from.

    given     settings of the run of --from; default: used if none of these names one
    Raises ValueError for an imported run of --from, which has no data.
    """
    named = [text for text in arguments.assignments if text.partition("=")[0].strip() == "data.name"]
    if named:
        return RunConfig().override(named).data.name
    name = arguments.data or _tables(arguments.config).get("data", {}).get("name")
    if name is not None or given is None:
        return name or default
    if "data" not in given:
        raise ValueError(f"--data: got none, expected a data set; {arguments.start_from} was imported and has no data setting")
    return given["data"]["name"]


def _model_name(arguments, tables):
    """The requested class of model: from --set model.name, else --model, else --config; None if none of these names one."""
    named = [text for text in arguments.assignments if text.partition("=")[0].strip() == "model.name"]
    name = RunConfig().override(named).model["name"] if named else arguments.model or tables.get("model", {}).get("name")
    return name if name in MODELS else None  # another name is rejected with the rest of the configuration


def folder_name(name):
    """The name of the run folder in `runs` for this data set."""
    path = Path(name).expanduser()
    return path.name or path.resolve().name or "data"


def _tables(path):
    """The tables of a TOML file, after validation; {} without a file."""
    if path is None:
        return {}
    RunConfig.from_toml(path)
    return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))


def _laid_over(base, tables):
    own = base.to_dict()
    return RunConfig.from_dict({section: {**own[section], **tables.get(section, {})} for section in own})


def _assignments(arguments, name):
    """Flags and --set as assignments.   name: the data set so far; another spelling of its folder is no change"""
    flags = {key: getattr(arguments, flag) for flag, key in SHORT.items()}
    if arguments.schedule == "flow" and arguments.predicts is None and not _sets(arguments, "diffusion.predicts"):
        flags["diffusion.predicts"] = "velocity"
    given = [f"{key}={json.dumps(value)}" for key, value in flags.items() if value is not None]
    if arguments.data and not _same_place(arguments.data, name):
        given.insert(0, f"data.name={json.dumps(arguments.data)}")
    return given + arguments.assignments


def _sets(arguments, key):
    return any(text.partition("=")[0].strip() == key for text in arguments.assignments)


def _same_place(a, b):
    """Whether two data names refer to the same name or folder."""
    a_path, b_path = Path(a).expanduser(), Path(b).expanduser()
    return a == b or (a_path.is_dir() and b_path.is_dir() and a_path.resolve() == b_path.resolve())


def _differences(base, config, sections):
    """(key, before, after) of every changed setting in these sections."""
    before, after, found = base.to_dict(), config.to_dict(), []
    for section in sections:
        for key in after[section]:
            path, was = f"{section}.{key}", before[section].get(key, _default(base, section, key))
            if was != after[section][key] and path not in FREE and not (key == "sample_size" and key not in before[section]):
                found.append((path, short(was), short(after[section][key])))
    return found


def _default(base, section, key):
    """The default of a model option that is not in the configuration."""
    kind = MODELS.get(base.model.get("name")) if section == "model" else None
    parameter = inspect.signature(kind.model).parameters.get(key) if kind else None
    return None if parameter is None else parameter.default


def short(value):
    """A setting as text; a long list is cut."""
    text = str(value)
    return f"{text[:40]}... ({len(value):,} of them)" if isinstance(value, (list, tuple)) and len(value) > 20 else text
