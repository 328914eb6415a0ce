"""How work is cut: pieces that fit a core's cache, lanes of pieces for sums. Functions of sizes alone, so that neither
chance nor the number of threads has a say in the last bit of a result."""

CACHE = 1536 * 1024  # bytes of scratch a piece may fill: less than a core's share of the last level cache
LANES = 8  # partial sums of a weight's gradient: so many threads can work on one


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


def lanes(pieces, bytes_each):
    """Neighbouring pieces dealt out to at most LANES lists; fewer where a partial sum is large (8 MiB for all)."""
    count = max(2, min(LANES, (8 << 20) // max(1, bytes_each)))
    each = -(-len(pieces) // count)
    return [pieces[start : start + each] for start in range(0, len(pieces), each)]
