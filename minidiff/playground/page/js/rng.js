// Counter-based random numbers, the same as minidiff.rng.Rng in float64: Philox 4x32, Salmon et al. 2011.

const M0 = 0xd2511f53, M1 = 0xcd9e8d57; // the two multipliers
const W0 = 0x9e3779b9, W1 = 0xbb67ae85; // what the key grows by each round

// The high 32 bits of a product of two 32-bit words, by halves of 16 bits; Math.imul gives the low ones.
function high(a, b) {
  const a0 = a & 0xffff, a1 = a >>> 16, b0 = b & 0xffff, b1 = b >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const carry = a0 * b1 + (middle & 0xffff);
  return (a1 * b1 + (middle >>> 16) + Math.floor(carry / 65536)) >>> 0;
}

export class Rng {
  // seed: a whole number below 2^53. Each draw takes the next call of the counter.
  constructor(seed) {
    this.key = [seed >>> 0, Math.floor(seed / 4294967296) >>> 0];
    this.call = 0;
  }

  // n words of 32 random bits
  bits(n) {
    const words = new Uint32Array(4 * Math.ceil(n / 4));
    for (let block = 0; 4 * block < n; block++) {
      let [k0, k1] = this.key;
      let c0 = block, c1 = this.call, c2 = 0, c3 = 0; // stream 0, step 0
      for (let round = 0; round < 10; round++) {
        const h0 = high(c0, M0), l0 = Math.imul(c0, M0), h1 = high(c2, M1), l1 = Math.imul(c2, M1);
        [c0, c1, c2, c3] = [(h1 ^ c1 ^ k0) >>> 0, l1 >>> 0, (h0 ^ c3 ^ k1) >>> 0, l0 >>> 0];
        k0 = (k0 + W0) >>> 0;
        k1 = (k1 + W1) >>> 0;
      }
      words.set([c0, c1, c2, c3], 4 * block);
    }
    this.call += 1;
    return words;
  }

  // uniform on [0, 1) with 53 random bits
  random(n) {
    const words = this.bits(2 * n), u = new Float64Array(n);
    for (let i = 0; i < n; i++) u[i] = ((words[2 * i] >>> 5) * 67108864 + (words[2 * i + 1] >>> 6)) / 9007199254740992;
    return u;
  }

  // normal numbers, by Box and Muller
  standardNormal(n) {
    const pairs = Math.ceil(n / 2), u = this.random(2 * pairs), z = new Float64Array(2 * pairs);
    for (let i = 0; i < pairs; i++) {
      const radius = Math.sqrt(-2 * Math.log(1 - u[i])), angle = u[pairs + i] * 2 * Math.PI;
      z[i] = radius * Math.cos(angle);
      z[pairs + i] = radius * Math.sin(angle);
    }
    return z.subarray(0, n);
  }
}
