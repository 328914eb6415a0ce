"""What the stages of scripts/gpu_stages.py share: findings that survive a failure, the tests of a folder, small sizes."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT, ROOT / "benchmarks", ROOT / "tests" / "gpu", ROOT / "tests" / "strict"):
    sys.path.insert(0, str(folder))

result = None  # the file for the stage's findings


class Skip(Exception):
    """Something that the stage needs is missing; the message is the reason."""


def keep(found):
    """Findings so far: they are in the report even if the stage fails or is stopped after this."""
    new = result.with_suffix(".new")
    new.write_text(json.dumps(found, indent=1, default=str) + "\n")
    new.replace(result)


def require(holds, message):
    """Raise AssertionError with the message unless it holds."""
    if not holds:
        raise AssertionError(message)


def array_module(emulate):
    """CuPy, or the emulators in its place. Raises RuntimeError where there is no usable GPU."""
    if emulate:
        import emulators
        import pytest

        return emulators.install(pytest.MonkeyPatch())
    from minidiff.backend import module_of

    return module_of("cuda")


def trainer(device, small, **options):
    """Twenty steps of a conditional U-Net on random images: the digits' size on a card, a toy's on the emulators."""
    import numpy as np

    from minidiff.diffusion import Schedule, SimpleLoss
    from minidiff.models import UNet
    from minidiff.rng import Rng
    from minidiff.training import Trainer

    side, widths = (4, (4, 8)) if small else (16, (32, 64))
    net = UNet(sample_size=side, in_channels=1, out_channels=1, block_out_channels=widths, layers_per_block=1,
               norm_num_groups=min(8, widths[0] // 2), attention_head_dim=widths[0] // 2, num_class_embeds=3, null_class=2,
               rng=0).to(device)  # fmt: skip
    images, labels = Rng(1).standard_normal((64, side, side, 1), np.float32), np.arange(64) % 2
    options = dict(steps=100, batch_size=4 if small else 32, lr=1e-3, seed=0) | options
    return Trainer(net, SimpleLoss(Schedule.cosine(100), "v"), images, labels, **options)


def small_bench():
    """The benchmark's size on the emulators: every rung runs, no time means anything."""
    net = dict(sample_size=4, block_out_channels=(4, 8), layers_per_block=1, attention_head_dim=4, norm_num_groups=2)
    return dict(seconds=_once, net=net, images=4, batches=(2,), samples=(1,), repeats=1, steps=2)


def _once(f, calls):
    f()
    return 1e-3


def run_tests(names, marker=None, keyword=None):
    """A pytest run in this process.   -> {passed, failed, skipped, failures}   Raises AssertionError with the first failure

    marker, keyword: as -m and -k. Test files that lack a library are skipped by themselves; Skip where pytest is missing.
    """
    try:
        import pytest
    except ImportError:
        raise Skip("pytest is not installed") from None
    found, first = {"passed": 0, "failed": 0, "skipped": 0, "failures": []}, []

    class Watch:
        def pytest_runtest_logreport(self, report):
            if report.when == "call" or report.outcome != "passed":
                self.note(report, "")

        def pytest_collectreport(self, report):
            if report.failed:
                self.note(report, " could not be collected")

        def note(self, report, how):
            found[report.outcome] += 1
            if report.failed:
                found["failures"].append(report.nodeid + how)
                first.append(f"{report.nodeid}{how}\n{report.longreprtext}")
            keep(found)

    options = [*(("-m", marker) if marker else ()), *(("-k", keyword) if keyword else ())]
    code = pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), "--maxfail=40", *options, *names], [Watch()])
    require(not first, f"{found['failed']} of {sum(map(found.get, ('passed', 'failed')))} tests failed. {''.join(first[:1])}")
    require(code == 0 and found["passed"], f"pytest ended with exit code {int(code)}: {found}")
    return found
