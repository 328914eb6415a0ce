// The noise schedule: x_t = alpha(t) x0 + sigma(t) eps, as minidiff.diffusion.Schedule and Flow have it, in float64.

// A variance-preserving schedule of T steps. Real-valued t is interpolated in the log-SNR.
export class Schedule {
  constructor(betas) {
    this.T = betas.length;
    this.tMin = 0;
    this.tMax = this.T - 1;
    this.alphaBar = new Float64Array(this.T);
    let product = 1;
    betas.forEach((beta, t) => { this.alphaBar[t] = product *= 1 - beta; });
    this.curve = this.alphaBar.map((a) => Math.log(a) - Math.log1p(-a));
  }

  static linear(T = 1000, start = 1e-4, end = 0.02) {
    const beta = (i) => (start + ((end - start) * i) / (T - 1)) * (1000 / T); // any T ends at about the same noise
    return new Schedule(Array.from({ length: T }, (_, i) => Math.min(beta(i), 0.999)));
  }

  static cosine(T = 1000, s = 0.008, most = 0.999) {
    const f = (i) => Math.cos((((i / T + s) / (1 + s)) * Math.PI) / 2) ** 2;
    return new Schedule(Array.from({ length: T }, (_, i) => Math.min(1 - f(i + 1) / f(i), most)));
  }

  alpha(t) {
    return Number.isInteger(t) ? Math.sqrt(this.alphaBar[t]) : Math.sqrt(1 / (1 + Math.exp(-this.logSnr(t))));
  }

  sigma(t) {
    return Number.isInteger(t) ? Math.sqrt(1 - this.alphaBar[t]) : Math.sqrt(1 / (1 + Math.exp(this.logSnr(t))));
  }

  logSnr(t) {
    const low = Math.min(Math.floor(t), this.T - 2);
    return this.curve[low] + (t - low) * (this.curve[low + 1] - this.curve[low]);
  }

  // the inverse of logSnr, which falls with t; held to the ends
  tOfLogSnr(level) {
    if (level >= this.curve[0]) return 0;
    if (level <= this.curve[this.T - 1]) return this.T - 1;
    let low = 0, high = this.T - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.curve[middle] >= level) low = middle;
      else high = middle;
    }
    return low + (level - this.curve[low]) / (this.curve[high] - this.curve[low]);
  }
}

// Rectified flow: alpha = 1 - t, sigma = t, t from 1e-5 to 1
export class Flow {
  T = null;
  tMin = 1e-5;
  tMax = 1;
  alpha = (t) => 1 - t;
  sigma = (t) => t;
  logSnr = (t) => 2 * (Math.log1p(-t) - Math.log(t));
  tOfLogSnr = (level) => 1 / (1 + Math.exp(level / 2));
}

// The schedule of a run's configuration
export function scheduleOf({ schedule, T }) {
  if (schedule === "flow") return new Flow();
  if (schedule === "linear" || schedule === "cosine") return Schedule[schedule](T);
  throw new Error(`schedule: got ${schedule}, expected linear, cosine or flow`);
}
