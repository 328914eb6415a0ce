"""Damage small valid files of every kind that minidiff opens, open them, and count what happens.

    python scripts/fuzz.py --files 5000 --seed 0 --processes 2

Each case runs in a forked child with limits on time and memory. An error has to be one message that names the file, and
anything that is accepted has to be as good as the original. Exit code 1 if any case is of a bad class.
"""

import argparse
import bz2
import contextlib
import gzip
import io
import json
import lzma
import multiprocessing
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tarfile
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MINIDIFF_THREADS": "1", "MPLBACKEND": "Agg"}
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from PIL import Image

from minidiff import data, models, runs, training, viz  # noqa: F401
from minidiff.cli import main
from minidiff.data import cifar, folder, idx  # noqa: F401
from minidiff.diffusion import Schedule, SimpleLoss
from minidiff.interop import describe, load, save_pipeline, tensor_file
from minidiff.studies.table import read_table
from minidiff.training.config import RunConfig

BAD = ("TRACEBACK", "HANG", "MEMORY", "SILENT", "PROGRAM", "UNNAMED", "CRASH")
SECONDS, MEMORY = 30, 2 << 30  # of processor time and address space beyond what a child starts with
PROGRAMS = ("gs", "convert", "magick", "inkscape", "ffmpeg", "gswin64c")


# ---- valid inputs ----------------------------------------------------------------------------------------------------


def make_all(place):
    """Write one valid input of each kind below `place`."""
    rng, place = np.random.default_rng(0), Path(place)
    net = models.UNet(8, 1, 1, (8, 8), 1, attention_head_dim=8, norm_num_groups=4, rng=0)
    config = {"data": {"name": "digits"}, "model": {"name": "unet", "sample_size": 8, "in_channels": 1, "out_channels": 1,
              "block_out_channels": [8, 8], "layers_per_block": 1, "attention_head_dim": 8, "norm_num_groups": 4},
              "diffusion": {"T": 20}, "train": {"steps": 3, "batch_size": 8}}  # fmt: skip
    images = rng.uniform(-1, 1, (8, 8, 8, 1)).astype(np.float32)
    run = place / "run"
    kept = {**RunConfig.from_dict(config).to_dict(), "shape": [8, 8, 1], "classes": None, "class_names": None}
    trainer = training.Trainer(net, SimpleLoss(Schedule.linear(20)), images, steps=3, batch_size=4, folder=run, config=kept)
    trainer.run(progress=False)
    save_pipeline(net, Schedule.linear(20), place / "pipeline")
    tokenizer(place / "tokenizer")
    tensor_file.write(
        place / "tensors" / "a.safetensors", {"a": images, "b": np.arange(6).reshape(2, 3), "c": np.ones(3, "f2")}
    )
    write(place / "toml" / "run.toml", b'[data]\nname = "digits"\n\n[train]\nsteps = 3\nlr = 1e-3\nbetas = [0.9, 0.99]\n')
    write(place / "table" / "study.csv", b"sampler,steps,error\nddim,5,0.1\nddim,10,0.05\nplms,5,\n")
    pixels = rng.integers(0, 256, (6, 8, 8), dtype=np.uint8)
    packs = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}
    for ending, pack in packs.items():
        name = f"idx{ending.replace('.', '_')}"
        write(place / name / f"train-images-idx3-ubyte{ending}", pack(struct.pack(">IIII", 0x803, 6, 8, 8) + pixels.tobytes()))
        write(place / name / f"train-labels-idx1-ubyte{ending}", pack(struct.pack(">II", 0x801, 6) + bytes(range(6))))
    for number in range(1, 6):
        write(place / "cifar" / f"data_batch_{number}.bin", rng.integers(0, 10, (2, 3073), dtype=np.uint8).tobytes())
    write(place / "cifar" / "test_batch.bin", rng.integers(0, 10, (2, 3073), dtype=np.uint8).tobytes())
    with tarfile.open(place / "cifar.tar.gz", "w:gz") as tar:
        tar.add(place / "cifar", "cifar-10-batches-bin")
    (place / "cifar_tar").mkdir()
    shutil.move(place / "cifar.tar.gz", place / "cifar_tar" / "cifar-10-binary.tar.gz")
    for ending in ("png", "jpg", "gif", "bmp"):
        for name in ("cats/a", "dogs/b"):
            (place / f"images_{ending}" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(
                place / f"images_{ending}" / f"{name}.{ending}"
            )
    (place / "npz").mkdir()
    np.savez(place / "npz" / "kmnist-train-imgs.npz", pixels)
    np.savez(place / "npz" / "kmnist-train-labels.npz", np.arange(6, dtype=np.uint8))


def tokenizer(place):
    """The two files of a CLIP tokenizer that knows every byte."""
    from minidiff.interop.clip_tokenizer import LETTER_OF

    tokens = [*LETTER_OF.values(), *(letter + "</w>" for letter in LETTER_OF.values()), "ca", "cat</w>"]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    write(place / "vocab.json", json.dumps({token: i for i, token in enumerate(tokens)}).encode())
    write(place / "merges.txt", b"#version: 0.2\nc a\nca t</w>\n")
    write(place / "tokenizer_config.json", b'{"model_max_length": 77, "pad_token": {"content": "<|endoftext|>"}}')
    write(place / "special_tokens_map.json", b'{"pad_token": "<|endoftext|>"}')


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


# ---- opening ---------------------------------------------------------------------------------------------------------


def open_tensors(place):
    return {name: stored.read() for name, stored in tensor_file.read(place / "a.safetensors").items()}


def open_run(place):
    saved = runs.open_run(place)
    return [saved.checkpoint.weights, saved.checkpoint.ema, saved.checkpoint.m, saved.checkpoint.step]


def open_log(place):
    history = training.History(place / "log.csv")
    history.resume(10**6)
    return list(map(list, (history.step, history.loss)))


def open_pipeline(place):
    describe(place)
    found = load(place)
    images = found.sample(1, steps=2, height=8, width=8, rng=0)
    if not np.isfinite(images).all():
        raise AssertionError("samples that are not finite")
    return images


def open_tokenizer(place):
    from minidiff.interop.clip_tokenizer import CLIPTokenizer

    return CLIPTokenizer.from_folder(place)(["a cat", "zoo"])[0]


def open_data(place):
    images, labels = data.load(str(place))
    if not np.isfinite(images).all() or (labels is not None and (labels.min() < 0 or labels.max() > 4095)):
        raise AssertionError("images or labels out of range")
    return None  # image files have no checksum


def open_cifar(place):
    return cifar.read_cifar(place / "cifar-10-binary.tar.gz", "train") and None


def command(*words):
    def opened(place):
        with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()) as out:
            code = main([word.replace("PLACE", str(place)) for word in words])
        if code:
            raise Said(err.getvalue())
        return out.getvalue() and None

    return opened


