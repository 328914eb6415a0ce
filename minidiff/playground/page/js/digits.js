// The view of the digits: one row a sampler, all from the same noise; each cell shows four digits after a step.

import { STEPS, controls } from "./controls.js";
import { pythonOfDigits } from "./copy_python.js";
import { CHAPTERS, OPS, samplerLinks } from "./links.js";
import { SAMPLERS } from "./samplers.js";

const ROWS = ["ddpm", "ddpm_subset", "ddim", "heun", "dpmpp_2m", "flow_euler"];
const CELLS = 10; // at most in a row, besides the noise

const CONTROLS = [
  { key: "digits", label: "Digits", text: "[0-9]{4}", links: [CHAPTERS.guidance] },
  { key: "steps", label: "Steps", range: [1, 1000, 1], stops: STEPS, links: [CHAPTERS.skipping] },
  { key: "guidance", label: "Guidance", range: [-1, 5, 0.25], links: [CHAPTERS.guidance] },
  { key: "eta", label: "DDIM's η", range: [0, 1, 0.05], links: [CHAPTERS.skipping] },
  { key: "shown", label: "Show", options: () => [["x0", "the predicted x0"], ["x", "the sample x"]], links: [CHAPTERS.ddpm] },
  { key: "seed", label: "Seed", range: [0, 4294967295, 1], slider: false, links: [CHAPTERS.ddpm] },
];

export function digits(root, change) {
  const show = controls(root.querySelector(".controls"), CONTROLS, change);
  const rows = ROWS.map((name) => row(root.querySelector(".rows"), name));
  const ops = OPS.flatMap((op, i) => [i ? ", " : "", link(op, op.title.replace("_", " "))]);
  root.querySelector(".formulas").append("The page computes this network with the formulas of these pages: ", ...ops, ".");
  let settings = null, columns = [];

  function restart(next) {
    settings = next;
    show(next);
    root.querySelector(".python").textContent = pythonOfDigits(next, ROWS);
    const count = Math.min(next.steps, CELLS); // the noise, then steps at equal distances, the last one among them
    columns = [-1, ...Array.from({ length: count }, (_, k) => Math.round(((k + 1) * next.steps) / count) - 1)];
    rows.forEach((one) => one.clear(columns.length));
  }

  function receive({ row: k, i, x, x0, ms }) {
    rows[k].step(columns.indexOf(i), x, x0, ms, settings.shown);
  }

  function redraw(next) {
    settings = next;
    show(next);
    rows.forEach((one) => one.redraw(next.shown));
  }

  return { restart, receive, redraw, jobs: (s) => ROWS.map((sampler) => ({ ...s, sampler })) };
}

const link = ({ href, title }, textContent) => Object.assign(document.createElement("a"), { href, title, textContent });
const canvas = () => Object.assign(document.createElement("canvas"), { width: 17, height: 17 });

// One sampler's row: its name, links and cost, and the cells
function row(parent, name) {
  const cells = document.createElement("div"), cost = Object.assign(document.createElement("span"), { className: "cost" });
  const title = document.createElement("h3"), section = Object.assign(document.createElement("section"), { className: "row" });
  const [chapter, code] = samplerLinks(name);
  title.append(link(chapter, SAMPLERS[name].title), link(code, "code"), cost);
  cells.className = "cells";
  section.append(title, cells);
  section.dataset.sampler = name;
  parent.append(section);
  let kept = [], times = [];
  return {
    clear(count) {
      [kept, times, cost.textContent] = [[], [], ""];
      cells.replaceChildren(...Array.from({ length: count }, canvas));
    },
    step(column, x, x0, ms, shown) {
      if (ms) {
        times.push(ms);
        cost.textContent = `${(times.reduce((a, b) => a + b) / times.length).toFixed(0)} ms a step`;
        section.dataset.ms = [...times].sort((a, b) => a - b)[times.length >> 1];
      }
      if (column < 0) return;
      kept[column] = { x, x0 };
      paint(cells.children[column], shown === "x0" && x0 ? x0 : x);
    },
    redraw(shown) {
      kept.forEach(({ x, x0 }, column) => paint(cells.children[column], shown === "x0" && x0 ? x0 : x));
    },
  };
}

// Four images of 8 x 8 in [-1, 1], two by two with a gap
function paint(canvas, images) {
  const pen = canvas.getContext("2d"), image = pen.createImageData(17, 17);
  for (let n = 0; n < 4; n++)
    for (let p = 0; p < 64; p++) {
      const place = ((n >> 1) * 9 + (p >> 3)) * 17 + (n & 1) * 9 + (p & 7), grey = ((images[64 * n + p] + 1) / 2) * 255;
      image.data.set([grey, grey, grey, 255], 4 * place);
    }
  pen.putImageData(image, 0, 0);
}
