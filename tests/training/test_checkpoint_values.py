"""NaN and infinity in a checkpoint: in no group of tensors are they written, opened, or resumed from.

The right value is that of Trainer's own promise: the last checkpoint that was saved is good, and stands.
"""

import hashlib
import json

import numpy as np
import pytest

from minidiff import models
from minidiff.cli import main
from minidiff.diffusion import Schedule, SimpleLoss
from minidiff.training import CheckpointError, NotFinite, Trainer, load, save
from minidiff.training import checkpoint as checkpoints

POINTS = np.random.default_rng(0).standard_normal((40, 2)).astype(np.float32)
BAD = (np.nan, np.inf, -np.inf)


def make(folder=None, seed=0, **options):
    objective = SimpleLoss(Schedule.linear(8, 0.01, 0.3), t_sampler="loss")
    settings = {"steps": 20, "batch_size": 8, "seed": 0, **options}
    return Trainer(models.MLP(width=8, depth=1, rng=seed), objective, POINTS, folder=folder, **settings)


def spoil(trainer, group, value):
    """One number of one group; -> the words that should name it."""
    if group == "objective":
        trainer.objective.t_sampler.losses[3, 1] = value
        return "objective's losses"
    flat = {"weights": trainer.arena.values, "ema": trainer.ema.average, "m": trainer.optimizer.m, "v": trainer.optimizer.v}
    trainer.arena.views(flat[group])["hidden.0.bias"][2] = value
    words = {"weights": "weight", "ema": "moving average of", "m": "optimizer moment m of", "v": "optimizer moment v of"}
    return f"{words[group]} hidden.0.bias"


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("group", ("weights", "ema", "m", "v", "objective"))
def test_no_group_is_saved_with_it_and_the_last_checkpoint_stands(group, value, tmp_path):
    trainer = make(tmp_path)
    trainer.run(5, progress=False)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    words = spoil(trainer, group, value)
    with pytest.raises(NotFinite, match=f"step 5: {words} holds NaN or infinity"):
        trainer.save()
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before
    assert make(tmp_path, seed=3).resume().done == 5


@pytest.mark.parametrize("group", ("ema", "v"))
def test_a_run_that_spoils_them_on_the_way_ends_at_its_next_checkpoint(group, tmp_path):
    trainer = make(tmp_path, checkpoint_every=3, grad_clip=None)
    trainer.callbacks.append(lambda t: t.done == 8 and spoil(t, group, np.nan))
    with np.errstate(all="ignore"), pytest.raises(NotFinite):
        trainer.run(progress=False)
    assert load(tmp_path / "checkpoint.safetensors").step == 6


def resealed(path, group, value):
    """The file with one number changed and its sha256 made right again, as an older version might have written it."""
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    name = next(name for name in header if name.startswith(f"{group}/") and header[name]["dtype"] in ("F32", "F64"))
    dtype = {"F32": np.float32, "F64": np.float64}[header[name]["dtype"]]
    start = 8 + length + header[name]["data_offsets"][0]
    data[start : start + dtype().nbytes] = dtype(value).tobytes()
    at = data.index(checkpoints._MARK) + len(checkpoints._MARK)
    data[at : at + 64] = b"0" * 64
    data[at : at + 64] = hashlib.sha256(data).hexdigest().encode()
    path.write_bytes(data)
    return name


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("group", checkpoints.GROUPS)
def test_no_group_is_opened_with_it(group, value, tmp_path, capsys):
    make(tmp_path, config={"model": {"name": "mlp"}}).run(5, progress=False)
    path = tmp_path / "checkpoint.safetensors"
    name = resealed(path, group, value).partition("/")[2]
    words = f"the {checkpoints.WORDS[group]} {name} holds NaN or infinity in 1 of"
    with pytest.raises(CheckpointError, match=words):
        load(path)
    trainer = make(tmp_path)
    before = trainer.arena.values.copy()
    with pytest.raises(CheckpointError, match=words):
        trainer.resume()
    assert np.array_equal(trainer.arena.values, before) and trainer.done == 0
    for command in (["info", str(path)], ["sample", str(path)]):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert words in said and str(path) in said and said.count("\n") == 1


