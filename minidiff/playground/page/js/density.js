// The density of points in the plane, and how far two sets of points are apart.

export const REACH = 2.7; // the plane is shown from -REACH to REACH

// Points (N, 2) as a smooth histogram of side x side cells, a Gaussian of standard deviation `width` for each point
export function density(points, side, width = 0.09) {
  const cells = new Float64Array(side * side), scale = side / (2 * REACH);
  for (let i = 0; i < points.length; i += 2) {
    const column = Math.floor((points[i] + REACH) * scale), row = Math.floor((REACH - points[i + 1]) * scale);
    const inside = column >= 0 && column < side && row >= 0 && row < side;
    if (inside) cells[row * side + column] += (2 / points.length) * scale * scale;
  }
  const reach = Math.ceil(3 * width * scale), bell = (k) => Math.exp(-0.5 * ((k - reach) / (width * scale)) ** 2);
  const kernel = Array.from({ length: 2 * reach + 1 }, (_, k) => bell(k));
  const total = kernel.reduce((a, b) => a + b, 0);
  return blur(blur(cells, side, kernel, total, 1), side, kernel, total, side);
}

function blur(cells, side, kernel, total, stride) {
  const y = new Float64Array(cells.length), reach = (kernel.length - 1) / 2;
  for (let a = 0; a < side; a++)
    for (let b = 0; b < side; b++) {
      const at = stride === 1 ? a * side + b : b * side + a;
      if (cells[at] === 0) continue;
      const low = Math.max(-reach, -b), high = Math.min(reach, side - 1 - b);
      for (let k = low; k <= high; k++) y[at + k * stride] += (cells[at] * kernel[k + reach]) / total;
    }
  return y;
}

// Two halves of the points (N, 2) with a class, or of all with "all" and "none"
export function twoDraws(points, labels, chosen) {
  const parts = [[], []];
  labels.forEach((label, k) => {
    if (!["all", "none"].includes(chosen) && label !== Number(chosen)) return;
    parts[k < labels.length / 2 ? 0 : 1].push(points[2 * k], points[2 * k + 1]);
  });
  return parts;
}

// Energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'|, 0 for equal distributions. Székely and Rizzo 2013
export function energyDistance(x, y) {
  return 2 * meanDistance(x, y) - meanDistance(x, x) - meanDistance(y, y);
}

function meanDistance(x, y) {
  let total = 0;
  for (let i = 0; i < x.length; i += 2)
    for (let j = 0; j < y.length; j += 2) {
      const dx = x[i] - y[j], dy = x[i + 1] - y[j + 1];
      total += Math.sqrt(dx * dx + dy * dy);
    }
  return total / ((x.length / 2) * (y.length / 2));
}
