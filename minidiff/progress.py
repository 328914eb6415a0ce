"""Progress bars, in one place: plain tqdm. (tqdm.auto would freeze "0 %" into saved notebooks.)"""


def progress(iterable, total=None, label=None, initial=0, leave=False):
    """The same iterable with a bar on stderr.

    total: how many items, if known   label: what stands before the bar   initial: how many were done before this one
    leave: whether the bar stays on the screen at the end

    TQDM_DISABLE=1 in the environment switches every bar off; where tqdm is missing (Python in a browser) there is none.
    """
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return NoBar(iterable)
    return tqdm(iterable, total=total, desc=label, initial=initial, leave=leave, dynamic_ncols=True)


class NoBar:
    """The iterable, with what minidiff asks of a bar, all of it without effect."""

    def __init__(self, iterable):
        self.iterable = iterable

    def __iter__(self):
        return iter(self.iterable)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def set_postfix(self, **_):
        return None
