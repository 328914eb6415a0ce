// The forward passes of minidiff.ops that the page's models need, on Float64Array, channels last.

export const silu = (z) => z / (1 + Math.exp(-z));

// y = x w + b   x (B, I)   w (I, O)   b (O,) or null   ->   y (B, O)
export function linear(x, w, b, B) {
  const I = x.length / B, O = w.length / I, y = new Float64Array(B * O);
  const rows = B & ~3, columns = O & ~1;
  for (let r = 0; r < rows; r += 4) for (let o = 0; o < columns; o += 2) tile(y, x, w, r, o, I, O);
  for (let r = 0; r < B; r++) for (let o = r < rows ? columns : 0; o < O; o++) {
    for (let i = 0; i < I; i++) y[r * O + o] += x[r * I + i] * w[i * O + o];
  }
  if (b) for (let r = 0; r < B; r++) for (let o = 0; o < O; o++) y[r * O + o] += b[o];
  return y;
}

// Four rows of two columns of x w at once: eight sums in registers, so that each number loaded is used two or four times
function tile(y, x, w, r, o, I, O) {
  const x0 = r * I, x1 = x0 + I, x2 = x1 + I, x3 = x2 + I;
  let a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
  for (let i = 0, k = o; i < I; i++, k += O) {
    const u = w[k], v = w[k + 1], p = x[x0 + i], q = x[x1 + i], s = x[x2 + i], t = x[x3 + i];
    a += p * u; b += q * u; c += s * u; d += t * u;
    e += p * v; f += q * v; g += s * v; h += t * v;
  }
  const y0 = r * O + o, y1 = y0 + O, y2 = y1 + O, y3 = y2 + O;
  y[y0] = a; y[y1] = b; y[y2] = c; y[y3] = d;
  y[y0 + 1] = e; y[y1 + 1] = f; y[y2 + 1] = g; y[y3 + 1] = h;
}

// Sinusoids of a timestep   ->   (dim,). flip: cosines first   shift: downscale_freq_shift
export function timestepEmbedding(t, dim, { flip, shift }) {
  const half = dim >> 1, y = new Float64Array(dim);
  for (let i = 0; i < half; i++) {
    const angle = t * Math.exp(i * (-Math.log(10000) / (half - shift)));
    y[i] = flip ? Math.cos(angle) : Math.sin(angle);
    y[half + i] = flip ? Math.sin(angle) : Math.cos(angle);
  }
  return y;
}
