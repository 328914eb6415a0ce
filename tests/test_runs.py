"""What a run knows travels: through --from, --resume, import, sample, and into every default that depends on it.

Reference values: diffusers' velocity and torch's mean squared error for the loss of a fine-tuned import; for the rest the
settings of the first run, and the limits that the arguments themselves set (T steps, the classes there are).
"""

import csv
import json

import numpy as np
import pytest

from minidiff import data, interop, models, runs, samplers
from minidiff.cli import main
from minidiff.commands.train import SHEET, sample_all_classes
from minidiff.diffusion import HybridLoss, Schedule, SimpleLoss
from minidiff.rng import Rng, Stream
from minidiff.training import RunConfig, Trainer, checkpoint, load
from minidiff.viz import save_png

TINY = ["--set", "model.block_out_channels=[8,8]", "--set", "model.norm_num_groups=4", "--set", "model.attention_head_dim=8"]
FEW = ["--batch-size", "8", "--no-progress"]
OTHER = {  # the setting, how it is asked for, what the run below has, another value
    "diffusion.predicts": ("--predicts", "eps", "v"), "diffusion.schedule": ("--schedule", "linear", "cosine"),
    "diffusion.T": ("--T", "400", "1000"), "diffusion.weighting": (None, "min_snr", "simple"),
    "diffusion.cond_dropout": (None, "0.2", "0.1"), "diffusion.t_sampler": (None, "stratified", "uniform"),
    "diffusion.beta_end": (None, "0.03", "0.02"), "diffusion.beta_start": (None, "0.001", "0.0001"),
    "diffusion.learned_variance": (None, "false", "true"), "model.dropout": (None, "0.1", "0.0"),
    "model.norm_eps": (None, "1e-05", "1e-06"),
}  # fmt: skip
TRAINING = {
    "train.lr": ("--lr", "0.002", "0.001"), "train.batch_size": ("--batch-size", "8", "9"), "train.seed": ("--seed", "0", "1"),
    "train.curve": (None, "cosine", "constant"), "train.warmup": (None, "0", "1"), "train.grad_clip": (None, "1.0", "2.0"),
    "train.betas": (None, "[0.9, 0.999]", "[0.9, 0.99]"), "train.ema_decay": (None, "0.999", "0.99"),
    "train.weight_decay": (None, "0.01", "0.1"), "data.split": (None, "train", "test"),
}  # fmt: skip


def asked(key, value):
    flag = {**OTHER, **TRAINING}[key][0]
    return [flag, value] if flag else ["--set", f"{key}={value}"]


def given(settings):
    return [part for key, (_, value, _) in settings.items() for part in asked(key, value)]


@pytest.fixture(scope="module")
def unusual(tmp_path_factory):
    """A run of three steps with no setting of the objective at its default."""
    folder = tmp_path_factory.mktemp("runs") / "unusual"
    options = given({key: row for key, row in OTHER.items() if key not in ("diffusion.learned_variance", "model.norm_eps")})
    assert main(["train", "--data", "digits", "--steps", "3", "--out", str(folder), *TINY, *FEW, *options]) == 0
    return folder


def kept_of(folder):
    return load(folder / "checkpoint.safetensors").config["run"]


def losses_of(folder):
    return [float(row["loss"]) for row in csv.DictReader((folder / "log.csv").read_text().splitlines())]


# ---- --from ----------------------------------------------------------------------------------------------------------------


def test_from_inherits_everything_that_defines_model_and_objective(unusual, tmp_path):
    assert main(["train", "--from", str(unusual), "--data", "digits", "--steps", "2", "--out", str(tmp_path / "f"), *FEW]) == 0
    before, after = kept_of(unusual), kept_of(tmp_path / "f")
    assert after["diffusion"] == before["diffusion"] and after["model"] == before["model"]
    assert before["diffusion"]["predicts"] == "eps" and before["diffusion"]["T"] == 400  # not a preset's

    objective = SimpleLoss(Schedule.linear(400, 0.001, 0.03), "eps", "min_snr", 0.2, "stratified")
    net = runs.open_run(unusual).denoiser.model
    images, labels = data.load("digits")
    trainer = Trainer(net, objective, images, labels, batch_size=8)  # its first loss comes before any change of the weights
    assert trainer.step() == pytest.approx(losses_of(tmp_path / "f")[0], rel=1e-5)


