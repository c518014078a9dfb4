/** The panel with one slider per latent dimension: the decoded row or image follows them. */

import { whenBack } from "../../service/connection.js";
import { number } from "../../format.js";
import { makeImage } from "../../images/pixels_view.js";
import { numberField } from "../../input.js";
import { html, live, render } from "../../lit.js";
import { snippets } from "../../snippets.js";
import { pathOf } from "../../api.js";
import { decodeBody, listed, MEMBER, serviceOf } from "../calls.js";
import { decodedRow, largestDifferences } from "../decoded.js";
import { centreOf, dimensionsOf, importance, isRowItself, sliderRange } from "../dimensions.js";
import { latest } from "../latest.js";
import { firstOf } from "../map/details.js";
import { problemBox } from "../problem_box.js";
import { asInputs, referenceOf } from "../reference.js";

const FIRST = 8; // sliders that are shown at first
const COLUMNS = 40; // of the decoded row

/** @type {import("../../panels.js").Panel} */
export const panel = {
  id: "latent-sliders",
  title: "Move through latent space",
  view: "latent",
  about: () => "Each slider is one latent dimension, the one that matters most first; what the decoder makes of them follows at once.",
  accepts: (model) => !model.input.window && model.latent_dim >= 1,
  mount(root, context) {
    const sliders = new Sliders(root, context);
    sliders.begin();
    return () => sliders.end();
  },
};

class Sliders {
  constructor(root, context) {
    const { model } = context.state.get();
    Object.assign(this, { root, context, model, dimensions: dimensionsOf(model), service: serviceOf(context, model) });
    this.start = { z: new Array(model.latent_dim).fill(0), label: "the centre" };
    this.z = [...this.start.z];
    this.shown = { z: null, mean: null, probabilities: {}, before: undefined };
    Object.assign(this, { problem: null, reference: null, centre: null, all: false, seed: 1 });
    this.image = model.input.kind === "image" ? makeImage("Decoded image", "pixels large") : null;
    this.decoder = latest((z) => this.decode(z), (error) => this.failed(error));
  }

  begin() {
    const { state } = this.context;
    const stops = [
      state.watch(["start"], ({ start }) => start && this.startFrom(start.z, start.label)),
      whenBack(state, () => this.problem, () => this.again()),
    ];
    this.stop = () => stops.forEach((stop) => stop());
    this.draw();
    this.prepare();
  }

  end() {
    this.stop();
    this.decoder.stop();
  }

  /** Repeat what failed. */
  again() {
    if (this.reference) this.move(this.z);
    else this.prepare();
  }

  async prepare() {
    try {
      this.reference = await referenceOf(this.context, this.model);
      this.order = importance(this.reference.mu, this.reference.sigma, this.model);
      this.centre = centreOf(this.dimensions, this.reference.mu);
      this.problem = null;
      const { start } = this.context.state.get();
      if (start?.model === this.model) this.startFrom(start.z, start.label);
      else this.startFrom(this.centre, "the centre");
    } catch (error) {
      this.failed(error);
    }
  }

  startFrom(z, label) {
    this.start = { z: [...z], label };
    this.shown.before = undefined;
    this.move(z);
  }

  move(z) {
    this.z = [...z];
    this.draw();
    this.decoder.call(this.z);
  }

  async decode(z) {
    const found = await this.service.decode([z]);
    const atStart = z.every((value, d) => value === this.start.z[d]);
    this.shown = {
      z,
      mean: found.mean[0],
      probabilities: firstOf(found.probabilities),
      before: atStart ? found.mean[0] : this.shown.before,
    };
    this.problem = null;
    this.image?.show(found.mean[0]);
    this.draw();
  }

  /** A sample of the model as the start; each press takes the next seed. */
  async drawSample() {
    try {
      const { latents, samples } = await this.service.sample({ n: 1, seed: this.seed, observe: true });
      const z = this.model.members > 1 ? (await this.service.encode(listed(asInputs(this.model, samples)))).mu[0] : latents[0];
      this.startFrom(z, `sample of seed ${this.seed}`);
      this.seed++;
    } catch (error) {
      this.failed(error);
    }
  }

  failed(error) {
    this.problem = error;
    this.draw();
  }

  draw() {
    render(view(this), this.root);
  }
}

function view(panel) {
  const { context, model, problem, reference } = panel;
  return html`<div class="stack">
    ${startRow(panel)}
    ${problemBox(problem, () => panel.again())}
    <div ?hidden=${problem && !reference} class=${`sliders-and-decoded ${panel.image ? "of-image" : ""}`}>
      <div>${reference ? sliders(panel) : problem ? "" : html`<p class="quiet">Asking for samples of the model …</p>`}</div>
      <div class="box decoded-box" aria-busy=${panel.shown.z !== panel.z}>${panel.image ? imageView(panel) : rowView(panel)}</div>
    </div>
    ${code(context.api, model, panel.z)}
  </div>`;
}

