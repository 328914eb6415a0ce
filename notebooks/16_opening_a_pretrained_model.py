# %% [markdown]
# # 16. Opening a pretrained model
#
# A group trains a diffusion model for a week and publishes it as a folder. What does the folder contain? How can another
# library load the network, and what goes wrong when it misreads one setting? The common format is the one of Hugging Face's
# *diffusers*. In this chapter we train a small network, write it in that format, and open it with a few lines of NumPy. Then we
# misread it in the five usual ways, and fine-tune the opened network. Nothing but minidiff is needed.
#
# {{install}}
# The code below needs neither the internet nor a GPU.
#
# **What you should know already.** A noisy image is $x_t = a_t\,x_0 + \sigma_t\,\epsilon$ (chapter 3). Here $x_0$ is the clean
# image, $\epsilon$ is standard normal noise, $a_t$ is chapter 3's $\sqrt{\bar\alpha_t}$, in code `schedule.alpha(t)`, and
# $\sigma_t$ is the noise level, `schedule.sigma(t)`. A network predicts $\epsilon$ or $v = a_t\,\epsilon - \sigma_t\,x_0$
# (chapter 4). It gets the timestep $t$ as sines and cosines, the sinusoidal embedding (chapter 5). The U-Net consists of
# convolutions and linear layers (chapters 2 and 6).

# %%
import json
import os
import pickle
import tempfile
from pathlib import Path

import numpy as np

from minidiff import data, grading, interop, mistakes, models, ops, sample, training, viz
from minidiff.diffusion import Denoiser, Schedule, SimpleLoss
from minidiff.interop import save_model, save_pipeline
from minidiff.rng import Rng

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
schedule = Schedule.linear(1000)
digits, labels = data.load("digits")
net = models.UNet(sample_size=8, in_channels=1, out_channels=1, block_out_channels=(16, 32), layers_per_block=1,
                  norm_num_groups=8, rng=0)  # fmt: skip
objective = SimpleLoss(schedule, "v")
trainer = training.Trainer(net, objective, digits, steps=10 if FAST else 400, lr=3e-3, warmup=10, ema_decay=None)
trainer.run(progress=False)
print(f"trained a network with {net.size():,} parameters")

# %% [markdown]
# ## What does such a folder contain?

# %%
home = Path(tempfile.mkdtemp())
folder = home / "published-digits"
save_pipeline(net, schedule, folder, predicts="v")
for path in sorted(p for p in folder.rglob("*") if p.is_file()):
    print(f"{path.stat().st_size:9,} bytes   {path.relative_to(folder).as_posix()}")

# %% [markdown]
# - `model_index.json` lists the parts, and the class of each;
# - `unet/config.json` describes how to *build* the network: all arguments of its constructor;
# - `unet/...safetensors` contains its weights;
# - `scheduler/scheduler_config.json` does not describe the network. It describes how the network was *trained*: the noise
#   schedule, given by its betas (chapter 3), and what the network's output means.
#
# If a loader misreads the last file, the network can be right to the last bit and the images still unusable. Let us look
# inside.

# %%
unet_config = json.loads((folder / "unet" / "config.json").read_text(encoding="utf-8"))
scheduler = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
for name in ("_class_name", "in_channels", "block_out_channels", "down_block_types", "flip_sin_to_cos", "freq_shift"):
    print(f"unet       {name:20} {unet_config[name]}")
for name in ("_class_name", "num_train_timesteps", "beta_schedule", "beta_start", "beta_end", "prediction_type"):
    print(f"scheduler  {name:20} {scheduler[name]}")
assert scheduler["prediction_type"] == "v_prediction"

# %% [markdown]
# ## How are the weights stored?
#
# *safetensors* is a very simple format. A file has three parts: eight bytes that contain the length of a header, the header,
# and the numbers of all tensors. The header is a JSON table. For each tensor it specifies the name, the number type, the shape,
# and where its bytes start and end.

# %%
def read_safetensors(path):
    """{name: array} of a file with float32 numbers."""
    raw = Path(path).read_bytes()
    length = int.from_bytes(raw[:8], "little")
    table, body = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    table.pop("__metadata__", None)
    found = {}
    for name, entry in table.items():
        start, end = entry["data_offsets"]
        assert entry["dtype"] == "F32"
        found[name] = np.frombuffer(body[start:end], dtype="<f4").reshape(entry["shape"])
    return found


file = next((folder / "unet").glob("*.safetensors"))
tensors = read_safetensors(file)
print(f"{len(tensors)} tensors, {sum(array.size for array in tensors.values()):,} numbers in all")
for name in list(tensors)[:4] + ["mid_block.attentions.0.to_q.weight"]:
    print(f"{name:40} {tensors[name].shape}")