def test_from_with_the_same_options_repeated_is_no_contradiction(unusual, tmp_path):
    command = ["train", "--from", str(unusual), "--data", "digits", "--steps", "1", "--out", str(tmp_path / "f"), *FEW, *TINY]
    assert main([*command, *given(OTHER)]) == 0


@pytest.mark.parametrize("key", OTHER)
def test_from_with_a_contradicting_option_is_one_line_or_a_printed_change(unusual, tmp_path, capsys, key):
    _, _mine, other = OTHER[key]
    command = ["train", "--from", str(unusual), "--data", "digits", "--steps", "1", "--out", str(tmp_path / "f"), *FEW]
    assert main([*command, *asked(key, other)]) == 2
    said = capsys.readouterr().err
    assert f"{key}: got " in said and f" as in {unusual}" in said and "--allow-change" in said and said.count("\n") == 1
    assert not (tmp_path / "f").exists()
    if key not in ("diffusion.learned_variance", "diffusion.schedule"):  # those change what the weights, or betas, can be
        assert main([*command, *asked(key, other), "--allow-change"]) == 0
        assert f"changed: {key} from " in capsys.readouterr().out
        section, _, name = key.partition(".")
        assert str(kept_of(tmp_path / "f")[section][name]) == str(other)


def test_from_without_data_uses_the_same_data(unusual, tmp_path, capsys):
    assert main(["train", "--from", str(unusual), "--steps", "1", "--out", str(tmp_path / "f"), *FEW]) == 0
    assert kept_of(tmp_path / "f")["data"] == kept_of(unusual)["data"]


def save_folder(folder, name, n, shape, classes=None):
    for i in range(n):
        place = folder / name if classes is None else folder / name / f"kind{i % classes}"
        save_png(np.random.default_rng(i).uniform(-1, 1, shape), place / f"{i}.png", scale=1)
    return folder / name


def test_from_onto_data_that_do_not_fit_is_one_line(unusual, tmp_path, capsys):
    colours = save_folder(tmp_path, "colours", 4, (8, 8, 3))
    for folder, words in ((colours, "colours with 3 channels, expected model.in_channels = 1"),
                          (save_folder(tmp_path, "grey", 4, (8, 8, 1)), "grey without classes, expected classes for"),
                          (save_folder(tmp_path, "many", 12, (8, 8, 1), 12), "many with 12 classes, expected at most those"),
                          ("moons", "got unet for examples")):  # fmt: skip
        assert main(["train", "--from", str(unusual), "--data", str(folder), "--out", str(tmp_path / "f"), *FEW]) == 2
        said = capsys.readouterr().err
        assert words in said and said.count("\n") == 1 and not (tmp_path / "f").exists()


def test_from_onto_another_size_and_fewer_classes(unusual, tmp_path):
    folder = save_folder(tmp_path, "few", 6, (4, 8, 1), 3)
    command = ["train", "--from", str(unusual), "--data", str(folder), "--steps", "1", "--out", str(tmp_path / "f"), *FEW]
    assert main(command) == 0
    kept = kept_of(tmp_path / "f")
    assert kept["model"]["sample_size"] == [4, 8] and kept["shape"] == [4, 8, 1]
    assert kept["classes"] == 3 and kept["model"]["null_class"] == 10  # the weights' own null class
    assert main(["sample", str(tmp_path / "f"), "--steps", "2", "--guidance", "1", "--count", "3", "--no-progress"]) == 0


def test_an_imported_folder_keeps_its_objective(tmp_path, outside):
    """The README's two lines. The loss of the first step is what diffusers and torch make of the same noise."""
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=8, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, attention_head_dim=4, in_channels=1,
        out_channels=1, down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    ).eval()  # fmt: skip
    options = dict(beta_schedule="scaled_linear", beta_start=0.001, beta_end=0.013, num_train_timesteps=700)
    scheduler = diffusers.DDPMScheduler(prediction_type="v_prediction", **options)
    diffusers.DDPMPipeline(unet, scheduler).save_pretrained(tmp_path / "theirs")
    run, tuned = str(tmp_path / "run"), tmp_path / "tuned"
    assert main(["import", str(tmp_path / "theirs"), "--out", run]) == 0
    # the digits have classes, this net has none: they are left aside
    assert main(["train", "--from", run, "--data", "digits", "--steps", "1", "--out", str(tuned), *FEW]) == 0

    kept = kept_of(tuned)
    assert kept["diffusion"]["predicts"] == "v" and kept["diffusion"]["T"] == 700 and kept["diffusion"]["clip"] == 1.0
    images, _ = data.load("digits")
    trainer = Trainer(models.MLP(), lambda *_: None, images, batch_size=8)
    x0 = images[trainer.batch_indices(0)]
    rng = Rng(0, Stream.NOISE, 0)
    t, eps = rng.integers(0, 700, size=8), rng.standard_normal(x0.shape)
    x0, eps, t = (torch.tensor(np.moveaxis(a, -1, 1).copy()) if a.ndim == 4 else torch.tensor(a) for a in (x0, eps, t))
    with torch.no_grad():
        output = unet(scheduler.add_noise(x0, eps, t), t).sample
    expected = torch.nn.functional.mse_loss(output, scheduler.get_velocity(x0, eps, t)).item()
    outside(losses_of(tuned)[0], expected, 1e-4)


