/** The panel with samples of the model: a grid of images, or a table with histograms. */

import { isSuperseded, pathOf } from "../api.js";
import { whenBack } from "../service/connection.js";
import { download } from "../download.js";
import { counted, number } from "../format.js";
import { numberField, thingOf } from "../input.js";
import { makeImage } from "../images/pixels_view.js";
import { rowsPerCall, serviceOf } from "../latent/calls.js";
import { problemBox } from "../latent/problem_box.js";
import { html, live, nothing, render } from "../lit.js";
import { snippets } from "../snippets.js";
import { recordOf } from "../rows/csv.js";
import { histogram } from "./histograms.js";

const SHOWN = 8; // rows of the table
const COLUMNS = 12; // histograms that are shown at first
const COUNTS = { image: [4, 12, 24, 48, 96], vector: [50, 200, 1000, 5000] };

/** @type {import("../panels.js").Panel} */
export const panel = {
  id: "samples",
  title: "Samples",
  view: "latent",
  about: (model) => `New ${thingOf(model)}s that the model makes up. If it has learnt the data, they look like real ones.`,
  accepts: (model) => !model.input.window,
  mount(root, context) {
    const samples = new Samples(root, context);
    const stop = whenBack(context.state, () => samples.problem, () => samples.load());
    samples.load();
    return () => {
      stop();
      samples.end();
    };
  },
};

class Samples {
  constructor(root, context) {
    const { model } = context.state.get();
    Object.assign(this, { root, context, model, service: serviceOf(context, model) });
    const images = model.input.kind === "image";
    this.counts = COUNTS[model.input.kind].filter((n, i) => i === 0 || n <= rowsPerCall(model, n));
    this.options = { n: this.counts.findLast((n) => n <= (images ? 24 : 200)) ?? this.counts[0], seed: 1, temperature: 1, observe: !images };
    this.least = canCool(model) ? 0 : 1;
    this.images = images ? [] : null; // canvases
    Object.assign(this, { found: null, problem: null, busy: false, all: false });
  }

  end() {
    this.abort?.abort();
  }

  async load() {
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    this.busy = true;
    this.draw();
    try {
      const found = await this.service.sample(this.body(), { signal: abort.signal });
      Object.assign(this, { found, problem: null, busy: false });
      if (this.images) this.showImages(found.samples);
    } catch (error) {
      if (abort.signal.aborted || isSuperseded(error)) return;
      Object.assign(this, { problem: error, busy: false });
    }
    this.draw();
  }

  body() {
    const { n, seed, temperature, observe } = this.options;
    return { n, seed, temperature, observe };
  }

  showImages(samples) {
    while (this.images.length < samples.length) this.images.push(makeImage(""));
    samples.forEach((sample, i) => this.images[i].show(sample));
  }

  change(patch) {
    Object.assign(this.options, patch);
    this.load();
  }

  /** Sliders and interpolation start from a sample. */
  use(i) {
    const z = this.found.latents[i];
    const label = `sample ${i} of seed ${this.found.seed}`;
    this.context.state.set({ start: { model: this.model, z, label, value: this.found.samples[i] } });
    this.context.announce(`The sliders start from ${label}.`);
    document.getElementById("latent-sliders")?.scrollIntoView({ block: "start" });
  }

  async save() {
    const { model, options, found } = this;
    const name = `${model.name}-samples-${options.seed}`;
    if (!this.images) {
      const records = [model.input.columns.map((column) => column.name), ...found.samples].map((cells) => recordOf(cells));
      download(`${name}.csv`, new Blob([records.join("\n"), "\n"], { type: "text/csv" }));
      return;
    }
    try {
      const reply = await this.context.api.post(pathOf(model, "sample"), { body: this.body(), accept: "image/png" });
      download(`${name}.png`, await reply.blob());
    } catch (error) {
      this.problem = error;
      this.draw();
    }
  }

  draw() {
    render(view(this), this.root);
  }
}

/** Whether temperatures below 1 are allowed: samples of priors made of training rows would be copies of these. */
function canCool(model) {
  return !model.privacy?.training_rows || model.privacy.allow_low_temperature === true;
}

function view(panel) {
  const { context, model, problem, found, images, busy } = panel;
  return html`<div class="stack">
    ${controls(panel)}
    ${problemBox(problem, () => panel.load())}
    ${found ? html`<div data-busy=${busy}>${images ? grid(panel) : table(panel)}</div>` : problem ? "" : html`<p class="quiet">Drawing samples …</p>`}
    ${code(context.api, model, panel.body())}
  </div>`;
}

