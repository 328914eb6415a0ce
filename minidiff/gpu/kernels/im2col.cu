// What each output pixel of a convolution sees, side by side in a row, and the transpose of that.
//
//   x (B, H, W, C)   <->   cols (B OH OW, KH KW C)
//
// threadIdx.x runs over channels, so that neighbours touch neighbours; threadIdx.y over pixels. No atomics: going back,
// a pixel collects from the rows that saw it, always in the same order.

extern "C" __global__ void im2col(const float* __restrict__ x, float* __restrict__ cols, int B, int H, int W, int C,
                                  int OH, int OW, int KH, int KW, int stride, int top, int left) {
  int row = blockIdx.x * blockDim.y + threadIdx.y, u = blockIdx.y / KW, v = blockIdx.y % KW;
  if (row >= B * OH * OW) return;
  int image = row / (OH * OW), h = row / OW % OH * stride + u - top, w = row % OW * stride + v - left;
  bool inside = h >= 0 && h < H && w >= 0 && w < W;
  const float* from = x + (inside ? (((size_t)image * H + h) * W + w) * C : 0);
  float* to = cols + ((size_t)row * KH * KW + blockIdx.y) * C;
  for (int c = threadIdx.x; c < C; c += blockDim.x) to[c] = inside ? from[c] : 0.0f;
}

extern "C" __global__ void col2im(const float* __restrict__ cols, float* __restrict__ x, int B, int H, int W, int C,
                                  int OH, int OW, int KH, int KW, int stride, int top, int left) {
  int pixel = blockIdx.x * blockDim.y + threadIdx.y;
  if (pixel >= B * H * W) return;
  int image = pixel / (H * W), h = pixel / W % H + top, w = pixel % W + left;
  for (int c = threadIdx.x; c < C; c += blockDim.x) {
    float total = 0.0f;
    for (int u = 0; u < KH; u++)
      for (int v = 0; v < KW; v++) {
        int i = (h - u) / stride, j = (w - v) / stride;  // the output pixel that saw (h, w) through tap (u, v)
        if (h < u || w < v || i * stride != h - u || j * stride != w - v || i >= OH || j >= OW) continue;
        total += cols[((((size_t)image * OH + i) * OW + j) * KH * KW + u * KW + v) * C + c];
      }
    x[(size_t)pixel * C + c] = total;
  }
}
