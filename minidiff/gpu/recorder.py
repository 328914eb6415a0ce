"""CUDA graphs: hundreds of small launches recorded once, then started by a single call.

A recorded step may launch kernels, but not upload, wait, or use CuPy's cuBLAS handle. Python numbers are frozen into the
recording. What changes from step to step is in device memory at fixed addresses: the batch indices, the counter of the
random numbers, the row of the table of learning rates.
"""

import contextlib
import functools
import gc
import warnings

from . import matmul
from .cublas import Cublas

WARM_UPS = 2  # runs before the recording: they compile kernels, upload tables and allocate memory


@functools.cache
def machine(xp, tf32):
    """The stream for recordable work and its cuBLAS handle: one pair for a whole process."""
    stream = xp.cuda.Stream(non_blocking=True)
    with stream:
        return stream, Cublas(xp, stream.ptr, tf32)


class Recorded:
    """A step on the device, as a CUDA graph: run WARM_UPS times, then captured, then replayed.

    step    a function without arguments, the same work every time; from the recording on it returns the same
            arrays with new contents
    graph   False launches the kernels one by one every time: the same kernels on the same stream, hence the same bits
    tf32    factors of matrix products rounded to 10 bits, as PyTorch's convolutions are by default

    Every call is one real step. A step that cannot be captured runs launch by launch, with one warning that gives the reason.
    The memory pool is private: otherwise memory freed while recording would be allocated again, and a replay would overwrite
    other data.
    """

    def __init__(self, xp, step, graph=True, tf32=False):
        self.xp, self.step, self.recordable = xp, step, graph
        self.stream, self.blas = machine(xp, tf32)
        self.pool = xp.cuda.MemoryPool()
        self.given, self.taken = (xp.cuda.Event(disable_timing=True) for _ in range(2))
        self.runs, self.graph, self.result = 0, None, None

    def __call__(self):
        """-> what the step returns"""
        self.runs += 1
        if self.graph is None and self.recordable and self.runs > WARM_UPS:
            self._record()
        with self._in_turn():
            if self.graph is None:
                with self._here():
                    return self.step()
            self.graph.launch(self.stream)
        return self.result

    def _record(self):
        self.stream.synchronize()
        gc.collect()  # frees device memory of garbage now, not in the middle of the recording
        try:
            with self._here():
                self.graph, self.result = capture(self.stream, self.step)
        except (NotImplementedError, RuntimeError) as error:
            self.recordable = False
            reason = str(error).strip().partition("\n")[0]
            warnings.warn(f"this step cannot be captured as a CUDA graph and runs launch by launch: {reason}", stacklevel=3)

    @contextlib.contextmanager
    def _here(self):
        with self.stream, self.xp.cuda.using_allocator(self.pool.malloc), matmul.using(self.blas):
            yield

    @contextlib.contextmanager
    def _in_turn(self):
        """Orders the work inside after earlier and before later work of the current stream, without a wait on the host."""
        current = self.xp.cuda.get_current_stream()
        self.given.record(current)
        self.stream.wait_event(self.given)
        yield
        self.taken.record(self.stream)
        current.wait_event(self.taken)


def capture(stream, step):
    """Capture step().   -> (the graph of its launches, what step() returned)"""
    stream.begin_capture()
    try:
        result = step()
    except BaseException:
        with contextlib.suppress(Exception):  # a broken capture must be ended, which raises again
            stream.end_capture()
        raise
    return stream.end_capture(), result
