"""Where a patch lies in the image, as numbers that a transformer can add to the patch's features."""

from .. import ops


def sincos_positions(xp, height, width, features, flip_sin_to_cos=False, rows_first=False, spacing=(1, 1),
                     dtype="float32"):  # fmt: skip
    """Sinusoids of column and row: each takes half of the features.   ->   (height * width, features), row by row

    flip_sin_to_cos  False: sines first, as in MAE and DiT; True: cosines first
    spacing          how far apart neighbouring rows, and neighbouring columns, lie
    rows_first       False: the first half of the features holds the column, as in DiT and diffusers; True: the row
    Chen et al. 2021 (arXiv:2104.02057) and the code of DiT. A model works with the setting that it was trained with; opened
    with another, it gives wrong images and no error. Raises ValueError unless 4 divides `features`.
    """
    if features % 4:
        raise ValueError(f"sincos_positions: features is {features}, expected a multiple of 4: sine and cosine of two axes")

    def along(n, step):
        return ops.timestep_embedding(
            xp.arange(n), features // 2, flip_sin_to_cos=flip_sin_to_cos, downscale_freq_shift=0, scale=step, dtype=dtype
        )  # (n, features / 2)

    shape, down, across = (height, width, features // 2), along(height, spacing[0]), along(width, spacing[1])
    row, column = (xp.broadcast_to(part, shape) for part in (down[:, None], across[None, :]))
    return xp.concatenate([row, column] if rows_first else [column, row], axis=2).reshape(height * width, features)
