// Reads a checkpoint of minidiff: a safetensors file with float16 or float32 weights and the run's configuration.

// name -> {shape, data: Float64Array, or the integers as they are}; config: what the run kept, or null
export function parse(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const tensors = {};
  const { __metadata__: meta, ...entries } = header;
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(entries)) {
    tensors[name.replace(/^weights\//, "")] = { shape, data: decode(dtype, buffer.slice(8 + length + from, 8 + length + to)) };
  }
  return { tensors, config: meta ? JSON.parse(meta.minidiff).config.run : null };
}

function decode(dtype, bytes) {
  if (dtype === "F16") return Float64Array.from(new Uint16Array(bytes), half);
  if (dtype === "F32") return Float64Array.from(new Float32Array(bytes));
  if (dtype === "U8") return new Uint8Array(bytes);
  throw new Error(`dtype: got ${dtype}, expected F16, F32 or U8`);
}

// The number that 16 bits stand for: 1 bit of sign, 5 of exponent, 10 of fraction
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

export async function open(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${answer.statusText}`);
  return parse(await answer.arrayBuffer());
}