def test_a_learned_variance_is_inherited_and_trained_on(tmp_path, capsys):
    first, second = tmp_path / "a", tmp_path / "b"
    command = ["train", "--steps", "2", *FEW]
    assert main([*command, "--data", "digits", "--set", "diffusion.learned_variance=true", "--out", str(first), *TINY]) == 0
    assert main([*command, "--from", str(first), "--out", str(second)]) == 0
    kept = kept_of(second)
    assert kept["model"]["out_channels"] == 2 and kept["diffusion"]["learned_variance"]
    assert isinstance(runs.build_objective(RunConfig.from_dict({"diffusion": kept["diffusion"]})), HybridLoss)
    assert runs.open_run(second).denoiser.learned_variance
    assert main(["sample", str(second), "--sampler", "ddim", "--steps", "2", "--count", "2", "--no-progress"]) == 0
    assert main(["train", "--data", "digits", "--out", str(tmp_path / "c"), *FEW, *TINY, "--set", "model.out_channels=2"]) == 2
    assert "got 2 output channels, expected 1 without diffusion.learned_variance" in capsys.readouterr().err


# ---- --resume --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [*OTHER, *TRAINING])
def test_resume_refuses_another_setting_and_names_the_flag(unusual, capsys, key):
    before = {f.name: f.read_bytes() for f in unusual.iterdir()}
    other = {**OTHER, **TRAINING}[key][2]
    command = ["train", "--out", str(unusual), "--resume", "--steps", "4", "--no-progress"]
    assert main([*command, *asked(key, other)]) == 2
    said = capsys.readouterr().err
    assert f"{key}: got {other}, expected ".lower() in said.lower() and "as in the checkpoint" in said
    assert "--allow-change" in said and "strict" not in said and said.count("\n") == 1
    assert before == {f.name: f.read_bytes() for f in unusual.iterdir()}


def test_resume_with_the_same_settings_repeated(unusual, tmp_path, capsys):
    folder = copied(unusual, tmp_path / "r")
    options = given(OTHER) + given(TRAINING) + ["--data", "digits", "--sample-every", "7", "--checkpoint-every", "9"]
    assert main(["train", "--out", str(folder), "--resume", "--steps", "5", "--no-progress", *options]) == 0
    assert "changed" not in capsys.readouterr().out and load(folder / "checkpoint.safetensors").step == 5


def test_resume_with_a_change_that_is_wanted(unusual, tmp_path, capsys):
    folder = copied(unusual, tmp_path / "r")
    command = ["train", "--out", str(folder), "--resume", "--steps", "5", "--no-progress", "--allow-change"]
    assert main([*command, "--lr", "1e-5", "--predicts", "v"]) == 0
    said = capsys.readouterr().out
    assert "changed: train.lr from 0.002 to 1e-05\n" in said and "changed: diffusion.predicts from eps to v\n" in said
    rates = [float(row["lr"]) for row in csv.DictReader((folder / "log.csv").read_text().splitlines())]
    half_cosine = 0.5 * (1 + np.cos(np.pi * np.array([3, 4]) / 5))  # arXiv:1608.03983, equation 5, of 5 steps in all
    assert rates[3:] == pytest.approx(1e-5 * half_cosine) and kept_of(folder)["diffusion"]["predicts"] == "v"
    assert main(["train", "--data", "digits", "--allow-change", "--out", str(tmp_path / "n")]) == 2


