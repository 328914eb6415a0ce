"""Runs the stages of a U-Net: down stages append images to the list `skips`, up stages take them off it.

In the backward pass `dskips` is such a list: up stages append the gradients of the images, down stages take them off.
"""

from .blocks import added


def down(stages, h, skips, *beside, **mask):
    """h (B, H, W, C) through `stages`, which add what they keep to `skips`.   ->   y, back(dy, dskips, *dbeside)

    beside   inputs of every stage beside h: the time embedding, and in text-to-image models the context, with mask=
    dbeside  their gradients from other stages.   back -> (dh, *dbeside), the terms of these stages added
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
