// The clean image and the noise from what a model predicts; minidiff.diffusion.denoiser has the same five formulas.

// output, xt: Float64Array   ->   [x0, eps]
export function toX0Eps(output, xt, alpha, sigma, predicts) {
  const [a, b, c, d] = COEFFICIENTS[predicts](alpha, sigma), n = xt.length;
  const x0 = new Float64Array(n), eps = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    x0[i] = a * xt[i] + b * output[i];
    eps[i] = c * xt[i] + d * output[i];
  }
  return [x0, eps];
}

// x0 = a xt + b output,   eps = c xt + d output
const COEFFICIENTS = {
  eps: (alpha, sigma) => [1 / alpha, -sigma / alpha, 0, 1],
  x0: (alpha, sigma) => [0, 1, 1 / sigma, -alpha / sigma],
  v: (alpha, sigma) => [alpha, -sigma, sigma, alpha],
  velocity: (alpha, sigma) => [1 / (alpha + sigma), -sigma / (alpha + sigma), 1 / (alpha + sigma), alpha / (alpha + sigma)],
};
