// Images (B, H, W, C) to and from the flat layout of the row convolution: one zero column after each row, one zero row
// after each image, and zeros before the first and after the last.

extern "C" __global__ void to_rows(const float* __restrict__ x, float* __restrict__ flat, int B, int H, int W, int C,
                                   int before, int total) {
  int row = blockIdx.x * blockDim.y + threadIdx.y;
  if (row >= total) return;
  int r = row - before, w = r % (W + 1), h = r / (W + 1) % (H + 1), image = r / ((W + 1) * (H + 1));
  bool inside = r >= 0 && image < B && h < H && w < W;
  const float* from = x + (inside ? (((size_t)image * H + h) * W + w) * C : 0);
  for (int c = threadIdx.x; c < C; c += blockDim.x) flat[(size_t)row * C + c] = inside ? from[c] : 0.0f;
}

// Back, with the bias added on the way (null: none). What stands in the pad rows is rubbish, and is left out.
extern "C" __global__ void from_rows(const float* __restrict__ flat, const float* __restrict__ bias, float* __restrict__ x,
                                     int B, int H, int W, int C) {
  int pixel = blockIdx.x * blockDim.y + threadIdx.y;
  if (pixel >= B * H * W) return;
  int w = pixel % W, h = pixel / W % H, image = pixel / (H * W);
  const float* from = flat + (((size_t)image * (H + 1) + h) * (W + 1) + w) * C;
  for (int c = threadIdx.x; c < C; c += blockDim.x) x[(size_t)pixel * C + c] = from[c] + (bias ? bias[c] : 0.0f);
}
