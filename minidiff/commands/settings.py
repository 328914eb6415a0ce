"""From flags, a TOML file and another run's settings to the configuration of a run of `minidiff train`."""

import dataclasses
import inspect
import json
import tomllib
from pathlib import Path

from ..runs import MODELS, config_of, preset, shortened
from ..training.config import RunConfig
from ..training.resume import SettingsDiffer

SHORT = {  # flag -> key of the configuration
    "steps": "train.steps", "batch_size": "train.batch_size", "lr": "train.lr", "seed": "train.seed",
    "checkpoint_every": "train.checkpoint_every", "sample_every": "train.sample_every", "schedule": "diffusion.schedule",
    "T": "diffusion.T", "predicts": "diffusion.predicts", "size": "data.size", "root": "data.root",
}  # fmt: skip
ALLOW = "add --allow-change"
FREE = ("train.steps", "train.checkpoint_every", "train.sample_every", "data.root", "diffusion.clip")  # may change any time


def configuration(arguments, resumed=None, given=None):
    """The RunConfig that flags, --config and --set amount to, over what another run kept.   -> RunConfig, [what changed]

    resumed   what the run to continue kept: all of it holds
    given     what the run of --from kept: its model and its objective hold
    Raises SettingsDiffer where an option contradicts what holds, unless --allow-change is given.
    """
    tables = _tables(arguments.config)
    if resumed:
        base = config_of(resumed, arguments.out or "this run")
        fixed = ("data", "model", "diffusion", "train")
    else:
        base, fixed = preset(data_name(arguments, given)), ()
    if given:
        theirs = config_of(given, arguments.start_from)
        if data_name(arguments, None, None) is None:  # the data are that run's, however it read them
            base = dataclasses.replace(base, data=theirs.data)
        model = {key: value for key, value in theirs.model.items() if key != "sample_size"}  # that follows from the data
        base = dataclasses.replace(base, model=model, diffusion=theirs.diffusion)
        fixed = ("model", "diffusion")
    config = _laid_over(base, tables)
    config = config.override(_assignments(arguments, config.data.name))
    if not resumed and "warmup" not in tables.get("train", {}) and not _sets(arguments, "train.warmup"):
        config = shortened(config)
    differs = _differences(base, config, fixed)
    if differs and not arguments.allow_change:
        who = "the checkpoint has" if resumed else f"{arguments.start_from} has"
        raise SettingsDiffer([f"{key}: {who} {before}, got {after}" for key, before, after in differs], ALLOW)
    return config, [f"{key} from {before} to {after}" for key, before, after in differs]


def data_name(arguments, given=None, default="digits"):
    """The data set that is asked for: by --set data.name, else by --data, else in --config, else that of --from.

    given     what the run of --from kept; default: where none of these names one
    Raises ValueError for a run of --from that was imported: it has no data.
    """
    named = [text for text in arguments.assignments if text.partition("=")[0].strip() == "data.name"]
    if named:
        return RunConfig().override(named).data.name
    name = arguments.data or _tables(arguments.config).get("data", {}).get("name")
    if name is not None or given is None:
        return name or default
    if "data" not in given:
        raise ValueError(f"--data: got none, expected what to train on; {arguments.start_from} was imported and names no data")
    return given["data"]["name"]


def folder_name(name):
    """What a run on this data set is called, in `runs`."""
    path = Path(name).expanduser()
    return path.name or path.resolve().name or "data"


def _tables(path):
    """The tables of a TOML file, every key and value of which has been checked; {} without one."""
    if path is None:
        return {}
    RunConfig.from_toml(path)
    return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))


def _laid_over(base, tables):
    own = base.to_dict()
    return RunConfig.from_dict({section: {**own[section], **tables.get(section, {})} for section in own})


def _assignments(arguments, name):
    """Flags and --set as assignments.   name: the data set so far; another way to write its folder changes nothing"""
    flags = {key: getattr(arguments, flag) for flag, key in SHORT.items()}
    given = [f"{key}={json.dumps(value)}" for key, value in flags.items() if value is not None]
    if arguments.data and not _same_place(arguments.data, name):
        given.insert(0, f"data.name={json.dumps(arguments.data)}")
    return given + arguments.assignments


def _sets(arguments, key):
    return any(text.partition("=")[0].strip() == key for text in arguments.assignments)


def _same_place(a, b):
    """Whether two names of data mean the same: the names, or the folders."""
    a_path, b_path = Path(a).expanduser(), Path(b).expanduser()
    return a == b or (a_path.is_dir() and b_path.is_dir() and a_path.resolve() == b_path.resolve())


def _differences(base, config, sections):
    """(key, before, after) of every setting in these sections that is not what it was."""
    before, after, found = base.to_dict(), config.to_dict(), []
    for section in sections:
        for key in after[section]:
            path, was = f"{section}.{key}", before[section].get(key, _default(base, section, key))
            if was != after[section][key] and path not in FREE and not (key == "sample_size" and key not in before[section]):
                found.append((path, short(was), short(after[section][key])))
    return found


def _default(base, section, key):
    """What an option of the model is that is not written down."""
    model = MODELS.get(base.model.get("name"))
    parameter = inspect.signature(model).parameters.get(key) if section == "model" and model else None
    return None if parameter is None else parameter.default


def short(value):
    """A setting as text; of a long list its beginning."""
    text = str(value)
    return f"{text[:40]}... ({len(value):,} of them)" if isinstance(value, (list, tuple)) and len(value) > 20 else text
