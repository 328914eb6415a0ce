// A model, its schedule and what it predicts: denoise(x, point) -> [x0, eps], with guidance, or without the time.

import { MLP } from "./mlp.js";
import { toX0Eps } from "./prediction.js";
import { open } from "./safetensors.js";
import { scheduleOf } from "./schedule.js";
import { UNet } from "./unet.js";

const opened = new Map(); // each file is fetched and built once

// The model of a file in models/, such as "moons-cosine-v"   ->   {model, schedule, predicts, timeScale, classes}
export function load(name) {
  if (!opened.has(name)) opened.set(name, build(name));
  return opened.get(name);
}

async function build(name) {
  const { tensors, config } = await open(new URL(`../models/${name}.safetensors`, import.meta.url));
  const { diffusion, model, classes } = config, Model = model.name === "mlp" ? MLP : UNet;
  return {
    model: new Model(tensors, model),
    schedule: scheduleOf(diffusion),
    predicts: diffusion.predicts,
    timeScale: diffusion.schedule === "flow" ? diffusion.T : 1,
    classes, // the null class has this number
  };
}

// classes: Int32Array (B,), the class of each sample   w: weight of classifier-free guidance
// held: null, or the model input that replaces the time everywhere
export function denoiser(loaded, classes, w = 0, held = null) {
  const { model, schedule, predicts, timeScale } = loaded, none = classes.map(() => loaded.classes);
  const predict = (x, { t, alpha, sigma }, cond) =>
    toX0Eps(model.predict(x, held ?? t * timeScale, cond), x, alpha, sigma, predicts);
  const denoise = (x, point) => {
    if (w === 0) return predict(x, point, classes);
    const free = predict(x, point, none);
    if (w === -1) return free;
    // eps = (1 + w) eps(c) - w eps(null), and x0 likewise. Ho and Salimans 2022, equation 6
    return predict(x, point, classes).map((part, k) => part.map((value, i) => (1 + w) * value - w * free[k][i]));
  };
  return { schedule, denoise };
}
