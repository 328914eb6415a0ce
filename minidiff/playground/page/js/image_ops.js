// The forward passes of minidiff.ops for images {data: Float64Array, B, H, W, C}, channels last.

import { linear, silu } from "./ops.js";

// A cross-correlation with zeros around the image: gather each output pixel's receptive field into a row, then one product.
// w {shape: (K, K, C, O), data}, K odd   b (O,)
export function conv2d(x, w, b, stride = 1) {
  const { data, B, H, W, C } = x, K = w.shape[0], O = w.shape[3], pad = (K - 1) / 2;
  const OH = Math.floor((H + 2 * pad - K) / stride) + 1, OW = Math.floor((W + 2 * pad - K) / stride) + 1;
  if (K === 1 && stride === 1) return { data: linear(data, w.data, b, B * H * W), B, H, W, C: O };
  const columns = new Float64Array(B * OH * OW * K * K * C);
  let row = 0;
  for (let n = 0; n < B; n++)
    for (let i = 0; i < OH; i++)
      for (let j = 0; j < OW; j++)
        for (let u = 0; u < K; u++)
          for (let v = 0; v < K; v++, row += C) {
            const y = i * stride + u - pad, z = j * stride + v - pad;
            if (y < 0 || y >= H || z < 0 || z >= W) continue;
            const from = ((n * H + y) * W + z) * C;
            for (let c = 0; c < C; c++) columns[row + c] = data[from + c];
          }
  return { data: linear(columns, w.data, b, B * OH * OW), B, H: OH, W: OW, C: O };
}

// Normalise x + time over space and each group of channels, then SiLU where asked for.   time (B, C) or null
export function groupNorm(x, { gamma, beta }, groups, eps, { time = null, act = false } = {}) {
  const { data, B, H, W, C } = x, P = H * W, D = C / groups, y = new Float64Array(data.length);
  for (let n = 0; n < B; n++)
    for (let g = 0; g < groups; g++) {
      const value = (p, c) => data[(n * P + p) * C + c] + (time ? time[n * C + c] : 0);
      let sum = 0, squares = 0;
      for (let p = 0; p < P; p++) for (let c = g * D; c < (g + 1) * D; c++) sum += value(p, c);
      const mean = sum / (P * D);
      for (let p = 0; p < P; p++) for (let c = g * D; c < (g + 1) * D; c++) squares += (value(p, c) - mean) ** 2;
      const rstd = 1 / Math.sqrt(squares / (P * D) + eps);
      for (let p = 0; p < P; p++)
        for (let c = g * D; c < (g + 1) * D; c++) {
          const z = (value(p, c) - mean) * rstd * gamma[c] + beta[c];
          y[(n * P + p) * C + c] = act ? silu(z) : z;
        }
    }
  return { ...x, data: y };
}

// softmax(q k^T / sqrt(d)) v in each head.   q, k, v (B, N, D)   ->   (B, N, D)
export function attention(q, k, v, B, N, heads) {
  const D = q.length / (B * N), d = D / heads, y = new Float64Array(q.length), weights = new Float64Array(N);
  for (let n = 0; n < B; n++)
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < N; i++) {
        const at = (token) => (n * N + token) * D + h * d;
        let most = -Infinity, total = 0;
        for (let j = 0; j < N; j++) {
          let score = 0;
          for (let c = 0, a = at(i), b = at(j); c < d; c++) score += q[a + c] * k[b + c];
          weights[j] = score / Math.sqrt(d);
          most = Math.max(most, weights[j]);
        }
        for (let j = 0; j < N; j++) total += weights[j] = Math.exp(weights[j] - most);
        for (let j = 0; j < N; j++)
          for (let c = 0, a = at(i), b = at(j); c < d; c++) y[a + c] += (weights[j] / total) * v[b + c];
      }
  return y;
}

// Each pixel becomes 2 x 2 equal ones
export function upsampleNearest({ data, B, H, W, C }) {
  const y = new Float64Array(4 * data.length);
  for (let n = 0; n < B; n++)
    for (let i = 0; i < 2 * H; i++)
      for (let j = 0; j < 2 * W; j++) {
        const from = ((n * H + (i >> 1)) * W + (j >> 1)) * C;
        y.set(data.subarray(from, from + C), ((n * 2 * H + i) * 2 * W + j) * C);
      }
  return { data: y, B, H: 2 * H, W: 2 * W, C };
}

// Channels side by side
export function concat(a, b) {
  const C = a.C + b.C, y = new Float64Array(a.data.length + b.data.length);
  for (let p = 0; p < a.B * a.H * a.W; p++) {
    y.set(a.data.subarray(p * a.C, (p + 1) * a.C), p * C);
    y.set(b.data.subarray(p * b.C, (p + 1) * b.C), p * C + a.C);
  }
  return { ...a, data: y, C };
}

export function add(a, b) {
  return { ...a, data: a.data.map((value, i) => value + b.data[i]) };
}
