"""Downloads a file: tries several addresses in turn, checks size and hash, keeps it in one cache folder.

The cache is pooch's (https://www.fatiando.org/pooch), imported only here and only when something is fetched.
"""

import hashlib
import os
from pathlib import Path

from ..files import regular_file

MNIST = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
FASHION_MNIST = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
CIFAR10 = ("https://www.cs.toronto.edu/~kriz/",)
URLS = {"mnist": MNIST, "fashion-mnist": FASHION_MNIST, "cifar10": CIFAR10}

HASHES = {  # of the files as they are served
    "mnist": {
        "train-images-idx3-ubyte.gz": "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte.gz": "sha256:3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "sha256:a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "sha256:346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "sha256:67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
    "cifar10": {"cifar-10-binary.tar.gz": "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
}
SIZES = {  # bytes of the same files: a download that exceeds it is stopped
    "mnist": {
        "train-images-idx3-ubyte.gz": 9_912_422,
        "train-labels-idx1-ubyte.gz": 28_881,
        "t10k-images-idx3-ubyte.gz": 1_648_877,
        "t10k-labels-idx1-ubyte.gz": 4_542,
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte.gz": 26_421_880,
        "train-labels-idx1-ubyte.gz": 29_515,
        "t10k-images-idx3-ubyte.gz": 4_422_102,
        "t10k-labels-idx1-ubyte.gz": 5_148,
    },
    "cifar10": {"cifar-10-binary.tar.gz": 170_052_171},
}


def cache_folder(root=None):
    """Where downloads are kept: root if given, else $MINIDIFF_DATA, else the user's cache folder."""
    folder = root or os.environ.get("MINIDIFF_DATA")
    if folder:
        return Path(folder).expanduser()
    import pooch

    return Path(pooch.os_cache("minidiff"))


def fetch(name, root=None):
    """The files of a data set in the cache, downloaded where they are missing or damaged.   ->   {file name: path}

    Raises RuntimeError, with each address's error and what to do instead, when none has the right file.
    """
    folder = cache_folder(root) / name
    return {file: _fetch_one(name, file, known_hash, folder) for file, known_hash in HASHES[name].items()}


def check(name, path):
    """Raise ValueError unless `path` is, byte for byte, the file of that name of a data set."""
    expected = HASHES[name][path.name].removeprefix("sha256:")
    with open(regular_file(path, name), "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != expected:
        raise ValueError(f"{path}: not the file it claims to be: sha256 {digest}, expected {expected}")


def _fetch_one(name, file, known_hash, folder):
    import pooch

    if os.path.lexists(folder / file):
        regular_file(folder / file, name)
    answers = []
    for base in URLS[name]:
        try:
            downloader = _downloader(SIZES[name][file])
            return Path(pooch.retrieve(base + file, known_hash, fname=file, path=folder, downloader=downloader))
        except Exception as e:  # no network, no such file, a wrong hash: whatever failed, try the next address
            answers.append(f"  {base + file}: {_short(e)}")
    raise RuntimeError(
        f"{name}: could not download {file}:\n" + "\n".join(answers) + "\n"
        f"Without a network, give the folder that holds the files ({', '.join(HASHES[name])}) in place of the name: "
        f"`--data FOLDER`, or data.load({name!r}, root=FOLDER)."
    )


def _downloader(size):
    """The function that pooch calls to download an address; it stops when more than `size` bytes arrive."""

    def download(url, path, _):
        import requests
        from tqdm import tqdm

        with requests.get(url, stream=True, timeout=30) as response, open(path, "wb") as file:
            response.raise_for_status()
            with tqdm(total=size, unit="B", unit_scale=True, leave=False) as bar:
                for piece in response.iter_content(2**16):
                    file.write(piece)
                    bar.update(len(piece))
                    if file.tell() > size:
                        raise ValueError(f"it sends more than the {size:,} bytes that the file has")

    return download


def _short(error):
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 200 else text[:197] + '...'}"
