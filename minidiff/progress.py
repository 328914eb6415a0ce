"""Progress bars, in one place: plain tqdm. (tqdm.auto would freeze "0 %" into saved notebooks.)"""


def progress(iterable, total=None, label=None):
    """The same iterable with a bar on stderr.   total: how many items, if known   label: what stands before the bar

    TQDM_DISABLE=1 in the environment switches every bar off.
    """
    from tqdm import tqdm

    return tqdm(iterable, total=total, desc=label, leave=False, dynamic_ncols=True)
