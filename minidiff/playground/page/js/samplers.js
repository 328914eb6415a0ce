// The samplers. Each is a generator of {t, x, x0}, one for each step, with the formulas of minidiff.samplers.
//
// denoise(x, point) -> [x0, eps]   noise() -> normal numbers of x's shape   points: from noisy to clean, see grid.js

import { CLEAN, at, grid, lambda, noiseToSignal, tau } from "./grid.js";

// sum over k of factors[k] * arrays[k]
function mix(...terms) {
  const y = new Float64Array(terms[0][1].length);
  for (const [factor, array] of terms) for (let i = 0; i < y.length; i++) y[i] += factor * array[i];
  return y;
}

// The forward process makes x of the cleaner x' by x = ratio x' + sqrt(added) z
function transition(now, after) {
  const ratio = now.alpha / after.alpha;
  return [ratio, now.sigma ** 2 - (ratio * after.sigma) ** 2];
}

// DDPM, Ho et al. 2020, algorithm 2; on fewer steps the betas are re-derived
function* ddpm(run) {
  yield* ancestral(run, (_, i) => run.points[i + 1]);
}

// DDPM's formulas with steps left out: each move goes to t - 1 and is taken to have arrived at the next time
function* ddpmSubset(run) {
  yield* ancestral(run, (now) => (now.t >= 1 ? at(run.schedule, now.t - 1) : CLEAN));
}

function* ancestral({ points, denoise, noise, x }, next) {
  for (let i = 0; i + 1 < points.length; i++) {
    const now = points[i], after = next(now, i), [x0] = denoise(x, now), [ratio, beta] = transition(now, after);
    const small = Math.max((beta * after.sigma ** 2) / now.sigma ** 2, 1e-20);
    x = mix([(after.alpha * beta) / now.sigma ** 2, x0], [(ratio * after.sigma ** 2) / now.sigma ** 2, x]);
    if (i + 2 < points.length) x = mix([1, x], [Math.sqrt(small), noise()]);
    yield { t: now.t, x, x0 };
  }
}

// DDIM, Song et al. 2020, equations 12 and 16
function* ddim({ points, denoise, noise, x, eta }) {
  for (let i = 0; i + 1 < points.length; i++) {
    const now = points[i], after = points[i + 1], [x0, eps] = denoise(x, now);
    const sigma = eta && ((eta * after.sigma) / now.sigma) * Math.sqrt(transition(now, after)[1]);
    x = mix([after.alpha, x0], [Math.sqrt(after.sigma ** 2 - sigma ** 2), eps]);
    if (sigma > 0) x = mix([1, x], [sigma, noise()]);
    yield { t: now.t, x, x0 };
  }
}

// EDM's sampler without churn, Karras et al. 2022, algorithm 2, in x / alpha
function* heun({ points, denoise, x }) {
  x = mix([1 / points[0].alpha, x]);
  for (let i = 0; i + 1 < points.length; i++) {
    const now = points[i], after = points[i + 1], s = noiseToSignal(now), next = noiseToSignal(after);
    const [x0] = denoise(mix([now.alpha, x]), now), d = mix([1 / s, x], [-1 / s, x0]);
    let moved = mix([1, x], [next - s, d]);
    if (next > 0) {
      const [ahead] = denoise(mix([after.alpha, moved]), after), d2 = mix([1 / next, moved], [-1 / next, ahead]);
      moved = mix([1, x], [(next - s) / 2, d], [(next - s) / 2, d2]);
    }
    x = moved;
    yield { t: now.t, x: mix([after.alpha, x]), x0 };
  }
}

// DPM-Solver++(2M), Lu et al. 2022, algorithm 2; of order 1 at the end, where the noise is gone
function* dpmpp2m({ points, denoise, x }) {
  let before = null;
  for (let i = 0; i + 1 < points.length; i++) {
    const now = points[i], after = points[i + 1], [x0] = denoise(x, now);
    const h = lambda(after) - lambda(now), k = Math.expm1(-h);
    const moved = [[after.sigma / now.sigma, x], [-after.alpha * k, x0]];
    if (before && i + 2 < points.length) {
      const half = (-after.alpha * 0.5 * k * h) / (lambda(now) - lambda(before.point));
      moved.push([half, x0], [-half, before.x0]);
    }
    x = mix(...moved);
    before = { point: now, x0 };
    yield { t: now.t, x, x0 };
  }
}

// Along the velocity eps - x0 in y = x / (alpha + sigma): Euler's method, or with `twice` Heun's
function* along({ points, denoise, x }, twice = false) {
  const scale = ({ alpha, sigma }) => alpha + sigma;
  const velocity = (y, point) => denoise(mix([scale(point), y]), point);
  let y = mix([1 / scale(points[0]), x]);
  for (let i = 0; i + 1 < points.length; i++) {
    const now = points[i], after = points[i + 1], h = tau(after) - tau(now), [x0, eps] = velocity(y, now);
    if (after === CLEAN) y = x0;
    else if (!twice) y = mix([1, y], [h, eps], [-h, x0]);
    else {
      const [x02, eps2] = velocity(mix([1, y], [h, eps], [-h, x0]), after);
      y = mix([1, y], [h / 2, eps], [-h / 2, x0], [h / 2, eps2], [-h / 2, x02]);
    }
    yield { t: now.t, x: mix([scale(after), y]), x0 };
  }
}

// name in minidiff -> title, function, spacing, whether it runs on a flow
export const SAMPLERS = {
  ddpm: { title: "DDPM", run: ddpm, spacing: "leading", flow: true },
  ddpm_subset: { title: "DDPM, steps left out (the hack)", run: ddpmSubset, spacing: "leading", flow: false },
  ddim: { title: "DDIM", run: ddim, spacing: "leading", flow: true },
  heun: { title: "Heun", run: heun, spacing: "karras", flow: false },
  dpmpp_2m: { title: "DPM-Solver++(2M)", run: dpmpp2m, spacing: "linspace-skip", flow: true },
  flow_euler: { title: "Euler on the flow", run: (run) => along(run), spacing: "linspace-skip", flow: true },
  flow_heun: { title: "Heun on the flow", run: (run) => along(run, true), spacing: "linspace-skip", flow: true },
};

// The steps of a run.   denoiser: see denoiser.js   x: Float64Array, where to start   noise: () -> numbers of x's length
export function walk(name, { schedule, denoise }, x, { steps, eta = 0, noise }) {
  const { run, spacing } = SAMPLERS[name];
  return run({ schedule, denoise, noise, x, eta, points: grid(schedule, steps, spacing) });
}
