// One step of AdamW and of the weights' moving average, over all parameters at once: they lie in one flat array.
// Five arrays are read and four written, once each; written out in array operations it would be four times as much.
//
// What changes from step to step comes from device memory, so that a CUDA graph can replay this launch:
//   row   {lr / bias1, sqrt(bias2), 1 - lr * decay, 1 - keep}   a row of the table of the whole run
//   scale of the gradients, from clipping                       (null: 1)
extern "C" __global__ void adamw_ema(float* __restrict__ weight, const float* __restrict__ grad, float* __restrict__ m,
                                     float* __restrict__ v, float* __restrict__ average,
                                     const float* __restrict__ table, const unsigned* __restrict__ step,
                                     const float* __restrict__ scale, float one_minus_beta1, float one_minus_beta2,
                                     float eps, unsigned long long n) {
  const float* row = table + (size_t)4 * step[0];
  float rate = row[0], root = row[1], shrink = row[2], take = row[3], clip = scale ? scale[0] : 1.0f;
  size_t stride = (size_t)gridDim.x * blockDim.x;
  for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {
    float g = grad[i] * clip;
    float mi = m[i] + one_minus_beta1 * (g - m[i]);
    float vi = v[i] + one_minus_beta2 * (g * g - v[i]);
    float p = weight[i] * shrink - rate * mi / (sqrtf(vi) / root + eps);
    m[i] = mi;
    v[i] = vi;
    weight[i] = p;
    if (average) average[i] += take * (p - average[i]);
  }
}

// Loss and norm of the step into its row of the log of the whole run; then the next step may come.
extern "C" __global__ void end_of_step(unsigned* step, const float* __restrict__ loss, const double* __restrict__ norm,
                                       double* __restrict__ log) {
  log[(size_t)2 * step[0]] = loss ? (double)loss[0] : 0.0;
  log[(size_t)2 * step[0] + 1] = norm[0];
  step[0]++;
}

// The sum of a value over a block's threads (a multiple of 32), in an order that does not change. Right in thread 0.
__device__ double block_sum(double mine) {
  __shared__ double part[32];
  for (int bits = 16; bits; bits /= 2) mine += __shfl_xor_sync(0xFFFFFFFF, mine, bits);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = mine;
  __syncthreads();
  double total = 0.0;
  if (threadIdx.x == 0)
    for (int i = 0; i < blockDim.x / 32; i++) total += part[i];
  return total;
}

// Squares in double: those of large float32 numbers would overflow.
extern "C" __global__ void sum_of_squares(const float* __restrict__ x, double* __restrict__ part, unsigned long long n) {
  double mine = 0.0;
  size_t stride = (size_t)gridDim.x * blockDim.x;
  for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) mine += (double)x[i] * x[i];
  mine = block_sum(mine);
  if (threadIdx.x == 0) part[blockIdx.x] = mine;
}

// From the parts: the norm, and the factor that brings it down to max_norm (1 where it is small enough or not finite).
extern "C" __global__ void clip_scale(const double* __restrict__ part, int parts, double max_norm,
                                      double* __restrict__ norm, float* __restrict__ scale) {
  double mine = 0.0;
  for (int i = threadIdx.x; i < parts; i += blockDim.x) mine += part[i];
  mine = block_sum(mine);
  if (threadIdx.x == 0) {
    double length = sqrt(mine), factor = max_norm / (length + 1e-6);
    norm[0] = length;
    scale[0] = length - length == 0.0 && factor < 1.0 ? (float)factor : 1.0f;
  }
}
