// The softmax of attention, one warp a row: its lanes share a row of n scores and meet in shuffles, no shared memory.

__device__ float warp_sum(float v) {
  for (int bits = 16; bits; bits /= 2) v += __shfl_xor_sync(0xFFFFFFFF, v, bits);
  return v;
}

__device__ float warp_max(float v) {
  for (int bits = 16; bits; bits /= 2) v = fmaxf(v, __shfl_xor_sync(0xFFFFFFFF, v, bits));
  return v;
}

// weights = softmax(scale * scores) along rows of n, in place.
extern "C" __global__ void softmax_forward(float* __restrict__ scores, long long rows, int n, float scale) {
  long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
  if (row >= rows) return;  // a warp is one row: all its lanes leave together
  float *z = scores + (size_t)row * n, top = z[0] * scale, total = 0.0f;
  for (int i = threadIdx.x; i < n; i += 32) top = fmaxf(top, z[i] * scale);
  top = warp_max(top);
  for (int i = threadIdx.x; i < n; i += 32) {
    float e = expf(z[i] * scale - top);
    z[i] = e;
    total += e;
  }
  total = warp_sum(total);
  for (int i = threadIdx.x; i < n; i += 32) z[i] /= total;
}

// dscores = scale * weights * (dweights - sum(dweights * weights)) along rows, written over dweights.
extern "C" __global__ void softmax_backward(const float* __restrict__ weights, float* __restrict__ grad, long long rows,
                                            int n, float scale) {
  long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
  if (row >= rows) return;
  const float* w = weights + (size_t)row * n;
  float *d = grad + (size_t)row * n, total = 0.0f;
  for (int i = threadIdx.x; i < n; i += 32) total += d[i] * w[i];
  total = warp_sum(total);
  for (int i = threadIdx.x; i < n; i += 32) d[i] = scale * w[i] * (d[i] - total);
}
