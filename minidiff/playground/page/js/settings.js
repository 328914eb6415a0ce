// The settings of the page, as its address has them after "#": what is not there has its default.

import { SAMPLERS } from "./samplers.js";

export const DEFAULTS = {
  view: "plane", data: "moons", process: "cosine", predicts: "v", sampler: "ddim", steps: 50, eta: 0, class: "all",
  guidance: 0, seed: 0, time: 1, held: 100, trails: 1, field: 1, digits: "3058", shown: "x0",
};
export const PREDICTS = { linear: ["eps", "x0", "v"], cosine: ["eps", "x0", "v"], flow: ["velocity", "x0"] };
export const CLASSES = { moons: 2, checkerboard: 8, swiss_roll: 3, gaussians: 8 };

export function read(hash) {
  const settings = { ...DEFAULTS };
  for (const [key, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
    if (!(key in DEFAULTS)) continue;
    settings[key] = typeof DEFAULTS[key] === "number" && Number.isFinite(Number(text)) ? Number(text) : text;
  }
  return fitted(settings);
}

// Only what differs from the defaults, so that an address stays short
export function write(settings) {
  const changed = Object.entries(settings).filter(([key, value]) => String(value) !== String(DEFAULTS[key]) || key === "view");
  return `#${new URLSearchParams(changed)}`;
}

// The settings with what cannot go together replaced by what can
export function fitted(settings) {
  const s = { ...settings }, number = (value) => typeof value === "number";
  const clamp = (value, low, high, otherwise) => (number(value) ? Math.min(Math.max(value, low), high) : otherwise);
  if (!["plane", "digits"].includes(s.view)) s.view = DEFAULTS.view;
  if (!(s.data in CLASSES)) s.data = DEFAULTS.data;
  if (!(s.process in PREDICTS)) s.process = DEFAULTS.process;
  if (!PREDICTS[s.process].includes(s.predicts)) s.predicts = PREDICTS[s.process][0];
  if (!(s.sampler in SAMPLERS)) s.sampler = DEFAULTS.sampler;
  if (s.process === "flow") s.sampler = { ddpm_subset: "ddpm", heun: "flow_heun" }[s.sampler] ?? s.sampler;
  if (!["all", "none"].includes(s.class) && !(Number(s.class) >= 0 && Number(s.class) < CLASSES[s.data])) s.class = "all";
  s.steps = Math.round(clamp(s.steps, 1, 1000, 50));
  s.eta = clamp(s.eta, 0, 1, 0);
  s.guidance = clamp(s.guidance, -1, 5, 0);
  s.seed = Math.round(clamp(s.seed, 0, 4294967295, 0));
  s.held = Math.round(clamp(s.held, 0, 999, 100));
  if (!/^[0-9]{4}$/.test(s.digits)) s.digits = DEFAULTS.digits;
  return s;
}
