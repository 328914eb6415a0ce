// Which points a run visits, as minidiff.samplers.grid chooses them.

export const CLEAN = { t: null, alpha: 1, sigma: 0 };

export function at(schedule, t) {
  return { t, alpha: schedule.alpha(t), sigma: schedule.sigma(t) };
}

export const noiseToSignal = ({ alpha, sigma }) => (alpha === 0 ? Infinity : sigma / alpha); // the sigma of Karras et al.
export const lambda = ({ alpha, sigma }) => (sigma === 0 ? Infinity : alpha === 0 ? -Infinity : Math.log(alpha / sigma));
export const tau = ({ alpha, sigma }) => sigma / (alpha + sigma); // the time of rectified flow

// From noisy to clean, one point more than there are steps. A flow has "linspace" alone.
export function grid(schedule, steps, spacing) {
  const skipLast = spacing === "linspace-skip";
  const { T, tMin, tMax } = schedule;
  const times = T === null ? straight(tMax, tMin, steps + skipLast).slice(0, steps) : SPACINGS[spacing](schedule, steps);
  return [...times.map((t) => at(schedule, t)), CLEAN];
}

const SPACINGS = {
  leading: ({ T }, steps) => Array.from({ length: steps }, (_, i) => (steps - 1 - i) * Math.floor(T / steps)),
  "linspace-skip": ({ T }, steps) => straight(0, T - 1, steps + (steps !== T)).map(roundEven).reverse().slice(0, steps),
  karras: (schedule, steps) => {
    const rho = 7, root = (t) => noiseToSignal(at(schedule, t)) ** (1 / rho);
    const from = root(schedule.tMax), to = root(schedule.tMin);
    const levels = straight(0, 1, steps).map((part) => (from + part * (to - from)) ** rho);
    return levels.map((level) => schedule.tOfLogSnr(-2 * Math.log(level)));
  },
};

// n numbers from one to the other, both included, with np.linspace's rounding
function straight(from, to, n) {
  const step = (to - from) / (n - 1);
  return Array.from({ length: n }, (_, i) => (i === 0 ? from : i === n - 1 ? to : i * step + from));
}

// Halves to the even neighbour, as NumPy rounds
function roundEven(x) {
  const low = Math.floor(x);
  return x - low === 0.5 ? low + (low & 1) : Math.round(x);
}