class Said(ValueError):
    """The command's own message."""


OPENERS = {  # kind: (folder, function, whether values must be those of the original or an error)
    "checkpoint": ("run", open_run, True), "info": ("run", command("info", "PLACE"), False), "log": ("run", open_log, False),
    "tensors": ("tensors", open_tensors, False), "pipeline": ("pipeline", open_pipeline, False),
    "import": ("pipeline", command("import", "PLACE"), False), "tokenizer": ("tokenizer", open_tokenizer, False),
    "toml": ("toml", lambda place: RunConfig.from_toml(place / "run.toml") and None, False),
    "table": ("table", lambda place: read_table(place / "study.csv") and None, False),
    **{name: (name, open_data, False) for name in ("idx", "idx_gz", "idx_xz", "idx_bz2", "cifar", "npz", "images_png",
       "images_jpg", "images_gif", "images_bmp")},
    "cifar_tar": ("cifar_tar", open_cifar, False),
}  # fmt: skip


# ---- damage ----------------------------------------------------------------------------------------------------------

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(x) print showpage\n"
VALUES = (None, True, False, 0, -1, 1, 2, 10**9, 10**40, 1e308, -1e308, 1e-320, "", "x", "x" * 10_000, [], {}, [None], [[]],
          [0], [-1], [10**9] * 2, {"content": 1}, "../../etc/passwd", "\u4e2d\u6587", float("inf"), float("nan"))  # fmt: skip


def damage(path, rng, others):
    """Change the file at `path` in one way. -> the way's name"""
    content = path.read_bytes()
    ways = [flip, cut, splice, zeros, grow, bom, empty, other_format, swap, special, special]
    if path.suffix == ".json":
        ways += [json_value] * 10 + [json_shape] * 3
    if path.suffix == ".safetensors":
        ways += [header_value] * 10 + [not_finite] * 2
    way = rng.choice(ways)
    return way(path, content, rng, others) or way.__name__


def flip(path, content, rng, _):
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 4, 32))):
        if content:
            at = rng.randrange(len(content) if rng.random() < 0.5 else min(len(content), 200))
            content[at] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def cut(path, content, rng, _):
    path.write_bytes(content[: rng.randrange(len(content) + 1)])


def splice(path, content, rng, _):
    a, b, n = (rng.randrange(len(content) + 1) for _ in range(3))
    path.write_bytes(content[:a] + content[b : b + n] + content[a + rng.choice((0, n)) :])


def zeros(path, content, rng, _):
    a = rng.randrange(len(content) + 1)
    path.write_bytes(content[:a] + rng.choice((b"\0", b"\xff")) * 16 + content[a + 16 :])


