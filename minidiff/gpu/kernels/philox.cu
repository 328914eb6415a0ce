// The random numbers of minidiff/rng.py, word for word: Philox 4x32-10, a pure function of a key and a counter.
// The step comes from device memory, so that a replayed CUDA graph draws new numbers in every step.

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

// Word number i of a call, as a float in [0, 1) of 24 bits.
__device__ float uniform(unsigned i, unsigned key0, unsigned key1, unsigned call, unsigned stream, unsigned step) {
  uint4 words = philox(make_uint4(i / 4, call, stream, step), key0, key1);
  unsigned word = i % 4 < 2 ? (i % 2 ? words.y : words.x) : (i % 2 ? words.w : words.z);
  return (float)(word >> 8) * 5.9604644775390625e-8f;  // 2**-24
}

extern "C" __global__ void uniforms(float* __restrict__ out, unsigned n, unsigned key0, unsigned key1, unsigned call,
                                    unsigned stream, const unsigned* __restrict__ step) {
  unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = uniform(i, key0, key1, call, stream, step[0]);
}

// Box and Muller: pair i gives number i and number pairs + i.
extern "C" __global__ void normals(float* __restrict__ out, unsigned n, unsigned key0, unsigned key1, unsigned call,
                                   unsigned stream, const unsigned* __restrict__ step) {
  unsigned i = blockIdx.x * blockDim.x + threadIdx.x, pairs = (n + 1) / 2;
  if (i >= pairs) return;
  float u = uniform(i, key0, key1, call, stream, step[0]), v = uniform(pairs + i, key0, key1, call, stream, step[0]);
  float radius = sqrtf(-2.0f * logf(1.0f - u)), angle = v * 6.283185307179586f;
  out[i] = radius * cosf(angle);
  if (pairs + i < n) out[pairs + i] = radius * sinf(angle);
}