def test_the_command_of_a_fine_tuning_resumes_with_one_word_more(unusual, tmp_path):
    command = ["train", "--from", str(unusual), "--data", "digits", "--out", str(tmp_path / "f"), *FEW]
    assert main([*command, "--steps", "1"]) == 0 and main([*command, "--steps", "2", "--resume"]) == 0
    assert load(tmp_path / "f" / "checkpoint.safetensors").step == 2


def test_resume_refuses_data_that_have_changed_on_the_disk(tmp_path, capsys):
    folder = save_folder(tmp_path, "grey", 4, (8, 8, 1))
    command = ["train", "--data", str(folder), "--out", str(tmp_path / "r"), *FEW]
    assert main([*command, "--steps", "1", *TINY]) == 0
    save_folder(tmp_path, "grey", 6, (8, 8, 1))
    assert main([*command, "--steps", "2", "--resume"]) == 2
    said = capsys.readouterr().err
    assert "data: got [6, 8, 8, 1], expected [4, 8, 8, 1] as in the checkpoint" in said and "--allow-change" in said
    assert main([*command, "--steps", "2", "--resume", "--allow-change"]) == 0


def copied(run, folder, change=None):
    """The run in another folder; change(config) alters what its checkpoint holds beside the tensors."""
    folder.mkdir()
    for file in run.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_a_checkpoint_of_an_older_version_resumes(unusual, tmp_path):
    """One without the settings of its objective and without the newer keys of its configuration."""
    folder = copied(unusual, tmp_path / "r")
    path = folder / "checkpoint.safetensors"
    found = checkpoint.load(path)
    old = ("steps", "batch_size", "lr", "curve", "warmup", "betas", "weight_decay", "grad_clip", "ema_decay", "data", "dtype")
    config = {**found.config, "settings": {key: found.config["settings"][key] for key in old}}
    for key in ("betas", "learned_variance", "clip"):
        del config["run"]["diffusion"][key]
    net = runs.open_run(folder, "raw").denoiser.model
    objective = SimpleLoss(Schedule.linear(400, 0.001, 0.03), "eps", "min_snr", 0.2, "stratified")
    trainer = Trainer(net, objective, *data.load("digits"), batch_size=8, steps=3, lr=2e-3).resume(path, strict=False)
    optimizer, ema = trainer.optimizer, trainer.ema
    checkpoint.save(path, net, ema=ema, optimizer=optimizer, step=3, random={"seed": 0, "step": 3}, config=config)
    assert main(["train", "--out", str(folder), "--resume", "--steps", "4", "--no-progress"]) == 0
    assert load(path).step == 4


POINTS = np.random.default_rng(0).standard_normal((20, 2)).astype(np.float32)
LOSS = dict(schedule=Schedule.linear(10), predicts="eps", weighting="p2", cond_dropout=0.0, gamma=0.5, k=2.0)


@pytest.mark.parametrize(
    "change, words",
    [({"predicts": "v"}, "predicts: got v, expected eps as in the checkpoint"),
     ({"weighting": "snr", "gamma": None, "k": 1.0}, "weighting: got snr, expected p2 as in the checkpoint"),
     ({"gamma": 0.25}, "gamma: got 0.25, expected 0.5 as in the checkpoint"), ({"k": 1.0}, "k: got 1.0, expected 2.0"),
     ({"cond_dropout": 0.5}, "cond_dropout: got 0.5, expected 0.0 as in the checkpoint"),
     ({"t_sampler": "stratified"}, "t_sampler: got Stratified, expected Uniform as in the checkpoint"),
     ({"schedule": Schedule.cosine(10)}, r"schedule: got Schedule.cosine\(T=10.*, expected Schedule.linear\(T=10"),
     ({"schedule": Schedule.linear(10, 1.0001e-4)}, "sha256 of the schedule's betas: got .*, expected .* as in the checkpoint"),
     ({"time_scale": 2.0}, "time_scale: got 2.0, expected 1.0 as in the checkpoint")],
)  # fmt: skip
def test_resume_in_python_refuses_another_objective(change, words, tmp_path):
    def make(options):
        return Trainer(
            models.MLP(width=8, depth=1, rng=0), SimpleLoss(**options), POINTS, steps=4, batch_size=4, folder=tmp_path
        )

    make(LOSS).run(2, progress=False)
    with pytest.raises(ValueError, match=words) as error:
        make(LOSS | change).resume()
    assert "strict=False" in str(error.value)
    assert make(LOSS | change).resume(strict=False).done == 2 and make(LOSS).resume().done == 2


# ---- defaults that depend on other settings --------------------------------------------------------------------------------