def grow(path, content, rng, _):
    path.write_bytes(content + rng.choice((b"\0" * 64, b"x", content, b"," * 200_000 + b"\n", b'"' + b"x" * 200_000 + b"\n")))


def bom(path, content, rng, _):
    path.write_bytes(rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) + content)


def empty(path, content, rng, _):
    path.write_bytes(rng.choice((b"", b" ", b"{}", b"[]", b"null", b'"x"', b"1", b"[" * 100_000, b'{"a":' * 100_000)))


def other_format(path, content, rng, _):
    path.write_bytes(rng.choice((EPS, b"\x80\x04cos\nsystem\n(S'touch x'\ntR.", b"%PDF-1.4\n", b"PK\3\4", b"\x1f\x8b\x08\0")))


def swap(path, content, rng, others):
    path.write_bytes(rng.choice(others).read_bytes())


def special(path, content, rng, _):
    path.unlink()
    kind = rng.randrange(6)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.mkdir()
    elif kind == 2:
        path.symlink_to(path.name)  # a loop
    elif kind == 3:
        path.symlink_to("/dev/zero")
    elif kind == 4:
        path.symlink_to("nowhere")
    else:
        path.write_bytes(content)
        path.chmod(0)


def json_value(path, content, rng, _):
    value = json.loads(content)
    places = list(_places(value))
    table, key = rng.choice(places[:200] if rng.random() < 0.8 else places)
    choice = rng.random()
    if choice < 0.15 and isinstance(table, dict):
        del table[key]
    elif choice < 0.25 and isinstance(table, dict):
        table[str(rng.choice(VALUES))] = table.pop(key)
    else:
        table[key] = rng.choice(VALUES)
    path.write_bytes(json.dumps(value).encode())


def json_shape(path, content, rng, _):
    text = content.decode()
    path.write_text(rng.choice((f"[{text}]", text + text, text.replace("{", '{"a": 1, "a": 2,', 1), text[:-3] + ',"_x":NaN}',
                                text.replace(":", ": 1e999,", 1), text.replace("1", "1" * 5000, 1))))  # fmt: skip


def header_value(path, content, rng, _):
    length = int.from_bytes(content[:8], "little")
    table, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    inner = table.get("__metadata__", {})
    if "minidiff" in inner and rng.random() < 0.7:  # another state under a right sha256
        state = json.loads(inner["minidiff"])
        places = [p for p in _places(state) if not (p[0] is state and p[1] == "sha256")]
        near = [p for p in places if p[0] is not state.get("tensors") and not isinstance(p[0], list)]
        target, key = rng.choice(near)
        if rng.random() < 0.3 and isinstance(target, dict):
            del target[key]
        else:
            target[key] = rng.choice(VALUES)
        if rng.random() < 0.2:
            name = rng.choice([n for n in table if n != "__metadata__"])
            new = rng.choice(("unknown/x", "x", "/", "weights/", "ema/x"))
            table[new] = table.pop(name)
            if isinstance(state.get("tensors"), dict):
                state["tensors"][new] = state["tensors"].pop(name, None)
        state["sha256"] = "0" * 64
        state = {"sha256": state.pop("sha256"), **state}
        inner["minidiff"] = json.dumps(state)
        path.write_bytes(_sealed(table, body))
        return "resealed"
    target, key = rng.choice(list(_places(table)))
    target[key] = rng.choice(VALUES)
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def _sealed(table, body):
    import hashlib

    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)
    whole = len(text).to_bytes(8, "little") + text + body
    mark = rb"{\"sha256\": \"" + b"0" * 64
    at = whole.find(mark)
    return whole if at < 0 else whole.replace(mark, mark[:-64] + hashlib.sha256(whole).hexdigest().encode(), 1)


