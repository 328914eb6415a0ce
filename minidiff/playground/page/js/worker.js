// Runs samplers beside the page. In: {id, settings: a list}   Out: {id, row, i, t, x, x0, ms} for each step, {id, row, done}

import { start } from "./job.js";

let current = null;
const { port1, port2 } = new MessageChannel();
let resume = null;
port1.onmessage = () => resume();
// Lets messages in, without the delay of a timer
const breathe = () => new Promise((resolve) => {
  resume = resolve;
  port2.postMessage(0);
});

onmessage = async ({ data: { id, settings } }) => {
  current = id;
  try {
    for (const [row, one] of settings.entries()) {
      const { x, steps } = await start(one);
      postMessage({ id, row, i: -1, t: null, x: Float32Array.from(x), x0: null });
      let i = 0, before = performance.now();
      for (const step of steps) {
        const now = performance.now();
        const [xs, x0] = [step.x, step.x0].map((numbers) => Float32Array.from(numbers));
        postMessage({ id, row, i: i++, t: step.t, x: xs, x0, ms: now - before });
        await breathe();
        if (current !== id) return;
        before = performance.now();
      }
      postMessage({ id, row, done: true });
    }
  } catch (error) {
    postMessage({ id, failure: String(error.message ?? error) });
  }
};