function controls(panel) {
  const { options, least, counts, found } = panel;
  const seed = numberField({}, (value) => panel.change({ seed: value }));
  const temperature = numberField({ whole: false, least, most: 5 }, (value) => panel.change({ temperature: value }));
  return html`<div class="row">
    <label class="field">Number
      <select data-samples="n" @change=${({ target }) => panel.change({ n: Number(target.value) })}>
        ${counts.map((n) => html`<option value=${n} ?selected=${n === options.n}>${n.toLocaleString("en")}</option>`)}
      </select></label>
    <label class="field">Seed
      <input type="number" class="seed" min="0" step="1" .value=${live(String(options.seed))} @change=${seed}></label>
    <label class="field">Temperature
      <input type="number" class="seed" min=${least} max="5" step="0.1" .value=${live(String(options.temperature))} @change=${temperature}
        aria-describedby=${least ? "cool-why" : nothing}></label>
    <label class="row"><input type="checkbox" .checked=${live(options.observe)} @change=${({ target }) => panel.change({ observe: target.checked })}>
      with the noise of the likelihood</label>
    <button @click=${() => panel.change({ seed: options.seed + 1 })}>New samples</button>
    <button ?disabled=${!found} @click=${() => panel.save()}>Download ${panel.images ? "PNG" : "CSV"}</button>
  </div>
  ${least ? html`<p id="cool-why" class="quiet small">Temperatures below 1 would give near copies of training rows, so this model refuses them.</p>` : ""}`;
}

function grid(panel) {
  const { images, found, model } = panel;
  const canUse = model.members === 1;
  return html`<ul class="sample-grid">
      ${found.samples.map((_, i) => {
        images[i].label(`Sample ${i}`);
        return canUse
          ? html`<li><button class="tile" aria-label="Start the sliders from sample ${i}" @click=${() => panel.use(i)}>${images[i].canvas}</button></li>`
          : html`<li>${images[i].canvas}</li>`;
      })}
    </ul>
    ${canUse ? html`<p class="quiet small">Press an image to start the sliders from it.</p>` : ""}`;
}

function table(panel) {
  const { found, model, all } = panel;
  const { columns } = model.input;
  const shown = all ? columns : columns.slice(0, COLUMNS);
  const showAll = () => {
    panel.all = true;
    panel.draw();
  };
  const rows = found.samples.slice(0, SHOWN);
  return html`<ul class="histograms">
      ${shown.map((column, d) => bars(histogram(column, found.samples.map((row) => row[d]))))}
    </ul>
    ${shown.length < columns.length ? html`<p><button class="plain" @click=${showAll}>Show all ${columns.length} columns</button></p>` : ""}
    <h3 class="first-rows">The first ${counted(rows.length, "row")}</h3>
    <div class="scroll" tabindex="0" role="region" aria-label="Sampled rows">
      <table>
        <thead><tr>${columns.map(({ name }) => html`<th scope="col">${name}</th>`)}</tr></thead>
        <tbody>${rows.map((row) => html`<tr>${row.map((value) => html`<td>${number(value)}</td>`)}</tr>`)}</tbody>
      </table>
    </div>`;
}

function bars({ name, bars: all, summary }) {
  const most = Math.max(...all.map(({ count }) => count), 1);
  return html`<li>
    <span class="name">${name}</span>
    <div class="bars" role="img" aria-label="${name}: ${summary}">
      ${all.map(({ label, count }) => {
        const title = `${label}: ${count}`;
        return html`<svg viewBox="0 0 10 40" preserveAspectRatio="none"><title>${title}</title>
          <rect x="0.4" width="9.2" y=${40 - (40 * count) / most} height=${(40 * count) / most}></rect></svg>`;
      })}
    </div>
    <span class="quiet small">${summary}</span>
  </li>`;
}

function code(api, model, body) {
  const name = JSON.stringify(model.name);
  const { n, ...rest } = body;
  const python = Object.entries(rest).map(([key, value]) => `${key}=${value === true ? "True" : value === false ? "False" : value}`);
  const javascript = Object.entries(rest).map(([key, value]) => `${key}: ${value}`);
  return snippets({
    api,
    path: pathOf(model, "sample"),
    body,
    python: `samples = client.sample(${n}, model=${name}, ${python.join(", ")}).samples\nprint(samples.shape)`,
    javascript: `const { samples } = await client.sample(${n}, { model: ${name}, ${javascript.join(", ")} });\nconsole.log(samples.length);`,
  });
}
