// The lines of Python that make the same samples with minidiff: same model, same seed, same noise.

import { CLASSES } from "./settings.js";
import { PARTICLES, modelName } from "./job.js";

const call = (s, sampler, cond, shape) => {
  const eta = sampler === "ddim" && s.eta ? [`eta=${s.eta}`] : [];
  const more = [`steps=${s.steps}`, `rng=${s.seed}`, ...eta, ...cond, 'dtype="float64"'];
  return `sample("${sampler}", denoiser, ${shape}, ${more.join(", ")})`;
};

export function pythonOfPlane(s) {
  const none = CLASSES[s.data], guided = s.class !== "none" && s.guidance !== 0;
  const all = `np.arange(${PARTICLES}) % ${none}`, nothing = `np.full(${PARTICLES}, ${none})  # the null class: no condition`;
  const cond = { all, none: nothing }[s.class] ?? `np.full(${PARTICLES}, ${s.class})`;
  const lines = ["import numpy as np", "from minidiff import playground, sample"];
  const needed = [...(s.time ? [] : ["Denoiser"]), ...(guided ? ["cfg"] : [])];
  if (needed.length) lines.push(`from minidiff.diffusion import ${needed.join(", ")}`);
  lines.push("", `denoiser = playground.denoiser("${modelName(s)}")`);
  if (!s.time) {
    lines.push("model = denoiser.model", `blind = lambda x, t, cond: model.predict(x, ${s.held}, cond)`);
    lines.push("denoiser = Denoiser(blind, denoiser.schedule, denoiser.predicts)");
  }
  lines.push(`cond = ${cond}`);
  if (guided) lines.push(`denoiser = cfg(denoiser, cond, ${s.guidance}, null=np.full(${PARTICLES}, ${none}))`);
  lines.push(`x = ${call(s, s.sampler, guided ? [] : ["cond=cond"], `(${PARTICLES}, 2)`)}`);
  return lines.join("\n");
}

export function pythonOfDigits(s, samplers) {
  const lines = ["import numpy as np", "from minidiff import playground, sample, viz"];
  if (s.guidance) lines.push("from minidiff.diffusion import cfg");
  lines.push("", 'denoiser = playground.denoiser("digits")', `cond = np.array([${[...s.digits].join(", ")}])`);
  if (s.guidance) lines.push(`denoiser = cfg(denoiser, cond, ${s.guidance})`);
  const cond = s.guidance ? [] : ["cond=cond"], rows = samplers.map((name) => `    ${call(s, name, cond, "(4, 8, 8, 1)")},`);
  lines.push("rows = [", ...rows, "]", `viz.save_png(np.concatenate(rows), "digits.png", columns=4)`);
  return lines.join("\n");
}
