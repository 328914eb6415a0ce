"""Options of a run that do not go together, and what clips its denoiser."""

from ..diffusion.thresholding import Threshold, clip_x0, dynamic_threshold, rederived

FROM_PURE_NOISE = "ddim, ddpm, ddpm_respaced, dpmpp_2m, dpmpp_2m_sde, dpmpp_2s, dpmpp_3s, dpm_solver, unipc or plms(mix='v')"


def pure_noise(who):
    """The message where somebody cannot start at alpha = 0, with what can."""
    return (
        f"schedule: got alpha = 0 at the first step (a zero-terminal-SNR schedule), and {who} cannot start from pure noise; "
        f"use spacing='trailing' with {FROM_PURE_NOISE}, or leave that step out: steps=[...]"
    )


def clipped(denoiser, clip, rederive, uses):
    """The denoiser as a run with these options asks it. uses: the prediction it steps with, "x0", "eps" or "both"."""
    if rederive and uses == "x0":
        raise ValueError("rederive: got True, but this sampler steps with x0 alone and never reads eps; leave it out")
    if rederive and clip is None and not isinstance(denoiser, Threshold):
        raise ValueError("rederive: got True without clip: only a clipped x0 leaves an eps to re-derive; pass clip= too")
    rederive = rederive or uses == "eps"
    if rederive:
        denoiser = rederived(denoiser)
    if clip is None:
        return denoiser
    if clip == "dynamic":
        return dynamic_threshold(denoiser, rederive=rederive)
    if isinstance(clip, str) or not clip > 0:
        raise ValueError(f"clip: got {clip!r}, expected a positive bound, 'dynamic' or None")
    return clip_x0(denoiser, float(clip), rederive=rederive)


def reject(given, what):
    """Raises ValueError for the first option that is given although `what` takes its place."""
    for option, value in given.items():
        if value is not None:
            raise ValueError(f"{option}: got {value!r}, which cannot be combined with {what}")


def check_fit(given, spacing, T):
    """Raises ValueError for a detail that this spacing has no use for."""
    fits = {"offset": ("leading",), "skip_last": ("leading", "linspace"), "rho": ("karras",)}
    for option, spacings in fits.items():
        if given[option] and spacing not in spacings:
            valid = " or ".join(map(repr, spacings))
            raise ValueError(f"{option}: got {given[option]!r} with spacing {spacing!r}, only valid with spacing {valid}")
    if given["whole"] is False and not T:
        raise ValueError("whole: got False, which is only valid with a Schedule: a process has real-valued times anyway")
