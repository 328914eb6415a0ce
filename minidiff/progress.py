"""Progress bars, in one place: plain tqdm. (tqdm.auto would freeze "0 %" into saved notebooks.)"""


def progress(iterable, total=None, label=None):
    """The same iterable with a bar on stderr.   total: how many items, if known   label: what stands before the bar

    TQDM_DISABLE=1 in the environment switches every bar off; where tqdm is missing (Python in a browser) there is none.
    """
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return NoBar(iterable)
    return tqdm(iterable, total=total, desc=label, leave=False, dynamic_ncols=True)


class NoBar:
    """The iterable, with what minidiff asks of a bar, all of it without effect."""

    def __init__(self, iterable):
        self.iterable, self.n, self.initial, self.leave = iterable, 0, 0, False

    def __iter__(self):
        return iter(self.iterable)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def refresh(self):
        return None

    def set_postfix(self, **_):
        return None
