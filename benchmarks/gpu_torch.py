"""The work that gpu_bench times, in PyTorch, eager, with the U-Net of diffusers: same sizes, same TF32 setting."""


def torch_with_a_card():
    """PyTorch, where it is installed and sees a GPU; else None."""
    try:
        import torch
    except ImportError:
        return None
    return torch if torch.cuda.is_available() else None


def beside_torch(bench, name, tf32, make, ours):
    """PyTorch's time for the same work under the same setting, and our time over it."""
    torch = torch_with_a_card()
    if torch is None:
        return {"torch": "not installed, or sees no GPU"}
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    theirs = bench.ms(make(torch))
    return {f"torch_eager_{name}_ms": theirs, f"ratio_to_torch_{name}": ours / theirs}


def _net(options):
    from diffusers import UNet2DModel

    levels = len(options["block_out_channels"])
    return UNet2DModel(**options, down_block_types=("DownBlock2D",) * (levels - 1) + ("AttnDownBlock2D",),
                       up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * (levels - 1)).cuda()  # fmt: skip


def training(options, B, torch):
    """Noise, network, loss, backward, clipping, AdamW and the moving average, as PyTorch users write it."""
    net, size = _net(options), options["sample_size"]
    adam, average = torch.optim.AdamW(net.parameters()), [p.detach().clone() for p in net.parameters()]
    x0, alpha = torch.randn(B, 3, size, size, device="cuda"), torch.linspace(0.99, 0.01, 1000, device="cuda")

    def step():
        t, eps = torch.randint(1000, (B,), device="cuda"), torch.randn_like(x0)
        a = alpha[t][:, None, None, None]
        adam.zero_grad()
        torch.nn.functional.mse_loss(net(a * x0 + (1 - a * a).sqrt() * eps, t).sample, eps).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, list(net.parameters()), 0.001)

    return step


def sampling(options, B, torch):
    """A step of DDIM."""
    net, size = _net(options).eval(), options["sample_size"]
    x = torch.randn(B, 3, size, size, device="cuda")

    def step():
        with torch.no_grad():
            eps = net(x, 500).sample
            x0 = (x - 0.6 * eps) / 0.8
            return 0.9 * x0 + 0.4 * eps

    return step
