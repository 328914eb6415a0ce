"""How work is cut: pieces that fit a core's cache, lanes of pieces for sums. Functions of sizes alone, so that neither
chance nor the number of threads has a say in the last bit of a result: but for `is_lone`, where no gradient follows."""

from .. import settings

CACHE = 1536 * 1024  # bytes of scratch a piece may fill: less than a core's share of the last level cache
TASK = 1 << 21  # multiplications below which a piece is not worth handing to another thread
ROWS = 128  # pixels in all below which a product that is cut, in rows or in terms, takes as long as it did
LANES = 8  # partial sums of a weight's gradient: so many threads can work on one


def is_lone(work):
    """Whether BLAS's threads are to share products of so many multiplications (`thread_team.share`)."""
    return work >= TASK and settings.is_lone()


def cut(total, each):
    """[(start, stop)] that cover range(total) in pieces of `each`, the last one shorter."""
    return [(start, min(start + each, total)) for start in range(0, total, each)]


def even(total, most, least=1):
    """How many of `total` go into a piece if no piece may hold more than `most`, and all are to be nearly equal."""
    most = max(least, min(most, total))
    count = -(-total // most)
    return -(-total // count)


def numbers(total):
    """How many of `total` numbers elementwise work takes in a piece: half of them, but 64 k to 256 k (1 MiB in float32)."""
    return min(1 << 18, max(1 << 16, total // 2))


def image_pieces(B, OH, OW, K, O, itemsize, bands=True, gathered=None, lone=False):
    """Cuts a batch of images: [(first image, last, first row, last)]. Several whole images, or a band of one image's rows.

    K, O: the product's terms and columns for each pixel; gathered: numbers of scratch for each pixel, K unless given
    """
    row_bytes, work = OW * ((gathered or K) + O) * itemsize, B * OH * OW * K * O
    parts = 2 if not lone and B * OH * OW >= ROWS and work >= 2 * TASK else 1  # at least: a second thread has work then
    at_least = max(1, TASK // (OH * OW * K * O))
    each = even(B, min(CACHE // (OH * row_bytes), -(-B // parts)), at_least)
    if (B >= parts and (each > 1 or OH * row_bytes <= CACHE)) or not bands:
        return [(n0, n1, 0, OH) for n0, n1 in cut(B, each)]
    band = even(OH, min(CACHE // row_bytes, -(-OH // parts)))
    return [(n, n + 1, i0, i1) for n in range(B) for i0, i1 in cut(OH, band)]


def lanes(pieces, bytes_each):
    """Neighbouring pieces dealt out to at most LANES lists; fewer where a partial sum is large (8 MiB for all)."""
    count = max(2, min(LANES, (8 << 20) // max(1, bytes_each)))
    each = -(-len(pieces) // count)
    return [pieces[start : start + each] for start in range(0, len(pieces), each)]
