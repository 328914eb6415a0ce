// The controls of the plane: see controls.js for what a line means.

import { STEPS } from "./controls.js";
import { CHAPTERS, samplerLinks } from "./links.js";
import { SAMPLERS } from "./samplers.js";
import { CLASSES, PREDICTS } from "./settings.js";

const named = (names) => names.map((name) => [name, name.replace("_", " ")]);

function samplersOf({ process }) {
  const fitting = Object.entries(SAMPLERS).filter(([, { flow }]) => process !== "flow" || flow);
  return fitting.map(([name, { title }]) => [name, title]);
}

function classesOf({ data }) {
  const numbers = Array.from({ length: CLASSES[data] }, (_, k) => [String(k), String(k)]);
  return [["all", "all in turn"], ["none", "none (null class)"], ...numbers];
}

export const CONTROLS = [
  { key: "data", label: "Data", options: () => named(Object.keys(CLASSES)), links: [CHAPTERS.noise] },
  {
    key: "process", label: "Process", options: () => named(Object.keys(PREDICTS)),
    links: ({ process }) => [process === "flow" ? CHAPTERS.flow : CHAPTERS.noise],
  },
  { key: "predicts", label: "Predicts", options: ({ process }) => named(PREDICTS[process]), links: [CHAPTERS.loss] },
  { key: "sampler", label: "Sampler", options: samplersOf, links: ({ sampler }) => samplerLinks(sampler) },
  { key: "steps", label: "Steps", range: [1, 1000, 1], stops: STEPS, links: [CHAPTERS.skipping] },
  {
    key: "eta", label: "Noise η", range: [0, 1, 0.05], links: [CHAPTERS.skipping],
    off: ({ sampler }) => (sampler === "ddim" ? "" : "eta belongs to DDIM"),
  },
  { key: "class", label: "Class", options: classesOf, links: [CHAPTERS.guidance] },
  {
    key: "guidance", label: "Guidance", range: [-1, 5, 0.25], links: [CHAPTERS.guidance],
    off: (s) => (s.class === "none" ? "choose a class to guide to" : ""),
  },
  { key: "seed", label: "Seed", range: [0, 4294967295, 1], slider: false, links: [CHAPTERS.ddpm] },
  { key: "time", label: "Time input", check: true, links: [CHAPTERS.time] },
  {
    key: "held", label: "… held at", range: [0, 999, 1], links: [CHAPTERS.time],
    off: ({ time }) => (time ? "the model gets the time itself" : ""),
  },
  { key: "trails", label: "Trails", check: true, links: [CHAPTERS.ode] },
  { key: "field", label: "Field", check: true, links: [CHAPTERS.ode] },
];
