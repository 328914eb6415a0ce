// The page: its settings live in the address, a worker runs the samplers, and the view shows the steps that come in.

import { digits } from "./digits.js";
import { plane } from "./plane.js";
import { fitted, read, write } from "./settings.js";

const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
const views = {}, roots = { plane: document.querySelector("#plane"), digits: document.querySelector("#digits") };
let settings = null, run = 0;

for (const [name, make] of Object.entries({ plane, digits })) views[name] = make(roots[name], change);

function change(key, value) {
  location.replace(write(fitted({ ...settings, [key]: value }))); // `hashchange` takes it from here
}

// Only the drawing depends on these
const DRAWN = ["trails", "field", "shown"];
const without = (s, keys) => JSON.stringify(s && Object.entries(s).filter(([key]) => !keys.includes(key)));

function follow() {
  const before = settings;
  settings = read(location.hash);
  for (const [name, root] of Object.entries(roots)) root.hidden = name !== settings.view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === settings.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const view = views[settings.view];
  if (before && without(before, DRAWN) === without(settings, DRAWN)) return view.redraw(settings);
  Promise.resolve(view.restart(settings)).catch((error) => fail(error.message));
  worker.postMessage({ id: ++run, settings: view.jobs(settings) });
}

worker.onmessage = ({ data }) => {
  if (data.id !== run) return;
  if (data.failure) fail(data.failure);
  else if (data.done) roots[settings.view].dataset.done = `${run}.${data.row}`;
  else views[settings.view].receive(data);
};

function fail(message) {
  Object.assign(document.querySelector("#failure"), { hidden: false, textContent: `This did not work: ${message}` });
}

for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector(".python");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code); // without a clipboard: select it, for Ctrl-C
      button.textContent = "Selected: press Ctrl-C";
    }
    setTimeout(() => { button.textContent = "Copy as Python"; }, 2000);
  });
}

// What the chapters explain, as settings
fetch(new URL("../presets.json", import.meta.url)).then((answer) => answer.json()).then((presets) => {
  const menu = document.querySelector("#presets");
  for (const { chapter, title, settings: hash } of presets) menu.append(new Option(`${chapter}: ${title}`, hash));
  menu.addEventListener("change", () => { if (menu.value) location.hash = menu.value; });
}, (error) => fail(error.message));

addEventListener("hashchange", follow);
follow();
