// What the plane's canvases show. Colours are those of the style sheet, so that they follow light and dark.

import { REACH } from "./density.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const TRAILS = 60, APART = 31; // so many particles leave one, and every 31st: of all classes

// x: particles (N, 2)   classes (N,), which colours them   guess: their predicted x0   touched: the index of one
// trail: earlier x, first to last
// field: {from, move} or null
export function drawParticles(canvas, { x, guess, classes, touched, trail, field }) {
  const { width, height } = canvas, pen = canvas.getContext("2d");
  const h = (value) => ((value / REACH + 1) * width) / 2, v = (value) => ((1 - value / REACH) * height) / 2;
  pen.clearRect(0, 0, width, height);
  if (field) drawField(pen, field, h, v, width);
  pen.strokeStyle = colour("trail");
  pen.lineWidth = 0.8;
  const stride = Math.max(1, Math.floor(trail.length / 200));
  if (trail.length) {
    pen.beginPath();
    for (let k = 0; k < TRAILS; k++) path(pen, trail, x, k * APART, stride, h, v);
    pen.stroke();
  }
  pen.globalAlpha = 0.7;
  for (const one of new Set(classes)) {
    pen.fillStyle = colour(`class-${one}`);
    classes.forEach((c, k) => { if (c === one) pen.fillRect(h(x[2 * k]) - 1.25, v(x[2 * k + 1]) - 1.25, 2.5, 2.5); });
  }
  pen.globalAlpha = 1;
  pen.strokeStyle = pen.fillStyle = colour("touched");
  pen.lineWidth = 2;
  pen.beginPath();
  path(pen, trail, x, touched, stride, h, v);
  pen.stroke();
  const a = h(x[2 * touched]), b = v(x[2 * touched + 1]);
  pen.beginPath();
  pen.arc(a, b, 5, 0, 7);
  pen.fill();
  if (guess) {
    const c = h(guess[2 * touched]), d = v(guess[2 * touched + 1]);
    pen.setLineDash([5, 4]);
    pen.beginPath();
    pen.moveTo(a, b);
    pen.lineTo(c, d);
    pen.stroke();
    pen.setLineDash([]);
    pen.beginPath();
    for (const [p, q] of [[-6, -6], [-6, 6]]) {
      pen.moveTo(c + p, d + q);
      pen.lineTo(c - p, d - q);
    }
    pen.stroke();
  }
}

function path(pen, trail, x, k, stride, h, v) {
  for (let i = 0; i < trail.length; i += stride) pen[i ? "lineTo" : "moveTo"](h(trail[i][2 * k]), v(trail[i][2 * k + 1]));
  if (trail.length) pen.lineTo(h(x[2 * k]), v(x[2 * k + 1]));
}

// Arrows no longer than their cell of the lattice; the longest has that length
function drawField(pen, { from, move }, h, v, width) {
  const room = (width / Math.sqrt(from.length / 2)) * 0.9;
  let most = 1e-12;
  for (let k = 0; k < move.length; k += 2) most = Math.max(most, Math.hypot(move[k], move[k + 1]));
  pen.strokeStyle = colour("field");
  pen.lineWidth = 1.2;
  pen.beginPath();
  for (let k = 0; k < move.length; k += 2) {
    const size = Math.hypot(move[k], move[k + 1]);
    const length = room * Math.sqrt(size / most);
    if (length < 1) continue;
    const p = (move[k] / size) * length, q = (-move[k + 1] / size) * length, a = h(from[k]) - p / 2, b = v(from[k + 1]) - q / 2;
    pen.moveTo(a, b);
    pen.lineTo(a + p, b + q);
    for (const turn of [2.6, -2.6]) {
      pen.moveTo(a + p, b + q);
      const c = 0.3 * Math.cos(turn), s = 0.3 * Math.sin(turn);
      pen.lineTo(a + p + p * c - q * s, b + q + p * s + q * c);
    }
  }
  pen.stroke();
}

// cells (side, side), from the ground's colour at 0 to the particles' colour at `most`; the root shows thin parts
export function drawDensity(canvas, cells, side, most) {
  const small = new OffscreenCanvas(side, side), pen = small.getContext("2d"), image = pen.createImageData(side, side);
  const [r, g, b] = colour("particle").match(/\w\w/g).map((part) => parseInt(part, 16));
  cells.forEach((value, k) => image.data.set([r, g, b, 255 * Math.sqrt(Math.min(value / most, 1))], 4 * k));
  pen.putImageData(image, 0, 0);
  const wide = canvas.getContext("2d");
  wide.clearRect(0, 0, canvas.width, canvas.height);
  wide.drawImage(small, 0, 0, canvas.width, canvas.height);
}
