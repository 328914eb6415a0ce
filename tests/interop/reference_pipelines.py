"""What tests beside diffusers' pipelines share: a small U-Net, the classes of samplers, and torch's noise for ours."""

import numpy as np

UNET = dict(sample_size=8, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, attention_head_dim=4,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"))  # fmt: skip
NAMES = {"ddim": "DDIMScheduler", "plms": "PNDMScheduler", "dpmpp_2m": "DPMSolverMultistepScheduler",
         "euler": "EulerDiscreteScheduler", "euler_ancestral": "EulerAncestralDiscreteScheduler"}  # fmt: skip


class SameNoise:
    """A generator for our samplers whose numbers are those of a torch generator, drawn channels first."""

    def __init__(self, torch, seed):
        self.torch, self.generator = torch, torch.Generator().manual_seed(seed)

    def standard_normal(self, size, dtype=np.float32):
        n, h, w, c = size
        return np.ascontiguousarray(self.torch.randn((n, c, h, w), generator=self.generator).numpy().transpose(0, 2, 3, 1))