def not_finite(path, content, rng, _):
    start = 8 + int.from_bytes(content[:8], "little")
    at = start + 4 * rng.randrange(max(1, (len(content) - start) // 4))
    path.write_bytes(content[:at] + struct.pack("<f", rng.choice((float("nan"), float("inf")))) + content[at + 4 :])


def _places(value):
    """(container, key) of everything inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)


# ---- one case --------------------------------------------------------------------------------------------------------


def case(valid, scratch, kind, rng):
    """(class, what was done, message) of one damaged input, from inside a forked child."""
    source, function, sealed = OPENERS[kind]
    place = Path(scratch) / source
    shutil.copytree(valid / source, place)
    names = {"log": "log.csv", "checkpoint": "checkpoint.safetensors", "info": "checkpoint.safetensors"}
    files = sorted(p for p in place.rglob("*") if p.is_file() and names.get(kind, p.name) == p.name)
    others = sorted(p for p in valid.rglob("*") if p.is_file())
    chosen = rng.choice(files)
    before = chosen.read_bytes()
    done = f"{damage(chosen, rng, others)} of {chosen.relative_to(place)}"
    try:
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            value = function(place)
    except MemoryError as error:
        return "MEMORY", done, repr(error)
    except (ValueError, OSError, TypeError, RuntimeError) as error:
        text = str(error)
        if "MINIDIFF_TRACEBACK" in text or "Traceback" in text:
            return "TRACEBACK", done, text
        expected = isinstance(error, (ValueError, OSError)) or kind == "toml"
        if not expected:
            return "TRACEBACK", done, repr(error)
        named = str(place) in text or chosen.name in text or place.name in text
        return ("rejected" if named else "UNNAMED"), done, f"{type(error).__name__}: {text}"
    except AssertionError as error:
        return "SILENT", done, str(error)
    except Exception as error:
        return "TRACEBACK", done, repr(error)
    if (
        sealed
        and not done.startswith("resealed")
        and (not chosen.is_file() or chosen.read_bytes() != before)
        and not same(value, function(valid / source))
    ):
        return "SILENT", done, "accepted with other values"
    return "accepted", done, ""


def same(a, b):
    if isinstance(a, dict):
        return set(a) == set(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return np.array_equal(a, b)


def in_child(valid, kind, seed):
    """`case` in a forked child with limits. -> (class, what was done, message)"""
    scratch = tempfile.mkdtemp(prefix="fuzz-", dir=valid.parent)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        result = ("CRASH", "", "")
        try:
            os.close(reader)
            used = int(Path("/proc/self/statm").read_text().split()[0]) * 4096 if Path("/proc/self/statm").exists() else 0
            resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY,) * 2)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if os.geteuid() == 0:
                os.chmod(scratch, 0o777)
            result = case(valid, scratch, kind, random.Random(seed))
        except BaseException as error:
            result = ("TRACEBACK", "", repr(error))
        finally:
            os.write(writer, json.dumps([result[0], result[1], result[2][:500]]).encode())
            os._exit(0)
    os.close(writer)
    deadline, text = time.monotonic() + SECONDS, b""
    os.set_blocking(reader, False)
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.002)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        ended = 0
    with contextlib.suppress(BlockingIOError):
        text = os.read(reader, 1 << 16)
    os.close(reader)
    shutil.rmtree(scratch, ignore_errors=True)
    if not ended:
        return "HANG", "", f"more than {SECONDS} s"
    return tuple(json.loads(text)) if text else ("CRASH", "", f"status {status}")


def work(arguments):
    """Run the cases of one process. -> [(class, kind, seed, what was done, message)]"""
    valid, numbers, seed = arguments
    found, kinds = [], list(OPENERS)
    for number in numbers:
        kind = kinds[number % len(kinds)]
        found.append((*in_child(valid, kind, f"{seed}/{number}"), kind, number))
    return found


def fuzz(count, seed=0, processes=1):
    """Try `count` damaged inputs.   -> [(class, what was done, message, kind, number)]"""
    with tempfile.TemporaryDirectory(prefix="minidiff-fuzz-") as top:
        top = Path(top)
        valid, tools, mark = top / "valid", top / "tools", top / "a-program-ran"
        valid.mkdir()
        make_all(valid)
        for name in PROGRAMS:
            write(tools / name, f"#!/bin/sh\necho {name} >> {mark}\n".encode())
            (tools / name).chmod(0o755)
        path = os.environ["PATH"]
        os.environ["PATH"] = f"{tools}{os.pathsep}{path}"
        try:
            jobs = [(valid, range(first, count, processes), seed) for first in range(processes)]
            if processes == 1:
                found = work(jobs[0])
            else:
                with multiprocessing.get_context("fork").Pool(processes) as pool:
                    found = [row for rows in pool.map(work, jobs) for row in rows]
        finally:
            os.environ["PATH"] = path
        if mark.exists():
            found.append(("PROGRAM", "", mark.read_text(), "", -1))
        return found


def report(found, verbose=False):
    """Print the counts and every bad case.   -> how many are bad"""
    for name, done, message, kind, number in found:
        if name in BAD or verbose:
            print(f"{name:9} {number:6} {kind:10} {done}: {message[:300]!r}")
    counts = Counter(name for name, *_ in found)
    print(f"{len(found)} files: " + ", ".join(f"{name} {counts[name]}" for name in ("accepted", "rejected", *BAD)))
    return sum(counts[name] for name in BAD)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--files", type=int, default=5000, metavar="N", help="how many inputs to try (default: 5000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the damage (default: 0)")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="processes side by side (default: 2)")
    parser.add_argument("--verbose", action="store_true", help="print every case")
    given = parser.parse_args()
    sys.exit(1 if report(fuzz(given.files, given.seed, given.processes), given.verbose) else 0)
