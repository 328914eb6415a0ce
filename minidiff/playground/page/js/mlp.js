// The MLP for points in the plane, minidiff.models.MLP: each hidden layer is h + SiLU(linear(h) + time(embedding)).

import { linear, silu, timestepEmbedding } from "./ops.js";

export class MLP {
  constructor(tensors, { width, depth }) {
    const layer = (name) => [tensors[`${name}.weight`].data, tensors[`${name}.bias`].data];
    this.width = width;
    this.classes = tensors["class_embedding.weight"].data;
    this.input = layer("input");
    this.output = layer("output");
    this.hidden = Array.from({ length: depth }, (_, i) => layer(`hidden.${i}`));
    this.times = Array.from({ length: depth }, (_, i) => layer(`times.${i}`));
  }

  // x: Float64Array (B, 2)   t: a number   classes: Int32Array (B,)   ->   (B, 2)
  predict(x, t, classes) {
    const D = this.width, B = classes.length, h = linear(x, ...this.input, B);
    this.times.forEach((time, i) => {
      const inner = linear(h, ...this.hidden[i], B), shifts = new Map(); // the time's part is the same for a whole class
      for (let b = 0; b < B; b++) {
        const c = classes[b];
        if (!shifts.has(c)) shifts.set(c, linear(this.embed(t, c), ...time, 1));
        const shift = shifts.get(c);
        for (let j = 0; j < D; j++) h[b * D + j] += silu(inner[b * D + j] + shift[j]);
      }
    });
    return linear(h, ...this.output, B);
  }

  embed(t, c) {
    const D = this.width;
    return timestepEmbedding(t, D, { flip: false, shift: 1 }).map((value, j) => value + this.classes[c * D + j]);
  }
}
