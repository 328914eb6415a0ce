// A sampling run from settings: the model, the classes, the start and the noise, all as minidiff has them for the same seed.

import { denoiser, load } from "./denoiser.js";
import { Rng } from "./rng.js";
import { walk } from "./samplers.js";

export const PARTICLES = 2000;

export const modelName = (s) => (s.view === "digits" ? "digits" : `${s.data}-${s.process}-${s.predicts}`);

// The class of each of `count` samples: in turn, none, or one and the same
export function classesOf(s, classes, count) {
  if (s.view === "digits") return Int32Array.from(s.digits, Number);
  if (s.class === "all") return Int32Array.from({ length: count }, (_, k) => k % classes);
  return new Int32Array(count).fill(s.class === "none" ? classes : Number(s.class)); // the null class is the last
}

// The denoiser for samples of these classes
export async function prepare(s, classes) {
  const loaded = await load(modelName(s)), plane = s.view === "plane";
  const w = plane && s.class === "none" ? 0 : s.guidance; // without a class there is nothing to guide to
  return denoiser(loaded, classes, w, plane && !s.time ? s.held : null);
}

// -> {x: the start, steps: generator of {t, x, x0}}
export async function start(s, count = PARTICLES) {
  const loaded = await load(modelName(s)), classes = classesOf(s, loaded.classes, count);
  const made = await prepare(s, classes), rng = new Rng(s.seed), numbers = classes.length * (s.view === "digits" ? 64 : 2);
  const noise = () => rng.standardNormal(numbers), x = noise();
  return { x, steps: walk(s.sampler, made, x, { steps: s.steps, eta: s.eta, noise }) };
}
