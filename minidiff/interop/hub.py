"""A model by its name on the Hugging Face hub: fetched once, then a folder like any other."""

from pathlib import Path

WANTED = ["*.json", "*.safetensors", "*.txt"]  # no pickles: loading rejects them


def folder_of(path_or_hub_id, variant=None):
    """A folder on this machine: the path itself, or where the files of a hub id ("owner/name") are kept.

    Raises FileNotFoundError for what is neither, and RuntimeError where the hub's client is not installed.
    """
    path = Path(path_or_hub_id)
    if path.is_dir():
        return path
    name = str(path_or_hub_id)
    if path.exists() or name.count("/") != 1 or name.startswith((".", "/", "~")) or "\\" in name:
        raise FileNotFoundError(f"there is no folder {name!r}, and a name on the hub looks like 'owner/name'")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise RuntimeError(
            f"there is no folder {name!r}; to fetch it from the hub: pip install 'minidiff[hub]' (huggingface_hub)"
        ) from None
    wanted = WANTED if variant is None else ["*.json", f"*.{variant}*.safetensors", "*.txt"]
    return Path(snapshot_download(name, allow_patterns=wanted))
