"""An imported model trains on: five steps of ours against five of torch's, and a run of ours that diffusers samples."""

import numpy as np
import pytest
from reference_pipelines import SameNoise

from minidiff import interop, models, ops, training
from minidiff.diffusion import Schedule
from minidiff.interop.layout import slots, to_torch

SCHEDULE = Schedule.linear(1000)
UNET = dict(sample_size=8, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, attention_head_dim=4,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"))  # fmt: skip
TEXT_UNET = dict(sample_size=8, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, attention_head_dim=2,
                 cross_attention_dim=6, in_channels=3, out_channels=3, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
                 up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))  # fmt: skip


class Eps:
    """L_simple, keeping what it drew so that torch can be given the same."""

    def __init__(self):
        self.drawn = []

    def __call__(self, model, x0, rng, cond=None):
        t, eps = rng.integers(0, 1000, (len(x0),)), rng.standard_normal(x0.shape, dtype=x0.dtype)
        xt = SCHEDULE.add_noise(x0, eps, t)
        self.drawn.append((xt, t, eps, cond))
        y, back_model = model(xt, t, cond)
        loss, back_loss = ops.mse(y, eps)

        def back():
            back_model(back_loss()[0])

        return loss, back


@pytest.mark.parametrize("kind", ("UNet2DModel", "UNet2DConditionModel"))
def test_five_steps_as_torch_takes_them(kind, torch, diffusers, stir, close, tmp_path):
    torch.manual_seed(0)
    theirs = stir(getattr(diffusers, kind)(**(UNET if kind == "UNet2DModel" else TEXT_UNET)))
    theirs.save_pretrained(tmp_path)
    ours = interop.load(tmp_path)
    before = {path: array.copy() for path, array in ours.state().items()}
    rng = np.random.default_rng(0)
    images = rng.standard_normal((12, 8, 8, 3), dtype=np.float32)
    context = rng.standard_normal((12, 4, 6), dtype=np.float32) if kind == "UNet2DConditionModel" else None
    objective = Eps()
    trainer = training.Trainer(
        ours, objective, images, context, steps=5, batch_size=4, lr=2e-3, curve="constant", ema_decay=None
    )
    losses = [trainer.step() for _ in range(5)]

    optimizer, expected = torch.optim.AdamW(theirs.parameters(), lr=2e-3, weight_decay=0.01), []
    for xt, t, eps, cond in objective.drawn:
        rest = () if cond is None else (torch.tensor(cond),)
        y = theirs(torch.tensor(xt.transpose(0, 3, 1, 2).copy()), torch.tensor(t), *rest).sample
        loss = torch.nn.functional.mse_loss(y, torch.tensor(eps.transpose(0, 3, 1, 2).copy()))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        optimizer.step()
        expected.append(loss.item())
    close(losses, expected, 1e-4)
    assert losses[-1] != losses[0]
    weights = dict(theirs.named_parameters())
    for path, slot in slots(ours).items():
        moved = np.abs(slot.param.value - before[path]).max()
        assert moved > 1e-4 or path.endswith("to_k.bias"), path  # a key's bias adds the same to every score: no gradient
        if not path.endswith(("to_k.bias", "conv1.bias")):  # gradients that are zero but for rounding: Adam makes steps of them
            close(slot.torch(slot.param.value), weights[path].detach().numpy(), 2e-3, floor=0.1, what=path)


def test_diffusers_samples_a_minidiff_run(torch, diffusers, close, tmp_path):
    """Train, export, sample there; and the other way round."""
    diffusers.utils.logging.disable_progress_bar()
    from minidiff.runs import build
    from minidiff.training.config import RunConfig

    config = RunConfig.from_dict({
        "data": {"name": "digits"}, "diffusion": {"schedule": "cosine", "predicts": "v"},
        "model": {"name": "unet", "block_out_channels": [8, 16], "norm_num_groups": 4, "layers_per_block": 1},
        "train": {"steps": 3, "batch_size": 16}})  # fmt: skip
    made = build(config)
    trainer = training.Trainer(made.model, made.objective, made.images, made.labels, steps=3, batch_size=16,
                               folder=tmp_path / "run", config=made.kept)  # fmt: skip
    trainer.run(progress=False)
    interop.export(tmp_path / "run", tmp_path / "folder", weights="raw")
    net = interop.load(tmp_path / "folder" / "unet")
    for path, array in made.model.state().items():
        np.testing.assert_array_equal(net.state()[path], array)
    assert net.config["null_class"] == 10

    unet = diffusers.UNet2DModel.from_pretrained(tmp_path / "folder" / "unet").eval()
    scheduler = diffusers.DDIMScheduler.from_pretrained(tmp_path / "folder" / "scheduler")
    scheduler.set_timesteps(10)
    x, labels = torch.randn((2, 1, 8, 8), generator=torch.Generator().manual_seed(0)), torch.tensor([3, 10])
    with torch.no_grad():
        for t in scheduler.timesteps:
            x = scheduler.step(unet(x, t, labels).sample, t, x).prev_sample
    ours = interop.sample(tmp_path / "folder", 2, steps=10, cond=np.array([3, 10]), rng=SameNoise(torch, 0))
    close(ours.transpose(0, 3, 1, 2), x.numpy(), 1e-3)

    unet.save_pretrained(tmp_path / "folder" / "unet")  # back from them, to the bit
    again = interop.load(tmp_path / "folder" / "unet")
    for path, array in to_torch(made.model).items():
        np.testing.assert_array_equal(to_torch(again)[path], array)


def test_without_torch_an_exported_run_samples_the_same(tmp_path):
    net = models.UNet(**UNET, rng=0)
    interop.save_pipeline(net, SCHEDULE, tmp_path)
    from minidiff.diffusion import Denoiser
    from minidiff.samplers import sample

    x = np.random.default_rng(0).standard_normal((2, 8, 8, 3), dtype=np.float32)
    ours = sample("ddim", Denoiser(net, SCHEDULE), x.shape, steps=5, x=x, clip=1.0)
    np.testing.assert_array_equal(interop.load(tmp_path).sample(2, steps=5, x=x), ours)
