// The field of the plane: where DDIM without noise moves each point of a lattice over a small step of time.

import { REACH } from "./density.js";
import { CLEAN, at } from "./grid.js";

export const ARROWS = 19; // along a side

// denoise is for ARROWS x ARROWS points   ->   {from, move}, (N, 2) each
export function arrows({ schedule, denoise }, now) {
  const t = now.t - (schedule.tMax - schedule.tMin) * 0.01, after = t > schedule.tMin ? at(schedule, t) : CLEAN;
  const place = (index) => ((2 * index + 1) / ARROWS - 1) * REACH, from = new Float64Array(2 * ARROWS * ARROWS);
  for (let k = 0; k < ARROWS * ARROWS; k++) from.set([place(k % ARROWS), place(Math.floor(k / ARROWS))], 2 * k);
  const [x0, eps] = denoise(from, now);
  return { from, move: from.map((value, k) => after.alpha * x0[k] + after.sigma * eps[k] - value) };
}
