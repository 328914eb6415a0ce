// Runs each case of cases.json with the page's own modules and sends back where its samples end.
import { send } from "./frame.js";
import { start } from "../js/job.js";
import { fitted, DEFAULTS } from "../js/settings.js";
import { pythonOfDigits, pythonOfPlane } from "../js/copy_python.js";

try {
  const cases = await (await fetch("cases.json")).json(), ends = [];
  for (const { settings, count } of cases) {
    const s = fitted({ ...DEFAULTS, ...settings }), { x, steps } = await start(s, count);
    let last = null, walked = 0;
    for (const step of steps) [last, walked] = [step, walked + 1];
    const python = s.view === "digits" ? pythonOfDigits(s, [s.sampler]) : pythonOfPlane(s);
    ends.push({ start: [...x], end: [...last.x], x0: [...last.x0], walked, python });
  }
  await send(ends);
} catch (error) {
  await send(String(error.stack ?? error));
}
