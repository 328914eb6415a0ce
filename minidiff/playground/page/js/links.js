// Where the course explains a setting. Paths lead from the playground to the pages of the site that it is part of.

const chapter = (file, title) => ({ href: `../chapters/${file}.html`, title: `Chapter ${Number(file.slice(0, 2))}: ${title}` });

export const CHAPTERS = {
  noise: chapter("03_adding_noise", "Adding noise"),
  loss: chapter("04_the_loss", "The loss"),
  time: chapter("05_telling_the_time", "Telling the network the time"),
  unet: chapter("06_the_unet", "The U-Net"),
  ddpm: chapter("07_ddpm", "DDPM"),
  skipping: chapter("08_skipping_steps", "Skipping steps"),
  ode: chapter("09_ode_and_sde", "ODE and SDE"),
  guidance: chapter("10_classes_and_guidance", "Guidance"),
  good: chapter("14_how_good_is_it", "How good is it?"),
  flow: chapter("17_flow_matching", "Flow matching"),
};

const OF_SAMPLER = {
  ddpm: "ddpm", ddpm_subset: "skipping", ddim: "skipping", heun: "ode", dpmpp_2m: "ode", flow_euler: "flow", flow_heun: "flow",
};

// A sampler's chapter, and its entry in the list of samplers
export function samplerLinks(name) {
  const entry = name === "flow_heun" ? "flow_euler" : name; // a variant stands under the name of its family
  const code = { href: `../api/samplers.html#minidiff.samplers.${entry}`, title: `The options and the source of ${name}` };
  return [CHAPTERS[OF_SAMPLER[name]], code];
}

const PAGES = [
  "conv2d", "group_norm", "activations", "attention", "linear", "timestep_embedding", "resample", "concat", "embedding",
];
export const OPS = PAGES.map((title) => ({ href: `../derivations/${title}.html`, title }));

// <a> elements, as many as there are links
export function anchors(links) {
  return links.map(({ href, title }, i) => {
    const a = document.createElement("a");
    Object.assign(a, { href, title, textContent: i ? "code" : "why" });
    a.setAttribute("aria-label", title);
    return a;
  });
}