@pytest.mark.parametrize("T", (1, 2, 3, 10))
def test_no_default_asks_for_more_steps_than_there_are(T, tmp_path, capsys):
    folder = str(tmp_path / "run")
    command = ["train", "--steps", "2", "--sample-every", "1", "--out", folder, *FEW]
    assert main([*command, "--data", "digits", "--T", str(T), *TINY]) == 0
    assert main(["train", "--resume", "--steps", "3", "--out", folder, "--no-progress"]) == 0
    assert (tmp_path / "run" / "samples_000003.png").exists()
    assert main(["sample", folder, "--count", "2", "--no-progress"]) == 0
    assert main(["export", folder, str(tmp_path / "there")]) == 0
    out = ["--class", "1", "--out", str(tmp_path / "s.png"), "--no-progress"]
    assert main(["sample", "--pretrained", str(tmp_path / "there"), *out]) == 0
    assert f"set_timesteps({T})" in (tmp_path / "there" / "README.md").read_text()


def test_every_sampler_takes_at_most_T_steps_by_itself():
    denoiser = SimpleLoss(Schedule.cosine(10), "v").denoiser(lambda x, t, cond=None: 0 * x)
    for name in samplers.SAMPLERS:
        seen = []

        def spy(x, t, cond=None, seen=seen):
            seen.append(t)
            return 0 * x

        denoiser = SimpleLoss(Schedule.cosine(10), "v").denoiser(spy)
        samplers.sample(name, denoiser, (1, 2), rng=0)
        assert seen and max(seen) <= 9, name


@pytest.mark.parametrize("classes, n", [(None, 64), (1, 8), (10, 80), (11, 77), (100, 80), (1000, 80)])
def test_a_sheet_of_samples_has_a_size_that_fits_the_classes(classes, n):
    """Eight a class where there is room; never more than SHEET, whatever the classes."""
    config = RunConfig.from_dict({"diffusion": {"schedule": "cosine"}})
    made = runs.Run(config, None, SimpleLoss(Schedule.cosine(1000), "v"), np.zeros((1, 2, 2, 1), np.float32), None,
                    {"classes": classes})  # fmt: skip
    seen = []

    def model(x, t, cond=None):
        seen.append((len(x), cond))
        return 0 * x

    class Stub:
        xp, images, graph, tf32 = np, made.images, False, False

        def sampling_rng(self):
            return Rng(0)

    Stub.model = staticmethod(model)
    assert sample_all_classes(made)(Stub()).shape == (n, 2, 2, 1) and {size for size, _ in seen} == {n} and n <= SHEET
    if classes is not None:
        shown = np.bincount(seen[0][1])
        assert len(shown) == min(classes, SHEET) and len(set(shown)) == 1


def test_sample_has_a_default_count_for_a_thousand_classes(tmp_path, capsys):
    options = {"name": "mlp", "features": 2, "width": 8, "depth": 1, "num_class_embeds": 1001, "null_class": 1000}
    config = RunConfig.from_dict({"model": options, "diffusion": {"T": 5}})
    kept = {**config.to_dict(), "shape": [2], "classes": 1000, "class_names": None}
    checkpoint.save(tmp_path / "checkpoint.safetensors", runs.build_model(options), config={"run": kept})
    assert main(["sample", str(tmp_path), "--no-progress"]) == 0
    assert ": 100 samples by ddim" in capsys.readouterr().out


def test_a_net_without_a_null_class_trains_and_says_what_guidance_needs(tmp_path, capsys):
    folder = str(tmp_path / "run")
    none = ["--set", "model.null_class=none", "--set", "model.num_class_embeds=10"]
    assert main(["train", "--data", "digits", "--steps", "2", "--out", folder, *TINY, *FEW, *none]) == 0
    assert kept_of(tmp_path / "run")["diffusion"]["cond_dropout"] == 0.0
    assert main(["sample", folder, "--class", "3", "--count", "2", "--steps", "2", "--no-progress"]) == 0
    capsys.readouterr()
    assert main(["sample", folder, "--guidance", "1", "--no-progress"]) == 2
    said = capsys.readouterr().err
    assert "no 'no condition' to guide away from" in said and said.count("\n") == 1


def test_the_warm_up_of_a_preset_is_at_most_a_tenth_of_the_run(tmp_path):
    for steps, warmup in ((3, 0), (40, 4), (2000, 100)):
        config = runs.shortened(runs.preset("digits").override([f"train.steps={steps}"]))
        assert config.train.warmup == warmup


