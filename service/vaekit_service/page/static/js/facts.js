/** The panel with the facts of the model. */

import { pathOf } from "./api.js";
import { count, counted, day, number, percent } from "./format.js";
import { html, render } from "./lit.js";
import { snippets } from "./snippets.js";

/** @type {import("./panels.js").Panel} */
export const panel = {
  id: "facts",
  title: "About this model",
  view: "model",
  accepts: () => true,
  mount(root, { state, api }) {
    const { model } = state.get();
    render(
      html`<dl class="facts">${factsOf(model).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
        ${snippets({ api, method: "GET", path: pathOf(model), python: pythonOf(model), javascript: javascriptOf(model) })}`,
      root,
    );
    return () => {};
  },
};

const pythonOf = (model) => `manifest = client.model("${model.name}", ${model.version})
print(manifest.likelihood.name, manifest.latent_dim)`;

const javascriptOf = (model) => `const manifest = await client.model("${model.name}", { version: ${model.version} });
console.log(manifest.likelihood.name, manifest.latent_dim);`;

/** Name and value of each fact. */
function factsOf(model) {
  const { metrics = {}, calibration } = model;
  const entry = calibration?.entries[0];
  return [
    ["Version", `${model.version}, of ${day(model.created)}`],
    ["Rows", inputOf(model.input)],
    ["Likelihood", model.likelihood.name],
    ["Prior", model.prior.name],
    ["Latent dimensions", count(model.latent_dim)],
    ["Draws per row", count(model.draws.default)],
    ["Calibration", entry ? counted(entry.n, "row") + (entry.folds ? ` in ${entry.folds.length} folds` : "") : "none"],
    ["Mean ELBO of test rows", metrics.elbo ? `${number(metrics.elbo.value)} nats` : "–"],
    ["AUROC on labelled rows", metrics.auroc ? number(metrics.auroc.value, 3) : "–"],
    ["Detected at alpha 0.05", metrics.detection_rate ? percent(metrics.detection_rate.value) : "–"],
    ["Device", model.device],
    ["Bundle format", model.format],
  ];
}

function inputOf(input) {
  if (input.kind === "image") return `images, ${input.height} × ${input.width} × ${input.channels}`;
  const { window } = input;
  return window ? `windows of ${window.steps} steps, ${counted(window.columns.length, "column")}` : counted(input.columns.length, "column");
}
