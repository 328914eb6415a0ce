// The view of the plane: particles, trails, the field and the densities at the time under the slider.

import { controls } from "./controls.js";
import { pythonOfPlane } from "./copy_python.js";
import { REACH, density, energyDistance, twoDraws } from "./density.js";
import { drawDensity, drawParticles } from "./draw.js";
import { ARROWS, arrows } from "./field.js";
import { grid } from "./grid.js";
import { PARTICLES, classesOf, prepare } from "./job.js";
import { CONTROLS } from "./plane_controls.js";
import { open } from "./safetensors.js";
import { SAMPLERS } from "./samplers.js";
import { CLASSES } from "./settings.js";

const still = matchMedia("(prefers-reduced-motion: reduce)");
const SECONDS = 4; // a run plays for about so long
const POINTS = new URL("../models/points.safetensors", import.meta.url);
const CELLS = 90; // of a density, along a side
const PATIENCE = 150; // ms between two fields while the particles move: each costs a call of the network

export function plane(root, change) {
  const find = (selector) => root.querySelector(selector);
  const canvas = find(".particles"), slider = find(".time"), button = find(".play");
  const show = controls(find(".controls"), CONTROLS, change);
  let settings = null, points = [], states = [], guesses = [], run = null, data = null, classes = null;
  let shown = 0, playing = false, touched = 0, last = null, waiting = 0, field = null, measuring = 0;

  // ---- a run ---------------------------------------------------------------------------------------------------------

  // The settings have changed: forget the run that is shown. The worker's steps come in through `receive`
  async function restart(next) {
    cancelAnimationFrame(waiting);
    settings = next;
    show(next);
    states = [];
    guesses = [];
    run = null;
    shown = 0;
    field = null;
    slider.max = next.steps;
    find(".python").textContent = pythonOfPlane(next);
    classes = classesOf(next, CLASSES[next.data], PARTICLES);
    const [made, { tensors }] = await Promise.all([guide(next), open(POINTS)]);
    if (settings !== next) return;
    run = made;
    points = grid(run.schedule, next.steps, SAMPLERS[next.sampler].spacing);
    data = dataOf(tensors, next);
    drawData();
    play(!still.matches);
  }

  // The denoiser of the field: that of the touched particle's class
  const guide = (s) => prepare(s, new Int32Array(ARROWS * ARROWS).fill(classes[touched]));

  async function touch(k) {
    touched = (k + PARTICLES) % PARTICLES;
    run = await guide(settings);
    field = null;
    draw();
  }

  function receive({ x, x0, i }) {
    states[i + 1] = x;
    if (x0) guesses[i] = x0;
    if (still.matches && ready() === settings.steps) seek(settings.steps); // for readers who want no motion: the end
    else if (!playing) draw();
  }

  const ready = () => Math.max(states.length - 1, 0); // steps that have come in

  // ---- time ----------------------------------------------------------------------------------------------------------

  function play(on) {
    playing = on;
    button.textContent = on ? "❚❚" : "▶";
    button.setAttribute("aria-label", on ? "Pause" : "Play");
    cancelAnimationFrame(waiting);
    last = null;
    if (on) return (waiting = requestAnimationFrame(frame));
    draw(); // with the field, which waits while the particles move
    measure();
  }

  function frame(now) {
    shown = Math.min(shown + ((now - (last ?? now)) / 1000 / SECONDS) * settings.steps, ready());
    last = now;
    draw();
    if (shown >= settings.steps) play(false);
    else waiting = requestAnimationFrame(frame);
  }

  function seek(step) {
    shown = Math.min(Math.max(step, 0), ready());
    play(false);
  }

  button.addEventListener("click", () => {
    if (!playing && shown >= settings.steps) shown = 0;
    play(!playing);
  });
  slider.addEventListener("input", () => seek(Number(slider.value)));

  // ---- a particle ----------------------------------------------------------------------------------------------------

  canvas.addEventListener("pointerdown", (event) => {
    const box = canvas.getBoundingClientRect(), x = nowAt();
    if (!x) return;
    const a = (((event.clientX - box.left) / box.width) * 2 - 1) * REACH;
    const b = (1 - ((event.clientY - box.top) / box.height) * 2) * REACH;
    let best = Infinity, nearest = 0;
    for (let k = 0; k < PARTICLES; k++) {
      const far = (x[2 * k] - a) ** 2 + (x[2 * k + 1] - b) ** 2;
      if (far < best) [best, nearest] = [far, k];
    }
    touch(nearest);
  });
  canvas.addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    if (!move) return;
    event.preventDefault();
    move();
  });
  const MOVES = {
    ArrowLeft: () => seek(Math.ceil(shown) - 1),
    ArrowRight: () => seek(Math.floor(shown) + 1),
    ArrowUp: () => touch(touched + 1),
    ArrowDown: () => touch(touched - 1),
    " ": () => button.click(),
  };

  // ---- drawing -------------------------------------------------------------------------------------------------------

  // The particles between two steps
  function nowAt() {
    const low = Math.min(Math.floor(shown), ready()), part = shown - low, from = states[low], to = states[low + 1];
    return part === 0 || !to ? from : from.map((value, k) => value + part * (to[k] - value));
  }

  function draw() {
    const x = nowAt(), step = Math.floor(shown);
    if (!x || !run) return;
    const guess = guesses[Math.min(step, guesses.length - 1)];
    const wait = playing && field && performance.now() - field.made < PATIENCE;
    if (settings.field && field?.step !== step && !wait) {
      field = { step, made: performance.now(), ...arrows(run, points[Math.min(step, points.length - 2)]) };
    }
    const trail = settings.trails ? states.slice(0, step + 1) : [];
    drawParticles(canvas, { x, guess, classes, touched, trail, field: settings.field ? field : null });
    drawDensity(find(".density.samples"), density(x, CELLS), CELLS, data.most);
    slider.value = step;
    find(".now").textContent = step === settings.steps ? `after ${step} steps` : placeOf(step);
    if (guess && !playing) {
      const at = (from, k) => `(${from[2 * k].toFixed(2)}, ${from[2 * k + 1].toFixed(2)})`;
      find(".touched").textContent = `particle ${touched} at ${at(x, touched)}, predicted x0 ${at(guess, touched)}`;
    }
    root.dataset.step = step;
  }

  // The step in words
  function placeOf(step) {
    const { t, alpha, sigma } = points[step], digits = settings.process === "flow" ? 3 : 0;
    return `step ${step} of ${settings.steps}, t = ${t.toFixed(digits)}: α = ${alpha.toFixed(3)}, σ = ${sigma.toFixed(3)}`;
  }

  // The distance between the particles and the data, once nothing moves
  function measure() {
    clearTimeout(measuring);
    measuring = setTimeout(() => {
      const x = nowAt();
      if (!x || !data || playing) return;
      const found = energyDistance(x, data.reference);
      const text = `energy distance to the data ${found.toFixed(4)}`;
      find(".distance").textContent = `${text} (two draws of the data: ${data.floor.toFixed(4)})`;
      root.dataset.distance = found;
    }, 200);
  }

  // What samples are compared with; both densities are drawn on one scale
  function dataOf(tensors, s) {
    const [reference, other] = twoDraws(tensors[s.data].data, tensors[`${s.data}.labels`].data, s.class);
    const cells = density(reference.concat(other), CELLS);
    return { reference, floor: energyDistance(reference, other), cells, most: Math.max(...cells) };
  }

  const drawData = () => drawDensity(find(".density.data"), data.cells, CELLS, data.most);

  // Settings that change the drawing alone
  function redraw(next) {
    settings = next;
    field = null;
    show(next);
    draw();
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    if (data) drawData();
    draw();
  });
  return { restart, receive, redraw, jobs: (s) => [s] };
}
