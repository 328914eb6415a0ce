// Group norm, with silu behind it or not, and with the time that is added before it in a residual block.
//
//   s = x + temb[b, c]                             without a time (a null pointer), s is x itself
//   y = silu((s - mean) * rstd * gamma + beta)     mean and rstd over the pixels and channels of a group
//
// Activations are (B, P, C), channels last. A block does all pixels of one image for a span of channels, whole groups:
// threadIdx.x is the channel within the span, so that neighbours read neighbours, and threadIdx.y strides over pixels.
// The span is read three times, but from memory only once: it stays in the caches between passes.

// The sum of `mine` over the threads of one column, then over the columns of its group; the same for all of a group.
__device__ float group_sum(float mine, int per_group) {
  __shared__ float part[512];
  int c = threadIdx.x, width = blockDim.x;
  part[threadIdx.y * width + c] = mine;
  __syncthreads();
  if (threadIdx.y == 0) {
    for (int row = 1; row < blockDim.y; row++) mine += part[row * width + c];
    part[c] = mine;
  }
  __syncthreads();
  float total = 0.0f;
  int first = c / per_group * per_group;
  for (int i = 0; i < per_group; i++) total += part[first + i];
  __syncthreads();  // before anyone fills `part` again
  return total;
}

__device__ float sigmoid(float z) { return 1.0f / (1.0f + expf(-z)); }

extern "C" __global__ void __launch_bounds__(512) group_norm_forward(
    const float* __restrict__ x, const float* __restrict__ temb, const float* __restrict__ gamma,
    const float* __restrict__ beta, float* s, float* __restrict__ y, float* __restrict__ mean,
    float* __restrict__ rstd, int pixels, int channels, int per_group, float eps, int with_silu) {
  int spans = channels / blockDim.x, image = blockIdx.x / spans;
  int channel = blockIdx.x % spans * blockDim.x + threadIdx.x;
  size_t start = (size_t)image * pixels * channels + channel;
  float count = (float)pixels * per_group;

  float shift = temb ? temb[(size_t)image * channels + channel] : 0.0f;
  float total = 0.0f;
  for (int p = threadIdx.y; p < pixels; p += blockDim.y) {
    size_t i = start + (size_t)p * channels;
    if (temb) s[i] = x[i] + shift;
    total += s[i];  // a thread reads back only what it wrote itself
  }
  float mu = group_sum(total, per_group) / count;

  total = 0.0f;
  for (int p = threadIdx.y; p < pixels; p += blockDim.y) {
    float centred = s[start + (size_t)p * channels] - mu;
    total += centred * centred;
  }
  float r = 1.0f / sqrtf(group_sum(total, per_group) / count + eps);

  if (threadIdx.y == 0 && threadIdx.x % per_group == 0) {
    size_t group = (size_t)image * (channels / per_group) + channel / per_group;
    mean[group] = mu;
    rstd[group] = r;
  }
  float scale = r * gamma[channel], offset = beta[channel];
  for (int p = threadIdx.y; p < pixels; p += blockDim.y) {
    size_t i = start + (size_t)p * channels;
    float z = (s[i] - mu) * scale + offset;
    y[i] = with_silu ? z * sigmoid(z) : z;
  }
}

// dx = rstd (g - mean(g) - xhat mean(g xhat)),   g = gamma dz,   dz = dy silu'(z)
// dgamma, dbeta, dtemb are written once for each image (B, C): their sums over images come after, in a fixed order.
extern "C" __global__ void __launch_bounds__(512) group_norm_backward(
    const float* __restrict__ dy, const float* __restrict__ s, const float* __restrict__ gamma,
    const float* __restrict__ beta, const float* __restrict__ mean, const float* __restrict__ rstd,
    float* __restrict__ dx, float* __restrict__ dgamma, float* __restrict__ dbeta, float* __restrict__ dtemb,
    int pixels, int channels, int per_group, int with_silu) {
  int spans = channels / blockDim.x, image = blockIdx.x / spans;
  int channel = blockIdx.x % spans * blockDim.x + threadIdx.x;
  size_t start = (size_t)image * pixels * channels + channel, per_image = (size_t)image * channels + channel;
  size_t group = (size_t)image * (channels / per_group) + channel / per_group;
  float count = (float)pixels * per_group;
  float mu = mean[group], r = rstd[group], weight = gamma[channel], offset = beta[channel];

  float sum_dz = 0.0f, sum_dz_xhat = 0.0f;
  for (int p = threadIdx.y; p < pixels; p += blockDim.y) {
    size_t i = start + (size_t)p * channels;
    float xhat = (s[i] - mu) * r, dz = dy[i];
    if (with_silu) {
      float z = xhat * weight + offset, gate = sigmoid(z);
      dz *= gate * (1.0f + z * (1.0f - gate));
    }
    sum_dz += dz;
    sum_dz_xhat += dz * xhat;
  }
  float mean_g = group_sum(sum_dz * weight, per_group) / count;
  float mean_g_xhat = group_sum(sum_dz_xhat * weight, per_group) / count;
  float of_channel = group_sum(sum_dz, 1), of_channel_xhat = group_sum(sum_dz_xhat, 1);
  if (threadIdx.y == 0) {
    dbeta[per_image] = of_channel;
    dgamma[per_image] = of_channel_xhat;
  }

  float total = 0.0f;
  for (int p = threadIdx.y; p < pixels; p += blockDim.y) {
    size_t i = start + (size_t)p * channels;
    float xhat = (s[i] - mu) * r, dz = dy[i];
    if (with_silu) {
      float z = xhat * weight + offset, gate = sigmoid(z);
      dz *= gate * (1.0f + z * (1.0f - gate));
    }
    float d = r * (dz * weight - mean_g - xhat * mean_g_xhat);
    dx[i] = d;
    total += d;
  }
  if (dtemb) {  // what was added to every pixel of a channel
    total = group_sum(total, 1);
    if (threadIdx.y == 0) dtemb[per_image] = total;
  }
}
