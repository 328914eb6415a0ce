// Moves the page through a run and sends what its three canvases show after each step.
import { open, send, until } from "./frame.js";

try {
  const { settings, side } = await (await fetch("cases.json")).json();
  const { find, plane, window } = await open(1280, settings), shots = [];
  await until("the end of the run", () => plane.dataset.distance);
  find(".particles").width = find(".particles").height = side;
  const slider = find(".time");
  for (let step = 0; step <= Number(slider.max); step++) {
    slider.value = step;
    slider.dispatchEvent(new window.Event("input"));
    shots.push([".particles", ".density.data", ".density.samples"].map((name) => find(name).toDataURL()));
  }
  await send(shots);
} catch (error) {
  await send(String(error.stack ?? error));
}
