"""The work that gpu_bench times, in PyTorch, eager and compiled, with the U-Net of diffusers: same sizes, same TF32 setting."""


def torch_with_a_card():
    """PyTorch, where it is installed and sees a GPU; else None."""
    try:
        import torch
    except ImportError:
        return None
    return torch if torch.cuda.is_available() else None


def beside_torch(bench, name, tf32, make, ours, how="eager"):
    """PyTorch's time for the same work under the same setting, and our time over it.   how: "eager" or "compile"

    Where diffusers is missing, or the compiler fails, the reason stands in place of the number.
    """
    torch = torch_with_a_card()
    if torch is None:
        return {"torch": "not installed, or sees no GPU"}
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        theirs = bench.ms(make(torch, how == "compile"))
    except Exception as error:  # a peer that does not run is a finding, and the rest of the ladder goes on
        return {f"torch_{how}_{name}": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    ratio = f"ratio_to_torch_{name}" if how == "eager" else f"ratio_to_torch_compile_{name}"
    return {f"torch_{how}_{name}_ms": theirs, ratio: ours / theirs}


def _net(torch, options, compiled):
    from diffusers import UNet2DModel

    levels = len(options["block_out_channels"])
    net = UNet2DModel(**options, down_block_types=("DownBlock2D",) * (levels - 1) + ("AttnDownBlock2D",),
                      up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * (levels - 1)).cuda()  # fmt: skip
    return torch.compile(net, mode="reduce-overhead") if compiled else net


def training(options, B, torch, compiled=False):
    """Noise, network, loss, backward, clipping, AdamW and the moving average, as PyTorch users write it."""
    net, size = _net(torch, options, compiled), options["sample_size"]
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


def sampling(options, B, torch, compiled=False):
    """A step of DDIM."""
    net, size = _net(torch, options, compiled).eval(), options["sample_size"]
    x = torch.randn(B, 3, size, size, device="cuda")

    def step():
        with torch.no_grad():
            eps = net(x, 500).sample
            x0 = (x - 0.6 * eps) / 0.8
            return 0.9 * x0 + 0.4 * eps

    return step