function startRow(panel) {
  const { start } = panel.context.state.get();
  const selected = start?.model === panel.model ? start : null;
  const changed = panel.z.some((value, d) => value !== panel.start.z[d]);
  return html`<div class="row">
    <span class="quiet">Start from</span>
    ${selected ? html`<button @click=${() => panel.startFrom(selected.z, selected.label)}>${selected.label}</button>` : ""}
    <button ?disabled=${panel.centre === null} @click=${() => panel.startFrom(panel.centre, "the centre")}>The centre</button>
    <button @click=${() => panel.drawSample()}>A new sample</button>
    <label class="row">seed <input type="number" class="seed" min="0" step="1" .value=${live(String(panel.seed))}
      @change=${numberField({}, (value) => (panel.seed = value))}></label>
    <button ?disabled=${!changed} @click=${() => panel.move(panel.start.z)}>Reset</button>
    <span class="quiet small" data-start>Now from ${panel.start.label}.</span>
  </div>`;
}

function sliders(panel) {
  const { order, all, dimensions } = panel;
  const chosen = all ? order.order : order.order.slice(0, FIRST);
  const most = Math.max(...order.value, 1e-12);
  const rest = dimensions.length - FIRST;
  return html`<ul class="sliders">${chosen.map((d) => slider(panel, dimensions[d], order.value[d] / most))}</ul>
    <p class="quiet small">The blue bar says how much a dimension matters, in ${order.unit}${isRowItself(panel.model) ? "; here each one is a column of the row" : ""}.</p>
    ${rest > 0 && !all ? html`<button class="plain" @click=${() => { panel.all = true; panel.draw(); }}>Show ${rest} more</button>` : ""}`;
}

function slider(panel, dimension, weight) {
  const { index, name } = dimension;
  const range = sliderRange(dimension, panel.reference.mu.map((row) => row[index]), panel.start.z[index]);
  const value = panel.z[index];
  const text = textOf(panel, dimension, value);
  const moved = ({ target }) => panel.move(panel.z.map((old, d) => (d === index ? Number(target.value) : old)));
  return html`<li>
    <label><span class="name">${name}</span>
      <svg class="weight" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect width=${Math.max(100 * weight, 1)} height="4"></rect></svg>
      <input type="range" min=${range.min} max=${range.max} step=${range.step} .value=${live(String(value))} @input=${moved}
        aria-valuetext=${text}>
      <output>${text}</output></label>
  </li>`;
}

/** The level or the decoded value of the column that a dimension stands for, otherwise the latent coordinate. */
function textOf({ shown }, { levels, column }, value) {
  if (levels !== null) return levels[Math.round(value)];
  return column === null || shown.mean === null ? fixed(value) : number(shown.mean[column], 3);
}

/** A latent coordinate with two decimals, without a negative zero. */
function fixed(value) {
  return (Math.round(value * 100) / 100 + 0).toFixed(2).replace("-", "−");
}

function imageView(panel) {
  panel.image.label(`Image decoded from the sliders, starting from ${panel.start.label}`);
  return html`<figure class="centre">${panel.image.canvas}<figcaption>The decoded image, E[x|z].</figcaption></figure>`;
}

function rowView({ model, shown, reference }) {
  if (!shown.mean) return html`<p class="quiet">The decoded row appears here.</p>`;
  const n = model.input.columns.length;
  const isWide = n > COLUMNS;
  const ranges = reference?.ranges ?? [];
  const columns = isWide ? largestDifferences(model, shown.before ?? shown.mean, shown.mean, ranges, COLUMNS) : undefined;
  return html`${decodedRow({ model, ...shown, ranges, columns })}
    ${isWide ? html`<p class="quiet small">The ${COLUMNS} of ${n} columns that have changed most since the start.</p>` : ""}
    <p class="quiet small">Blue: the usual values of a column. Orange mark: beyond them. Grey mark: the start.</p>`;
}

function code(api, model, z) {
  const rounded = z.map((value) => Number(value.toFixed(3)));
  const body = decodeBody([rounded], model.members > 1);
  const name = JSON.stringify(model.name);
  const [python, javascript] = model.members > 1 ? [`, members=${MEMBER}`, `, members: ${MEMBER}`] : ["", ""];
  return snippets({
    api,
    path: pathOf(model, "decode"),
    body,
    python: `decoded = client.decode([${JSON.stringify(rounded)}], model=${name}${python})\nprint(decoded.mean[0])`,
    javascript: `const { mean } = await client.decode([${JSON.stringify(rounded)}], { model: ${name}${javascript} });\nconsole.log(mean[0]);`,
  });
}