def test_images_that_are_not_square_keep_both_sides(tmp_path):
    folder = save_folder(tmp_path, "wide", 4, (4, 8, 1))
    assert main(["train", "--data", str(folder), "--steps", "1", "--out", str(tmp_path / "run"), *FEW, *TINY]) == 0
    assert kept_of(tmp_path / "run")["model"]["sample_size"] == [4, 8]
    assert runs.open_run(tmp_path / "run").denoiser.model.config["sample_size"] == (4, 8)


# ---- clipping travels, too -------------------------------------------------------------------------------------------------


def test_the_clipping_of_an_imported_folder_is_the_runs(tmp_path, capsys):
    net = models.UNet(sample_size=4, in_channels=1, out_channels=1, block_out_channels=(8, 8), norm_num_groups=4,
                      layers_per_block=1, attention_head_dim=8, rng=0)  # fmt: skip
    interop.save_pipeline(net, Schedule.linear(20), tmp_path / "there", clip=0.1)
    assert main(["import", str(tmp_path / "there"), "--out", str(tmp_path / "run")]) == 0
    assert main(["info", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert "diffusion.clip = 0.1" in said and "data.name" not in said and "train.lr" not in said  # it has no data

    def sampled(*options):
        out = tmp_path / "s.png"
        assert main(["sample", str(tmp_path / "run"), "--count", "2", "--no-progress", "--out", str(out), *options]) == 0
        return out.read_bytes()

    assert sampled() == sampled("--clip", "0.1") != sampled("--clip", "none")
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "again"), "--clip", "none"]) == 0
    scheduler = json.loads((tmp_path / "again" / "scheduler" / "scheduler_config.json").read_text())
    assert scheduler["clip_sample"] is False


# ---- which data ------------------------------------------------------------------------------------------------------------


def test_a_toml_file_that_names_the_data_chooses_preset_and_folder(tmp_path, monkeypatch):
    save_folder(tmp_path, "photos", 4, (8, 8, 3))
    (tmp_path / "run.toml").write_text('[data]\nname = "photos"\n[train]\nsteps = 1\nbatch_size = 2\n')
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--config", "run.toml", "--no-progress"]) == 0
    kept = kept_of(tmp_path / "runs" / "photos")
    assert kept["model"]["block_out_channels"] == runs.PRESETS["mnist"]["model"]["block_out_channels"]  # as of any folder
    assert kept["data"]["name"] == "photos" and not (tmp_path / "runs" / "digits").exists()

    (tmp_path / "moons.toml").write_text('\ufeff[data]\nname = "moons"\n[train]\nsteps = 1\nwarmup = 1\n', encoding="utf-8")
    assert main(["train", "--config", "moons.toml", "--no-progress"]) == 0
    kept = kept_of(tmp_path / "runs" / "moons")
    assert kept["model"]["name"] == "mlp" and kept["diffusion"]["predicts"] == "eps" and kept["train"]["warmup"] == 1


def test_a_flag_is_stronger_than_the_file_and_set_than_the_flag(tmp_path, monkeypatch):
    (tmp_path / "run.toml").write_text('[data]\nname = "photos"\n[train]\nsteps = 1\nbatch_size = 2\n')
    monkeypatch.chdir(tmp_path)
    command = ["train", "--config", "run.toml", "--no-progress", "--data", "moons", "--set", "model.width=8"]
    assert main(command) == 0 and main([*command, "--set", "data.name=swiss_roll"]) == 0
    assert kept_of(tmp_path / "runs" / "moons")["data"]["name"] == "moons"
    assert kept_of(tmp_path / "runs" / "swiss_roll")["data"]["name"] == "swiss_roll"


def test_a_run_that_cannot_be_resumed_names_the_remedy(tmp_path, capsys):
    net = models.UNet(sample_size=4, in_channels=1, out_channels=1, block_out_channels=(8, 8), norm_num_groups=4,
                      layers_per_block=1, attention_head_dim=8, rng=0)  # fmt: skip
    interop.save_pipeline(net, Schedule.linear(20), tmp_path / "there")
    run = str(tmp_path / "run")
    assert main(["import", str(tmp_path / "there"), "--out", run]) == 0
    assert main(["train", "--out", run, "--resume"]) == 2 and f"--from {run}" in capsys.readouterr().err
    assert main(["train", "--from", run, "--out", str(tmp_path / "f")]) == 2
    assert "was imported and has no data setting" in capsys.readouterr().err
    checkpoint.save(tmp_path / "recipe" / "checkpoint.safetensors", net, config={"run": {"recipe": "clip", "stage": "clip"}})
    for command in (["sample", str(tmp_path / "recipe")], ["train", "--from", str(tmp_path / "recipe"), "--data", "digits"],
                    ["export", str(tmp_path / "recipe"), str(tmp_path / "e")]):  # fmt: skip
        assert main(command) == 2 and "without a model configuration" in capsys.readouterr().err


