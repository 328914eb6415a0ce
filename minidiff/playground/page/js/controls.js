// The controls of a view: each changes one setting, shows its value, and links to the page that explains it.

import { anchors } from "./links.js";

// form: where to put them   specs: [{key, label, links, ...}]   change(key, value) is called with a new value
// A spec has `options` (settings -> [[value, text]]), or `range` [low, high, step], or `check`, or `text` (a pattern).
// The slider of a range moves over `stops` where there are any, and is left out with slider: false.
// off(settings) -> why the control has no effect now, or "".   -> show(settings), which updates all of them
export function controls(form, specs, change) {
  form.addEventListener("submit", (event) => event.preventDefault());
  const shows = specs.map((spec) => control(form, spec, change));
  return (settings) => shows.forEach((show) => show(settings));
}

// Numbers of steps worth trying: a few have as much room as many
export const STEPS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500, 750, 1000];

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function control(form, spec, change) {
  const id = `${form.parentElement.id}-${spec.key}`;
  const value = element("span", { className: "value" }), why = element("span", { className: "why" });
  const row = element("div", { className: "control" }, element("label", { htmlFor: id, textContent: spec.label }), value, why);
  form.append(row);
  const kind = spec.options ? "select" : "input", input = element(kind, { id });
  const set = (raw) => change(spec.key, raw);
  value.append(input);
  let second = null;
  if (spec.options) input.addEventListener("change", () => set(input.value));
  else if (spec.check) {
    input.type = "checkbox";
    input.addEventListener("change", () => set(input.checked ? 1 : 0));
  } else if (spec.text) {
    Object.assign(input, { type: "text", pattern: spec.text, maxLength: 4, inputMode: "numeric" });
    input.addEventListener("change", () => set(input.value));
  } else {
    const [low, high, step] = spec.range;
    second = element("input", { type: "number", min: low, max: high, step, ariaLabel: `${spec.label}, as a number` });
    second.addEventListener("change", () => set(Number(second.value)));
    if (spec.slider === false) value.replaceChildren(Object.assign(second, { id, ariaLabel: null }));
    else {
      const ends = spec.stops ? { min: 0, max: spec.stops.length - 1 } : { min: low, max: high, step };
      Object.assign(input, { type: "range" }, ends);
      input.addEventListener("input", () => set(spec.stops ? spec.stops[input.value] : Number(input.value)));
      value.append(second);
    }
  }
  return (settings) => {
    const now = settings[spec.key], off = spec.off?.(settings) ?? "";
    row.classList.toggle("off", off !== "");
    row.title = off;
    for (const one of [input, second]) if (one) one.disabled = off !== "";
    if (spec.options) {
      const options = spec.options(settings);
      if (input.dataset.shown !== JSON.stringify(options)) {
        input.replaceChildren(...options.map(([one, text]) => element("option", { value: one, textContent: text })));
        input.dataset.shown = JSON.stringify(options);
      }
      input.value = now;
    } else if (spec.check) input.checked = Boolean(now);
    else if (spec.text) input.value = now;
    else {
      second.value = now;
      input.value = spec.stops ? spec.stops.findLastIndex((stop) => stop <= now) : now;
      if (spec.stops) input.setAttribute("aria-valuetext", now);
    }
    const links = typeof spec.links === "function" ? spec.links(settings) : spec.links;
    if (row.dataset.links !== JSON.stringify(links)) {
      why.replaceChildren(...anchors(links));
      row.dataset.links = JSON.stringify(links);
    }
  };
}
