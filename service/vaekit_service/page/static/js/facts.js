/** The panel with the facts of the model. */

import { pathOf } from "./api.js";
import { capitalised, count, counted, day, number, percent } from "./format.js";
import { thingOf } from "./input.js";
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

/** Name and value of each fact; what was not measured is left out. @param {object} model manifest */
export function factsOf(model) {
  const { calibration } = model;
  const thing = thingOf(model);
  const entry = calibration?.entries[0];
  return [
    ["Version", `${model.version}, of ${day(model.created)}`],
    [`${capitalised(thing)}s`, inputOf(model.input)],
    ["Likelihood", model.likelihood.name],
    ["Prior", model.prior.name],
    ["Latent dimensions", count(model.latent_dim)],
    [`Draws per ${thing}`, count(model.draws.default)],
    ["Calibration", entry ? counted(entry.n, thing) + (entry.folds ? ` in ${entry.folds.length} folds` : "") : "none"],
    ...measured(model.metrics ?? {}, thing),
    ["Device", model.device],
    ["Bundle format", model.format],
  ];
}

/** What was measured on rows that were held out for testing. */
function measured({ elbo, false_alarm_rate: alarms, auroc, detection_rate: detected }, thing) {
  const share = ({ value, n }, one, many = `${one}s`) => percent(value) + (n === null ? "" : ` of ${count(n)} ${n === 1 ? one : many}`);
  return [
    elbo && [`Mean ELBO of test ${thing}s`, `${number(elbo.value)} nats`],
    alarms && [`False alarms${at(alarms)}`, share(alarms, `test ${thing}`)],
    auroc && [`AUROC on labelled ${thing}s`, number(auroc.value, 3)],
    detected && [`Detected${at(detected)}`, share(detected, "anomaly", "anomalies")],
  ].filter(Boolean);
}

/** The false-alarm rate of a metric, which its unit names. */
function at({ unit }) {
  const alpha = /alpha = ([\d.]+)/.exec(unit ?? "")?.[1];
  return alpha === undefined ? "" : ` at alpha ${alpha}`;
}

function inputOf(input) {
  if (input.kind === "image") return `${input.height} × ${input.width} × ${input.channels}`;
  const { window } = input;
  return window ? `windows of ${window.steps} steps, ${counted(window.columns.length, "column")}` : counted(input.columns.length, "column");
}