def test_a_pipeline_takes_at_most_T_steps_unless_more_are_asked_for(tmp_path):
    """The default of 50 becomes T = 10, the same image to the bit as steps=10; an explicit 50 is an error."""
    from minidiff import interop, models
    from minidiff.diffusion import Schedule

    model = models.UNet(sample_size=4, in_channels=1, out_channels=1, block_out_channels=(4, 8), layers_per_block=1,
                        norm_num_groups=2, attention_head_dim=4, rng=0)  # fmt: skip
    interop.save_pipeline(model, Schedule.linear(10), tmp_path / "ten")
    pipeline = interop.load(tmp_path / "ten")
    np.testing.assert_array_equal(pipeline.sample(2, rng=0), pipeline.sample(2, steps=10, rng=0))
    with pytest.raises(ValueError, match="steps: got 50, expected a whole number from 1 to T = 10"):
        pipeline.sample(2, steps=50, rng=0)


# ---- flow matching --------------------------------------------------------------------------------------------------------


def test_a_flow_is_trained_resumed_and_sampled_with_its_shift_and_times(tmp_path, capsys):
    """`--schedule flow` predicts the velocity unless told otherwise, and the model is given T t."""
    command = ["train", "--data", "moons", "--schedule", "flow", "--set", "diffusion.shift=2", *FEW, "--out", str(tmp_path)]
    command += ["--set", "diffusion.t_sampler=logit_normal", "--set", "model.width=16"]
    assert main([*command, "--steps", "3"]) == 0
    saved = runs.open_run(tmp_path)
    assert kept_of(tmp_path)["diffusion"] | {"schedule": "flow", "shift": 2, "predicts": "velocity"} == saved.kept["diffusion"]
    assert repr(saved.denoiser.schedule) == "Flow(shift=2)"
    assert (saved.denoiser.predicts, saved.denoiser.time_scale) == ("velocity", 1000.0)
    asked = []
    saved.denoiser._run = lambda x, t, cond: asked.append(t) or 0 * x
    list(samplers.flow_euler(saved.denoiser, np.zeros((2, 2)), steps=2))
    np.testing.assert_allclose(asked, [1000, 1000 * 2 / 3], atol=0.01)  # u = 1/2 becomes 2/3
    assert main([*command, "--steps", "5", "--resume"]) == 0
    assert "resuming" in capsys.readouterr().out
    for sampler in ("ddim", "flow_heun"):
        assert main(["sample", str(tmp_path), "--sampler", sampler, "--steps", "3", "--no-progress",
                     "--out", str(tmp_path / f"{sampler}.png")]) == 0  # fmt: skip
    assert main([*command, "--steps", "6", "--resume", "--set", "diffusion.shift=3"]) == 2
    assert "diffusion.shift: got 3.0, expected 2.0 as in the checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize("options, message", [
    ({"predicts": "eps"}, "diffusion.predicts: got 'eps', expected 'velocity', 'v' or 'x0' with schedule 'flow'"),
    ({"learned_variance": True, "predicts": "v"}, "diffusion.learned_variance: cannot be combined with schedule 'flow'"),
    ({"beta_end": 0.1}, "diffusion.beta_end: cannot be combined with schedule 'flow'"),
    ({"shift": -1.0}, "shift: got -1.0, expected a finite number > 0"),
    ({"schedule": "cosine", "shift": 2.0}, "diffusion.shift: only valid with schedule 'flow', got schedule 'cosine'"),
    ({"schedule": "flwo"}, "did you mean flow"),
])  # fmt: skip
def test_options_of_a_flow(options, message):
    config = RunConfig.from_dict({"diffusion": {"schedule": "flow", "predicts": "velocity"} | options})
    with pytest.raises(ValueError) as caught:
        runs.build_objective(config)
    assert message in str(caught.value)
