"""Through the stages of a U-Net: down, each stage leaving images on the list `skips`, and up, each taking some off it.

Going back, `dskips` is such a list too: the way up leaves the gradients of the images on it, and the way down takes them off.
"""

from .blocks import added


def down(stages, h, skips, *beside, **mask):
    """h (B, H, W, C) through `stages`, which add what they keep to `skips`.   ->   y, back(dy, dskips, *dbeside)

    beside   what every stage reads beside h: the time's vector, and in text-to-image models the context; mask= goes with it
    dbeside  the gradients that it got elsewhere.   back -> (dh, *dbeside), the terms of these stages added
    """
    backs = []
    for stage in stages:
        (h, kept), back_stage = stage(h, *beside, **mask)
        skips += kept
        backs.append((back_stage, len(kept)))

    def back(dh, dskips, *dbeside):
        for back_stage, count in reversed(backs):
            dh, *terms = back_stage(dh, dskips[-count:])
            del dskips[-count:]
            dbeside = added(dbeside, terms)
        return dh, *dbeside

    return h, back


def up(stages, h, skips, *beside, **mask):
    """h through `stages`, which take the last images off `skips`.   ->   y, back(dy, dskips, *dbeside), as in `down`"""
    backs = []
    for stage in stages:
        h, back_stage = stage(h, skips, *beside, **mask)
        del skips[-stage.takes :]
        backs.append(back_stage)

    def back(dh, dskips, *dbeside):
        for back_stage in reversed(backs):
            dh, dtaken, *terms = back_stage(dh)
            dskips += dtaken  # the last stage took the first images, so this is the order in which they were made
            dbeside = added(dbeside, terms)
        return dh, *dbeside

    return h, back
