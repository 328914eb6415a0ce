"""What an option of a sampler may be, written as its annotation:   def ddim(trajectory, eta: between(0, 1) = 0.0)"""

from typing import Any, NamedTuple

from ..names import check_choice


class Allowed(NamedTuple):
    """The values that an option may have: those that `fits` is true of, or the `choices`."""

    expected: str
    fits: Any = None
    choices: tuple = ()

    def check(self, option, value):
        """Raises ValueError unless the option may have this value."""
        if self.choices:
            check_choice(option, value, self.choices)
        elif not self.fits(value):
            raise ValueError(f"{option}: got {value!r}, expected {self.expected}")

    def __repr__(self):
        return f"<{self.expected}>"


def one_of(choices):
    """One of these."""
    return Allowed(" | ".join(map(repr, choices)), choices=choices)


def between(low, high):
    """A number from low to high."""
    return Allowed(f"a number from {low} to {high}", lambda value: low <= value <= high)


def at_least(low):
    """A number that is not below `low`."""
    return Allowed(f"a number, at least {low}", lambda value: value >= low)


def whole(low):
    """An int that is not below `low`."""
    return Allowed(f"a whole number, at least {low}", lambda value: isinstance(value, int) and value >= low)


POSITIVE = Allowed("a positive number", lambda value: value > 0)
FROM_PURE_NOISE = (
    "ddim, ddpm, ddpm_respaced, dpmpp_2m, dpmpp_2m_sde, dpmpp_2s, dpmpp_3s, dpm_solver, flow_euler, flow_midpoint, flow_heun, "
    "flow_rk4, flow_sde, unipc or plms(mix='v')"
)


def pure_noise(who):
    """The message where `who` cannot start at alpha = 0, with what can."""
    return (
        f"schedule: got alpha = 0 at the first step (a zero-terminal-SNR schedule), and {who} cannot start from pure noise; "
        f"use spacing='trailing' with {FROM_PURE_NOISE}, or leave that step out: steps=[...]"
    )