library = {name: stored.read() for name, stored in interop.tensor_file.read(file).items()}
assert library.keys() == tensors.keys() and all(np.array_equal(library[name], tensors[name]) for name in tensors)

# %% [markdown]
# ## Why not a pickle?
#
# Many older checkpoints are Python *pickles* (`.bin`, `.pt`, `.ckpt`). A pickle is not just data. It is a small program, and
# opening it runs this program. The pickle below only prints a line. It could have done anything that your user account can do.

# %%
class NotOnlyNumbers:
    def __reduce__(self):
        return print, ("this line was printed by OPENING a file",)


pickle.loads(pickle.dumps(NotOnlyNumbers()))

# %% [markdown]
# minidiff therefore rejects pickles. Its error message explains how to convert a pickle that you trust.
#
# ## Why do the shapes not fit?
#
# Both libraries use the same names, on purpose: `down_blocks.0.resnets.1.conv1.weight` is a path through the network. But they
# store the axes of a weight in different orders:
#
# | weight | PyTorch | minidiff |
# |---|---|---|
# | linear | (outputs, inputs), $y = xW^T + b$ | (inputs, outputs), $y = xW + b$ |
# | convolution | (outputs, inputs, height, width) | (height, width, inputs, outputs) |
#
# Here $x$ is the layer's input, $y$ its output, $W$ the weight and $b$ the bias. To open the file, we transpose every weight.

# %%
for name in ("conv_in.weight", "time_embedding.linear_1.weight"):
    print(f"{name:32} minidiff {str(net.parameters()[name].shape):15} file {tensors[name].shape}")


def turned(array):
    """From PyTorch's order of axes to minidiff's, by the number of axes."""
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T if array.ndim == 2 else array



def open_by_hand(tensors, turn=turned, **changed):
    """A new network with these weights."""
    opened = models.UNet(**net.config | changed, rng=1)
    opened.load_state({name: np.ascontiguousarray(turn(array)) for name, array in tensors.items()})
    return opened


x = Rng(1).standard_normal((16, 8, 8, 1))
opened = open_by_hand(tensors)
print(f"outputs of the opened and the original network differ by {np.abs(opened.predict(x, 300) - net.predict(x, 300)).max()}")
assert np.array_equal(opened.predict(x, 300), net.predict(x, 300))

# %% [markdown]
# (For this network, the number of axes is enough to choose the transpose. In general it is not: the weight of an embedding has
# two axes and must *not* be transposed. So minidiff decides by the kind of layer that owns the weight.)
#
# A forgotten transpose usually raises an error at once, because the shapes do not match. But some weights are **square**. A
# square weight loads without an error.
#
# ## What does a wrong sinusoid convention do?
#
# The network gets $t$ as sines and cosines. There are two conventions for the order: sines first or cosines first
# (`flip_sin_to_cos`). There are two more for the frequencies $10000^{-i/(h - \text{shift})}$, where $h$ is their number and
# $i = 0, 1, \dots, h - 1$: the shift is 0 or 1 (`freq_shift`). A network can be trained with any combination. But it must be
# *opened* with the one that it was trained with.

# %%
def sinusoids(t, dim, cosines_first, shift):
    half = dim // 2
    angle = t[:, None] * 10000.0 ** (-np.arange(half) / (half - shift))
    parts = [np.cos(angle), np.sin(angle)] if cosines_first else [np.sin(angle), np.cos(angle)]
    return np.concatenate(parts, axis=1)


t = np.array([0.0, 10.0, 500.0])
for flip in (True, False):
    for shift in (0, 1):
        theirs = ops.timestep_embedding(t, 16, flip_sin_to_cos=flip, downscale_freq_shift=shift, dtype=np.float64)
        assert np.allclose(sinusoids(t, 16, flip, shift), theirs)
print("all four conventions agree with the library's")

# %% [markdown]
# ## Five ways to misread a folder
#
# Each of these loads without an error:
#
# 1. the square weights are not transposed;
# 2. the sines and cosines are in the wrong order;
# 3. the frequencies have the other shift;
# 4. the network's $v$ is read as $\epsilon$ (`prediction_type` is ignored);
# 5. the betas come from another schedule.
#
# How bad is each? We measure the squared error of $\hat x_0$, the predicted clean image, on held-out digits with moderate
# noise. We also draw samples, all from the same initial noise.

# %%
def square_not_turned(array):
    square = array.ndim == 2 and array.shape[0] == array.shape[1]
    return array if square else turned(array)


