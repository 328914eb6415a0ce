// The class-conditional U-Net, minidiff.models.UNet with blocks of one size up, one down, and attention at the coarsest.

import { add, attention, concat, conv2d, groupNorm, upsampleNearest } from "./image_ops.js";
import { linear, silu, timestepEmbedding } from "./ops.js";

export class UNet {
  constructor(tensors, config) {
    this.tensors = tensors;
    this.config = { norm_eps: 1e-5, ...config }; // a run keeps what differs from the model's defaults
  }

  // x: Float64Array (B, S, S, 1)   t: a number   classes: Int32Array (B,)   ->   like x
  predict(x, t, classes) {
    const { block_out_channels: { length: levels }, layers_per_block: layers } = this.config;
    const B = classes.length, side = Math.sqrt(x.length / B);
    const time = this.embed(t, classes);
    let h = this.conv("conv_in", { data: x, B, H: side, W: side, C: 1 });
    const skips = [h];
    for (let level = 0; level < levels; level++) {
      for (let i = 0; i < layers; i++) skips.push((h = this.block(`down_blocks.${level}`, i, h, time)));
      if (level < levels - 1) skips.push((h = this.conv(`down_blocks.${level}.downsamplers.0.conv`, h, 2)));
    }
    h = this.block("mid_block", 1, this.block("mid_block", 0, h, time), time);
    for (let level = 0; level < levels; level++) {
      for (let i = 0; i <= layers; i++) h = this.block(`up_blocks.${level}`, i, concat(h, skips.pop()), time);
      if (level < levels - 1) h = this.conv(`up_blocks.${level}.upsamplers.0.conv`, upsampleNearest(h));
    }
    return this.conv("conv_out", this.norm("conv_norm_out", h, { act: true })).data;
  }

  // The embedding of t and the class for every block, behind the SiLU with which each begins.   -> (B, D)
  embed(t, classes) {
    const sinusoids = timestepEmbedding(t, this.config.block_out_channels[0], { flip: true, shift: 0 });
    const hidden = this.linear("time_embedding.linear_1", sinusoids, 1).map(silu);
    const both = this.linear("time_embedding.linear_2", hidden, 1), D = both.length, y = new Float64Array(classes.length * D);
    const table = this.tensors["class_embedding.weight"].data;
    classes.forEach((c, n) => { for (let j = 0; j < D; j++) y[n * D + j] = silu(both[j] + table[c * D + j]); });
    return y;
  }

  // Residual block i of a stage, and its attention where it has one
  block(stage, i, x, time) {
    const name = `${stage}.resnets.${i}`;
    let h = this.conv(`${name}.conv1`, this.norm(`${name}.norm1`, x, { act: true }));
    h = this.norm(`${name}.norm2`, h, { act: true, time: this.linear(`${name}.time_emb_proj`, time, x.B) });
    h = this.conv(`${name}.conv2`, h);
    const skip = `${name}.conv_shortcut.weight` in this.tensors ? this.conv(`${name}.conv_shortcut`, x) : x;
    return this.attend(`${stage}.attentions.${i}`, add(skip, h));
  }

  // x + attention(norm(x)) over the pixels
  attend(name, x) {
    if (!(`${name}.to_q.weight` in this.tensors)) return x;
    const rows = x.B * x.H * x.W, { data } = this.norm(`${name}.group_norm`, x);
    const [q, k, v] = ["to_q", "to_k", "to_v"].map((part) => this.linear(`${name}.${part}`, data, rows));
    const h = attention(q, k, v, x.B, x.H * x.W, x.C / this.config.attention_head_dim);
    return add(x, { data: this.linear(`${name}.to_out.0`, h, rows) });
  }

  conv(name, x, stride = 1) {
    return conv2d(x, this.tensors[`${name}.weight`], this.tensors[`${name}.bias`].data, stride);
  }

  linear(name, x, rows) {
    return linear(x, this.tensors[`${name}.weight`].data, this.tensors[`${name}.bias`].data, rows);
  }

  norm(name, x, options) {
    const affine = { gamma: this.tensors[`${name}.weight`].data, beta: this.tensors[`${name}.bias`].data };
    return groupNorm(x, affine, this.config.norm_num_groups, this.config.norm_eps, options);
  }
}
