// What the check pages share: the page in a frame, waiting, and the report.
export const send = (value) => fetch("report", { method: "POST", body: JSON.stringify(value) });
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function until(what, condition, seconds = 60) {
  for (let k = 0; k < seconds * 20; k++, await pause(50)) if (condition()) return;
  throw new Error(`waited ${seconds} s for ${what}`);
}

// The page in a frame of this width, with these settings
export async function open(width, hash) {
  const frame = Object.assign(document.createElement("iframe"), { width, height: 900, src: `../index.html#${hash}` });
  document.body.replaceChildren(frame);
  await until("the page", () => frame.contentDocument?.querySelector(".controls .control"));
  const { contentWindow: window, contentDocument: page } = frame, find = (selector) => page.querySelector(selector);
  const { scrollWidth, clientWidth } = page.documentElement;
  return { window, page, find, plane: find("#plane"), wide: scrollWidth - clientWidth };
}