readings = {
    "read correctly": Denoiser(open_by_hand(tensors), schedule, "v"),
    "square weights not transposed": Denoiser(open_by_hand(tensors, square_not_turned), schedule, "v"),
    "sines before cosines": Denoiser(open_by_hand(tensors, flip_sin_to_cos=False), schedule, "v"),
    "freq_shift 1": Denoiser(open_by_hand(tensors, freq_shift=1), schedule, "v"),
    "v read as eps": Denoiser(open_by_hand(tensors), schedule, "eps"),
    "cosine schedule": Denoiser(open_by_hand(tensors), Schedule.cosine(1000), "v"),
}
unseen = data.load("digits", split="test")[0][: 60 if FAST else None]
times = np.random.default_rng(0).integers(100, 400, len(unseen))
noisy = schedule.add_noise(unseen, Rng(2).standard_normal(unseen.shape), times)
start, made, errors = Rng(3).standard_normal((12, 8, 8, 1)), [], {}
for name, denoiser in readings.items():
    errors[name] = ((denoiser(noisy, times)[0] - unseen) ** 2).mean()
    made.append(sample("ddim", denoiser, start.shape, x=start, steps=2 if FAST else 25, clip=1.0))
    print(f"{name:30} mean squared error of x0 {errors[name]:.3f}")
assert FAST or all(errors[name] > errors["read correctly"] for name in list(readings)[1:])

# %%
viz.show_grid(np.concatenate(made), columns=12, scale=0.62, rows=list(readings))

# %% [markdown]
# None of the five raises an error. All but number 4 still generate something like digits, only worse ones. These mistakes are
# dangerous, because the result looks like a poorly trained model. So test a loader against *reference values from the other
# library* for the same weights. Looking at images is not enough. The tests of minidiff compare with such values for every kind
# of network that it opens.
#
# ## The same in minidiff
#
# `interop.load` reads the whole folder and returns a pipeline: the network, and how to sample it. It lists tensors that are
# missing, unexpected or of another shape. An option that it does not know raises an error.

# %%
print(interop.describe(folder).replace(str(home), "..."))
pipeline = interop.load(folder)
assert np.array_equal(pipeline.unet.predict(x, 300), opened.predict(x, 300))
denoiser = pipeline.sampling.denoiser(pipeline.unet)
ours = np.clip(readings["read correctly"](noisy, times)[0], -1, 1)  # the scheduler's file says clip_sample
assert np.allclose(denoiser(noisy, times)[0], ours, atol=1e-5)

broken = dict(tensors)
broken["conv_in.weights"] = broken.pop("conv_in.weight")
interop.tensor_file.write(folder / "unet" / file.name, broken)
try:
    interop.load(folder)
    raise SystemExit("this line is never reached")
except ValueError as error:
    print("ValueError:", str(error).replace(str(home), "..."))
interop.tensor_file.write(folder / "unet" / file.name, tensors)  # as it was

# %% [markdown]
# A published model is opened in the same way, by a path or by its name on the Hugging Face Hub (`pip install 'minidiff[hub]'`):
#
#     pipeline = interop.from_pretrained("google/ddpm-cifar10-32")
#     images = pipeline.sample(4, steps=20, sampler="dpmpp_2m", rng=0)
#
# The files of the schedulers differ more than those of the networks. Any network can be sampled with any sampler of minidiff
# (`sampler=`).
#
# ## What does half the size cost?
#
# Trained weights are often stored as float16, in 2 bytes per number instead of 4. How much does this change the output?

# %%
save_model(net, home / "half", dtype="float16")
half = interop.load(home / "half")
size = {name: next((home / name).glob("**/*.safetensors")).stat().st_size for name in ("published-digits", "half")}
y = net.predict(x, 300)
print(f"{size['half'] / size['published-digits']:.0%} of the bytes; the output differs by at most "
      f"{np.abs(half.predict(x, 300) - y).max() / np.abs(y).max():.1e} of its largest value")  # fmt: skip
assert np.abs(half.predict(x, 300) - y).max() < 0.01 * np.abs(y).max()

# %% [markdown]
# ## Fine-tuning: does the gradient reach every parameter?
#
# An opened network is a `Layer` like any other. It has a backward pass, so you can train it further on your own images. This is
# called *fine-tuning*. Suppose that we only want sevens. Does the gradient reach every parameter?

# %%
tuned = interop.load(folder).unet
before = {name: p.value.copy() for name, p in tuned.parameters().items()}
own = digits[labels == 7]
trainer = training.Trainer(tuned, objective, own, steps=4 if FAST else 80, lr=1e-3, warmup=2, batch_size=32, ema_decay=None)
trainer.run(progress=False)
moved = [name for name, p in tuned.parameters().items() if not np.array_equal(p.value, before[name])]
print(f"{len(moved)} of {len(before)} parameters have changed")
assert len(moved) == len(before)

