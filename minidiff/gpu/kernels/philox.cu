// The random numbers of minidiff/rng.py, word for word: Philox 4x32-10, a pure function of a key and a counter.
// What `clock` holds in device memory is added to the step, so that a replayed CUDA graph draws new numbers in every
// step (null: nothing is added).

__device__ uint4 philox(uint4 c, unsigned key0, unsigned key1) {
  for (int round = 0; round < 10; round++) {
    unsigned high0 = __umulhi(0xD2511F53u, c.x), low0 = 0xD2511F53u * c.x;
    unsigned high1 = __umulhi(0xCD9E8D57u, c.z), low1 = 0xCD9E8D57u * c.z;
    c = make_uint4(high1 ^ c.y ^ key0, low1, high0 ^ c.w ^ key1, low0);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return c;
}

// Word number i of a call.
__device__ unsigned word(unsigned i, unsigned key0, unsigned key1, unsigned call, unsigned stream, unsigned step) {
  uint4 words = philox(make_uint4(i / 4, call, stream, step), key0, key1);
  return i % 4 < 2 ? (i % 2 ? words.y : words.x) : (i % 2 ? words.w : words.z);
}

// The same as a float in [0, 1) of 24 bits.
__device__ float uniform(unsigned i, unsigned key0, unsigned key1, unsigned call, unsigned stream, unsigned step) {
  return (float)(word(i, key0, key1, call, stream, step) >> 8) * 5.9604644775390625e-8f;  // 2**-24
}

extern "C" __global__ void words(unsigned long long* __restrict__ out, unsigned n, unsigned key0, unsigned key1,
                                 unsigned call, unsigned stream, unsigned step, const unsigned* __restrict__ clock) {
  unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = word(i, key0, key1, call, stream, step + (clock ? clock[0] : 0u));
}

extern "C" __global__ void uniforms(float* __restrict__ out, unsigned n, unsigned key0, unsigned key1, unsigned call,
                                    unsigned stream, unsigned step, const unsigned* __restrict__ clock) {
  unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = uniform(i, key0, key1, call, stream, step + (clock ? clock[0] : 0u));
}

// In double, two words make one number of 27 + 26 = 53 bits.
extern "C" __global__ void uniforms64(double* __restrict__ out, unsigned n, unsigned key0, unsigned key1, unsigned call,
                                      unsigned stream, unsigned step, const unsigned* __restrict__ clock) {
  unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  uint4 four = philox(make_uint4(i / 2, call, stream, step + (clock ? clock[0] : 0u)), key0, key1);
  unsigned high = i % 2 ? four.z : four.x, low = i % 2 ? four.w : four.y;
  unsigned long long whole = ((unsigned long long)(high >> 5) << 26) + (low >> 6);
  out[i] = (double)whole * 1.1102230246251565e-16;  // 2**-53
}

// Box and Muller: pair i gives number i and number pairs + i.
extern "C" __global__ void normals(float* __restrict__ out, unsigned n, unsigned key0, unsigned key1, unsigned call,
                                   unsigned stream, unsigned step, const unsigned* __restrict__ clock) {
  unsigned i = blockIdx.x * blockDim.x + threadIdx.x, pairs = (n + 1) / 2, now = step + (clock ? clock[0] : 0u);
  if (i >= pairs) return;
  float u = uniform(i, key0, key1, call, stream, now), v = uniform(pairs + i, key0, key1, call, stream, now);
  float radius = sqrtf(-2.0f * logf(1.0f - u)), angle = v * 6.283185307179586f;
  out[i] = radius * cosf(angle);
  if (pairs + i < n) out[pairs + i] = radius * sinf(angle);
}
