"""The README of an exported folder: how diffusers samples it, as code that runs."""

PIPELINE = """
```python
import diffusers

pipeline = diffusers.{name}.from_pretrained("{folder}")
images = pipeline(batch_size=4, num_inference_steps={steps}).images
```
"""

WHY = {
    "unet": """
The model is class-conditional, and unconditional pipelines do not pass class labels: `{name}` alone fails with
"class_labels should be provided". This loop samples it:
""",
    "transformer": """
The model works on pixels, without the autoencoder that `{name}` decodes with. This loop samples it:
""",
}
LOOP = """
```python
import torch
from diffusers import {scheduler}, {model}

{part} = {model}.from_pretrained("{folder}", subfolder="{part}").eval()
scheduler = {scheduler}.from_pretrained("{folder}", subfolder="scheduler")
scheduler.set_timesteps({steps})
labels = torch.tensor({labels})  # {known}
x = torch.randn(len(labels), {C}, {H}, {W}, generator=torch.Generator().manual_seed(0))
with torch.no_grad():
    for t in scheduler.timesteps:
        output = {part}(x, {t}, class_labels=labels).sample{rest}
        x = scheduler.step(output, t, x).prev_sample
images = (x / 2 + 0.5).clamp(0, 1)  # ({n}, {C}, {H}, {W})
```
"""

GUIDANCE = """
Class {null} means "no class", which classifier-free guidance needs. With a guidance scale `s` (1 is none; it is 1 + w in
`minidiff sample --guidance w`) the line in the loop becomes

```python
        given = {part}(x, {t}, class_labels=labels).sample{rest}
        none = {part}(x, {t}, class_labels=torch.full_like(labels, {null})).sample{rest}
        output = none + s * (given - none)
```
"""


def readme(folder, name, scheduler, shape, T, classes=None, null=None, class_names=None, part="unet", model="UNet2DModel"):
    """The text, as markdown.

    name, scheduler, model   classes of diffusers;   shape (H, W, C);   classes: number of classes, None for an unconditional
    model;   part: the folder of the model, "unet" or "transformer"
    """
    H, W, C = shape
    steps = T if scheduler == "DDPMScheduler" else min(50, T)
    channels = "1 channel" if C == 1 else f"{C} channels"
    text = f"# {folder}\n\nImages of {H} x {W} with {channels}, in [-1, 1]. Written by `minidiff export`.\n"
    if classes is None and part == "unet":
        return text + PIPELINE.format(name=name, folder=folder, steps=steps)
    transformer = part == "transformer"
    # a DiT takes one time for each image; what it predicts of the variance, DDIM does not use
    call = {"part": part, "t": "t.expand(len(x))" if transformer else "t", "rest": f"[:, :{C}]" if transformer else ""}
    labels = [null] * 4 if classes is None else list(range(min(4, classes)))
    text += (WHY[part] + LOOP).format(name=name, folder=folder, scheduler=scheduler, steps=steps, labels=labels,
                                      n=len(labels), known=_known(classes, class_names), model=model, C=C, H=H, W=W,
                                      **call)  # fmt: skip
    return text if null is None or classes is None else text + GUIDANCE.format(null=null, **call)


def _known(classes, class_names):
    if classes is None:
        return "the model is unconditional, and this number means so"
    known = f"one class for each image, from 0 to {classes - 1}"
    if class_names and list(class_names) != list(map(str, range(classes))):
        shown = ", ".join(f"{i} {label}" for i, label in enumerate(class_names[:10]))
        known += f": {shown}{', ...' if len(class_names) > 10 else ''}"
    return known