def test_the_public_save_refuses_it_too(tmp_path):
    weights = {"w": np.ones(4, np.float16), "n": np.arange(3)}
    save(tmp_path / "a", weights)
    for value in BAD:
        with pytest.raises(ValueError, match=r"weight w holds NaN or infinity in 1 of 4 numbers; .* was not written"):
            save(tmp_path / "b", weights | {"w": np.array([1, value, 2, 3], np.float16)})
        with pytest.raises(ValueError, match="moving average of w holds NaN"):
            save(tmp_path / "a", weights, ema={"w": np.array([value, 0, 2, 3], np.float16), "n": np.arange(3)})
    assert [f.name for f in tmp_path.iterdir()] == ["a"] and load(tmp_path / "a").weights["w"].sum() == 4


# ---- numbers that no run can have -----------------------------------------------------------------------------------------

OUT_OF_RANGE = [
    ("lr", np.inf, "lr: got inf, expected a finite number >= 0"), ("lr", np.nan, "lr: got nan"), ("lr", -1.0, "lr: got -1.0"),
    ("warmup", 10**9, "warmup: got 1000000000, expected a whole number of steps, from 0 to steps = 20"),
    ("warmup", 21, "warmup: got 21"), ("warmup", -1, "warmup: got -1"), ("warmup", 1.5, "warmup: got 1.5"),
    ("betas", (0.9, 1.0), r"betas: got \(0.9, 1.0\)"), ("betas", (-0.1, 0.9), "betas: got"),
    ("betas", (np.nan, 0.9), "betas: got"),
    ("betas", (0.9,), "expected two numbers"), ("weight_decay", np.inf, "weight_decay: got inf"),
    ("weight_decay", -1e-3, "weight_decay: got"), ("weight_decay", np.nan, "weight_decay: got nan"),
    ("grad_clip", np.inf, "grad_clip: got inf"), ("grad_clip", np.nan, "grad_clip: got nan"),
    ("grad_clip", 0, "grad_clip: got 0"),
    ("ema_decay", np.nan, "decay: got nan"), ("ema_decay", 1.01, "decay: got 1.01"), ("curve", "flat", "curve: got 'flat'"),
]  # fmt: skip


@pytest.mark.parametrize("name, value, words", OUT_OF_RANGE, ids=lambda v: str(v)[:20])
def test_numbers_out_of_range_before_any_work(name, value, words):
    with pytest.raises(ValueError, match=words):
        make(**{name: value})


def test_numbers_at_the_edge_of_their_range_are_taken():
    make(lr=0.0, warmup=20, betas=(0.0, 0.0), weight_decay=0.0, grad_clip=1e-30, ema_decay=1.0).step()
    make(ema_decay=0.0, grad_clip=None, warmup=0).step()


COMMANDS = [
    ("train.lr=1e999", "lr: got inf"), ("train.warmup=1000000000", "warmup: got 1000000000"),
    ("train.betas=[0.9,1.5]", "betas: got"), ("train.weight_decay=1e999", "weight_decay: got inf"),
    ("diffusion.cond_dropout=1.5", "cond_dropout: got 1.5"), ("diffusion.T=2000000000", "T: got 2000000000, expected at most"),
    ("diffusion.beta_start=0.5", "diffusion.beta_start: cannot be combined with schedule 'cosine'"),
    ("diffusion.betas=[0.1]", "diffusion.betas: only valid with schedule 'from_betas'"),
    ("diffusion.schedule=from_betas", "diffusion.betas: only valid with schedule 'from_betas', which requires them"),
    ("diffusion.clip=0", "diffusion.clip: got 0"), ("diffusion.weighting=snrr", "weighting: got 'snrr'"),
    ("diffusion.t_sampler=los", "t_sampler: got 'los'"),
]  # fmt: skip


@pytest.mark.parametrize("assignment, words", COMMANDS)
def test_the_command_line_raises_before_it_reads_the_data(assignment, words, tmp_path, capsys, monkeypatch):
    from minidiff import data

    monkeypatch.setattr(data, "load", lambda *_, **__: pytest.fail("the data were read"))
    assert main(["train", "--data", "digits", "--set", assignment, "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and not (tmp_path / "run").exists()
