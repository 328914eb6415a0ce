// Norm of each row over its features, then a scale and a shift that all rows of an image share.
//
//   y = xhat (1 + scale[b, d]) + shift[b, d],   xhat = (x - mean) rstd,   mean and rstd of a row of n features
//
// One warp a row: its lanes share the row and meet in shuffles. A row is read from memory once and stays in the caches.

__device__ float warp_sum(float v) {
  for (int bits = 16; bits; bits /= 2) v += __shfl_xor_sync(0xFFFFFFFF, v, bits);
  return v;
}

extern "C" __global__ void modulate_forward(const float* __restrict__ x, const float* __restrict__ shift,
                                            const float* __restrict__ scale, float* __restrict__ y,
                                            float* __restrict__ mean, float* __restrict__ rstd, int rows, int per_image,
                                            int n, float eps) {
  int row = blockIdx.x * blockDim.y + threadIdx.y;
  if (row >= rows) return;  // a warp is one row: all its lanes leave together
  const float *z = x + (size_t)row * n, *add = shift + (size_t)(row / per_image) * n,
              *times = scale + (size_t)(row / per_image) * n;
  float* out = y + (size_t)row * n;
  float total = 0.0f;
  for (int i = threadIdx.x; i < n; i += 32) total += z[i];
  float mu = warp_sum(total) / n;
  total = 0.0f;
  for (int i = threadIdx.x; i < n; i += 32) {
    float centred = z[i] - mu;
    total += centred * centred;
  }
  float r = 1.0f / sqrtf(warp_sum(total) / n + eps);
  for (int i = threadIdx.x; i < n; i += 32) out[i] = (z[i] - mu) * r * (1.0f + times[i]) + add[i];
  if (threadIdx.x == 0) {
    mean[row] = mu;
    rstd[row] = r;
  }
}

// dx = rstd (g - mean(g) - xhat mean(g xhat)),   g = (1 + scale) dy
extern "C" __global__ void modulate_backward(const float* __restrict__ dy, const float* __restrict__ x,
                                             const float* __restrict__ scale, const float* __restrict__ mean,
                                             const float* __restrict__ rstd, float* __restrict__ dx, int rows,
                                             int per_image, int n) {
  int row = blockIdx.x * blockDim.y + threadIdx.y;
  if (row >= rows) return;
  const float *d = dy + (size_t)row * n, *z = x + (size_t)row * n, *times = scale + (size_t)(row / per_image) * n;
  float *out = dx + (size_t)row * n, mu = mean[row], r = rstd[row], sum_g = 0.0f, sum_g_xhat = 0.0f;
  for (int i = threadIdx.x; i < n; i += 32) {
    float g = d[i] * (1.0f + times[i]);
    sum_g += g;
    sum_g_xhat += g * (z[i] - mu) * r;
  }
  float mean_g = warp_sum(sum_g) / n, mean_g_xhat = warp_sum(sum_g_xhat) / n;
  for (int i = threadIdx.x; i < n; i += 32)
    out[i] = r * (d[i] * (1.0f + times[i]) - mean_g - (z[i] - mu) * r * mean_g_xhat);
}

// dshift and dscale (images, n): sums of dy and of dy xhat over the rows of an image, in a fixed order.
// blockIdx.x is the image, blockIdx.y a span of 32 features; threadIdx.y strides over rows.
extern "C" __global__ void modulate_sums(const float* __restrict__ dy, const float* __restrict__ x,
                                         const float* __restrict__ mean, const float* __restrict__ rstd,
                                         float* __restrict__ dshift, float* __restrict__ dscale, int per_image, int n) {
  __shared__ float part[2][16][32];
  int feature = blockIdx.y * 32 + threadIdx.x, first = blockIdx.x * per_image;
  float sum = 0.0f, sum_xhat = 0.0f;
  for (int p = threadIdx.y; p < per_image && feature < n; p += blockDim.y) {
    int row = first + p;
    size_t i = (size_t)row * n + feature;
    sum += dy[i];
    sum_xhat += dy[i] * (x[i] - mean[row]) * rstd[row];
  }
  part[0][threadIdx.y][threadIdx.x] = sum;
  part[1][threadIdx.y][threadIdx.x] = sum_xhat;
  __syncthreads();
  if (threadIdx.y > 0 || feature >= n) return;
  for (int row = 1; row < blockDim.y; row++) {
    sum += part[0][row][threadIdx.x];
    sum_xhat += part[1][row][threadIdx.x];
  }
  dshift[(size_t)blockIdx.x * n + feature] = sum;
  dscale[(size_t)blockIdx.x * n + feature] = sum_xhat;
}
