"""The README of an exported folder: how diffusers samples it, as code that runs."""

PIPELINE = """
```python
import diffusers

pipeline = diffusers.{name}.from_pretrained("{folder}")
images = pipeline(batch_size=4, num_inference_steps={steps}).images
```
"""

CLASSES = """
The model is class-conditional, and unconditional pipelines do not pass class labels: `{name}` alone fails with
"class_labels should be provided". This loop samples it:

```python
import torch
from diffusers import {scheduler}, UNet2DModel

unet = UNet2DModel.from_pretrained("{folder}", subfolder="unet").eval()
scheduler = {scheduler}.from_pretrained("{folder}", subfolder="scheduler")
scheduler.set_timesteps({steps})
labels = torch.tensor({labels})  # one class for each image, {known}
x = torch.randn(len(labels), {C}, {H}, {W}, generator=torch.Generator().manual_seed(0))
with torch.no_grad():
    for t in scheduler.timesteps:
        output = unet(x, t, class_labels=labels).sample
        x = scheduler.step(output, t, x).prev_sample
images = (x / 2 + 0.5).clamp(0, 1)  # ({n}, {C}, {H}, {W})
```
"""

GUIDANCE = """
Class {null} means "no class", which classifier-free guidance needs. With a guidance scale `s` (1 is none; it is 1 + w in
`minidiff sample --guidance w`) the line in the loop becomes

```python
        given = unet(x, t, class_labels=labels).sample
        none = unet(x, t, class_labels=torch.full_like(labels, {null})).sample
        output = none + s * (given - none)
```
"""


def readme(folder, name, scheduler, shape, T, classes=None, null=None, class_names=None):
    """The text, as markdown.

    name, scheduler   classes of diffusers;   shape (H, W, C);   classes: number of classes, None for an unconditional model
    """
    H, W, C = shape
    steps = T if scheduler == "DDPMScheduler" else min(50, T)
    channels = "1 channel" if C == 1 else f"{C} channels"
    text = f"# {folder}\n\nImages of {H} x {W} with {channels}, in [-1, 1]. Written by `minidiff export`.\n"
    if classes is None:
        return text + PIPELINE.format(name=name, folder=folder, steps=steps)
    known = f"from 0 to {classes - 1}"
    if class_names and list(class_names) != list(map(str, range(classes))):
        shown = ", ".join(f"{i} {label}" for i, label in enumerate(class_names[:10]))
        known += f": {shown}{', ...' if len(class_names) > 10 else ''}"
    labels = list(range(min(4, classes)))
    text += CLASSES.format(name=name, folder=folder, scheduler=scheduler, steps=steps, labels=labels, n=len(labels),
                           known=known, C=C, H=H, W=W)  # fmt: skip
    return text if null is None else text + GUIDANCE.format(null=null)
