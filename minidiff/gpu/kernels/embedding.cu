// The way back of a look-up in a table: each row's gradient is the sum over all places that looked it up.
//
// The first place that names a row adds up for it and all later ones, always in the same order; atomics would add in
// whatever order they come, and no two runs would give the same bits. The table starts as zeros.
//   index (n)   dy (n, features)   ->   dtable (rows, features)      a block: one place, threads over features
extern "C" __global__ void embedding_backward(const long long* __restrict__ index, const float* __restrict__ dy,
                                              float* __restrict__ dtable, int n, long long rows, int features) {
  int place = blockIdx.x, feature = blockIdx.y * blockDim.x + threadIdx.x;
  long long row = index[place];
  if (feature >= features || row < 0 || row >= rows) return;
  for (int i = 0; i < place; i++)
    if (index[i] == row) return;
  float total = 0.0f;
  for (int i = place; i < n; i++)
    if (index[i] == row) total += dy[(size_t)i * features + feature];
  dtable[(size_t)row * features + feature] = total;
}