# %%
def draw(net):
    return sample("ddim", Denoiser(net, schedule, "v"), start.shape, x=start, steps=2 if FAST else 25, clip=1.0)


viz.show_grid(np.concatenate([draw(net), draw(tuned)]), columns=12, scale=0.62,
              rows=["before", "fine-tuned on sevens"], title="Samples from the same noise")  # fmt: skip

# %%
save_pipeline(tuned, schedule, home / "sevens", predicts="v")  # into a folder that diffusers can open
again = interop.load(home / "sevens").unet
assert all(np.array_equal(p.value, tuned.parameters()[name].value) for name, p in again.parameters().items())
print("written and opened again: identical to the last bit")

# %% [markdown]
# The same with commands: `minidiff import FOLDER --out runs/theirs`, `minidiff train --from runs/theirs --data PICTURES`,
# `minidiff export runs/mine FOLDER`.
#
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** Convert in the other direction: take a convolution's weight in minidiff's order, (height, width, inputs,
# outputs), and return it in PyTorch's order.
#
# <details><summary>Hint</summary>
#
# The numbers stay the same, only their axes move: `array.transpose(...)`.
# </details>
# <details><summary>Bigger hint</summary>
#
# `transpose` takes, for each *new* axis, the old axis that goes there. Write down PyTorch's order, and under each of its axes
# the position that it has in minidiff, counted from 0. Height still comes before width.
# </details>

# %%
def conv_for_torch(weight):
    ...  # (KH, KW, C, O) -> (O, C, KH, KW)


if grading.answered(conv_for_torch, np.zeros((3, 3, 1, 2))):
    mistakes.find(conv_for_torch, "16.conv_for_torch")
    name = "conv_in.weight"
    grading.same(conv_for_torch(net.parameters()[name].value), tensors[name], f"{name} of the file")
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** *bfloat16* is the upper half of the bits of a float32. NumPy does not have this type, so such tensors are read
# as uint16. Convert them to float32.
#
# <details><summary>Hint</summary>
#
# Put the 16 bits where they belong in a float32, with zeros in the lower half. `<<` shifts the bits of an integer.
# </details>
# <details><summary>Bigger hint</summary>
#
# A uint16 has no room above its 16 bits, so convert it to uint32 *before* you shift it. `.astype` keeps the number and changes
# the bits, `.view` keeps the bits and changes the number. You need each of them once.
# </details>

# %%
def from_bfloat16(array):
    ...  # uint16 -> float32


if grading.answered(from_bfloat16, np.zeros(1, np.uint16)):
    mistakes.find(from_bfloat16, "16.from_bfloat16")
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** Write the report of a good loader. You get two dictionaries that map names to shapes: `ours` from the network
# and `theirs` from the file. Return three sorted lists of names: missing in the file, unexpected in the file, and different in
# shape.
#
# <details><summary>Hint</summary>
#
# The keys of a dictionary behave like a set: they can be subtracted and intersected.
# </details>
# <details><summary>Bigger hint</summary>
#
# A name is missing if `ours` has it and `theirs` does not, and unexpected in the opposite case. Compare shapes only where both
# have the name, `ours.keys() & theirs.keys()`. A set has no order, so sort at the end.
# </details>

# %%
def compare(ours, theirs):
    ...  # {name: shape}, {name: shape} -> missing, unexpected, other_shape


if grading.answered(compare, {}, {}):
    mistakes.find(compare, "16.compare")
    print("exercise 3: right")

# %% [markdown]
# **Exercise 4.** A folder specifies `"prediction_type": "epsilon"`, but you suspect that this is wrong. You have a few clean
# images, `x0`, and the noise added to them, `eps`. Find out whether the network's output is nearer to $\epsilon$ or to $v$,
# with the chapter's `schedule`. Return `"eps"` or `"v"`.
#
# <details><summary>Hint</summary>
#
# You know the clean images and the noise, so you can compute what a perfect network of either kind would predict.
# </details>
# <details><summary>Bigger hint</summary>
#
# Make the noisy images with `schedule.alpha(t)` and `schedule.sigma(t)`, and call `net.predict` on them. Then compute both
# targets. Return the one with the smaller mean squared error.
# </details>

# %%
def which(net, x0, eps, t):
    ...  # t a number; return "eps" or "v"


if grading.answered(which, net, digits[:32], Rng(5).standard_normal((32, 8, 8, 1)), 600):
    mistakes.find(which, "16.which")
    noise = Rng(5).standard_normal((32, 8, 8, 1))
    assert which(net, digits[:32], noise, 600) == "v", "the chapter's own network predicts v"
    print("exercise 4: right")

# %% [markdown]
# The answers are in [docs/answers/16.py](../docs/answers/16.py), together with the hidden tests for graded assignments.
