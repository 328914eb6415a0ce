"""The exception that stops a training run."""


class NotFinite(FloatingPointError):
    """A number of training step `step` (counted from 1) is NaN or infinite; `tensor` names the first one that is.

    On a CPU it is raised before that step changes the weights. On a GPU, where a check of every step would be slow, it may come
    a few steps later. No checkpoint is written from such a state, so the last one is valid.
    """

    def __init__(self, step, tensor, value=None):
        self.step, self.tensor, self.value = step, tensor, value
        what = f"{tensor} is {value}" if value is not None else f"{tensor} holds NaN or infinity"
        super().__init__(
            f"training stopped at step {step}: {what}, expected finite numbers. "
            "Usual causes: a learning rate that is too high, no warm-up, no gradient clipping, NaN in the data"
        )
