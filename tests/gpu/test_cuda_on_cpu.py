"""The judge is judged first: kernels with a known answer, and kernels with a mistake that has to be noticed."""

import numpy as np
import pytest

SUM = """
extern "C" __global__ void sum(const float* __restrict__ x, float* __restrict__ y, int n) {
  __shared__ float part[4];
  float s = 0.0f;
  for (int i = threadIdx.x; i < n; i += blockDim.x) s += x[blockIdx.x * n + i];
  for (int bits = 16; bits; bits /= 2) s += __shfl_xor_sync(0xFFFFFFFF, s, bits);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = s;
  __syncthreads();
  if (threadIdx.x == 0) y[blockIdx.x] = part[0] + part[1] + part[2] + part[3];
}
"""


def _sum(xp, code=SUM, threads=128, n=300, blocks=3):
    x = xp.asarray(np.arange(blocks * n, dtype=np.float32).reshape(blocks, n))
    y = xp.zeros(blocks, dtype=np.float32)
    xp.RawKernel(code, "sum")((blocks,), (threads,), (x, y, np.int32(n)))
    return y.get(), x.get().sum(axis=1)


def test_sum_with_shuffles_shared_memory_and_a_barrier(xp):
    ours, numpys = _sum(xp)
    np.testing.assert_array_equal(ours, numpys)


def test_atomics_and_a_grid_of_three_dimensions(xp):
    code = """
extern "C" __global__ void tally(int* counts) {
  atomicAdd(counts + blockIdx.z * 2 + threadIdx.y % 2, (int)(1 + threadIdx.x + blockIdx.y));
}
"""
    counts = xp.zeros((4, 2), dtype=np.int32)
    xp.RawKernel(code, "tally")((5, 3, 4), (2, 6), (counts,))
    expected = 5 * 3 * sum(1 + x + y for x in range(2) for y in range(3))
    np.testing.assert_array_equal(counts.get(), np.full((4, 2), expected))


@pytest.mark.parametrize("xp", ["backwards"], indirect=True)
@pytest.mark.parametrize("mistake", ["no barrier", "too few warps"])
def test_wrong_sums_are_not_numbers(xp, mistake, count):
    if mistake == "no barrier":  # thread 0 comes last and would find what the others wrote: hence both orders
        code = SUM.replace("  __syncthreads();\n", "").replace("threadIdx.x == 0", "threadIdx.x == 127")
        ours, _ = _sum(xp, code)
    else:
        ours, _ = _sum(xp, threads=96)
    assert np.isnan(ours).all()
    count("planted")


@pytest.mark.parametrize("xp", ["forwards"], indirect=True)
def test_diverging_threads_are_detected(xp, count):
    with pytest.raises(RuntimeError, match="__syncthreads is not reached by all"):
        _sum(xp, SUM.replace("  __syncthreads();", "  if (threadIdx.x < 64) __syncthreads();"))
    with pytest.raises(RuntimeError, match="warp function is not reached by all"):
        _sum(xp, SUM.replace("  for (int bits", "  if (threadIdx.x != 5) for (int bits"))
    count("planted", 2)


@pytest.mark.parametrize("xp", ["forwards"], indirect=True)
def test_arguments_that_cupy_would_pass_on_unseen(xp, count):
    kernel = xp.RawKernel(SUM, "sum")
    x, y, n = xp.zeros((3, 8), dtype=np.float32), xp.zeros(3, dtype=np.float32), np.int32(8)
    for args in (
        (x, y, 8),  # a Python int is passed as 64 bits
        (x, y, np.float32(8)),
        (x.astype(np.float64), y, n),
        (x.T, y, n),
        (x.get(), y, n),
        (x, y),
    ):
        with pytest.raises(TypeError):
            kernel((3,), (128,), args)
        count("planted")
    for grid, block in (((0,), (128,)), ((3,), (2048,)), ((1, 70000), (32,))):
        with pytest.raises(ValueError, match="grid"):
            kernel(grid, block, (x, y, n))
        count("planted")
