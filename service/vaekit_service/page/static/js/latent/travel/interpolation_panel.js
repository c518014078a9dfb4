/** The panel that walks from one row or image to another through latent space. */

import { isSuperseded, pathOf } from "../../api.js";
import { whenBack } from "../../service/connection.js";
import { number } from "../../format.js";
import { makeImage } from "../../images/pixels_view.js";
import { thingOf } from "../../input.js";
import { html, live, render, svg } from "../../lit.js";
import { snippets } from "../../snippets.js";
import { decodeBody, MEMBER, serviceOf } from "../calls.js";
import { columnNumber, largestDifferences } from "../decoded.js";
import { dimensionsOf } from "../dimensions.js";
import { endField } from "./end_field.js";
import { firstEnds, nameOf, vectorOf } from "./ends.js";
import { latest } from "../latest.js";
import { line, polyline } from "./paths.js";
import { problemBox } from "../problem_box.js";
import { referenceOf } from "../reference.js";
import { sourceOfVisitor } from "../sources.js";

const IMAGES = 9; // of a strip
const ROWS = 33; // points of a line
const COLUMNS = 12; // that are shown at first, those that change most

/** @type {import("../../panels.js").Panel} */
export const panel = {
  id: "interpolation",
  title: "From A to B",
  view: "latent",
  about: (model) => `A straight line in latent space between two ${thingOf(model)}s, decoded: what the model thinks lies between them.`,
  accepts: (model) => !model.input.window && model.latent_dim >= 1,
  mount(root, context) {
    const walk = new Interpolation(root, context);
    walk.begin();
    return () => walk.end();
  },
};

class Interpolation {
  constructor(root, context) {
    const { model } = context.state.get();
    Object.assign(this, { root, context, model, dimensions: dimensionsOf(model), service: serviceOf(context, model) });
    this.ends = { a: { kind: "sample", row: 0, seed: 1, kept: null }, b: { kind: "sample", row: 0, seed: 2, kept: null } };
    Object.assign(this, { steps: null, problem: null, reference: null, at: 0, all: false });
    const images = model.input.kind === "image";
    this.images = images ? Array.from({ length: IMAGES }, (_, i) => makeImage(`Step ${i + 1} of ${IMAGES}`)) : null;
    this.refused = { a: "", b: "" }; // what the fields of numbers accept, after another number
    this.runner = latest(() => this.load(), (error) => !isSuperseded(error) && this.failed(error));
  }

  begin() {
    const stops = [
      whenBack(this.context.state, () => this.problem, () => this.runner.call()),
      this.context.state.watch(["start"], () => this.draw()),
      this.context.state.watch(["rows", "images"], () => this.rowsChanged()),
      this.context.state.watch(["results"], ({ results }) => {
        if (results?.done === results?.length && !this.isChosen) this.rowsChanged(); // all rows have scores now
      }),
    ];
    this.stop = () => stops.forEach((stop) => stop());
    this.rowsChanged();
  }

  end() {
    this.stop();
    this.runner.stop();
  }

  /** Walk between two rows of the visitor, if there are any, otherwise between two samples. */
  rowsChanged() {
    const state = this.context.state.get();
    this.source = sourceOfVisitor(state, this.model);
    this.isChosen = false; // whether the visitor has chosen an end
    if (this.source) {
      const [a, b] = firstEnds(state, this.source.inputs.n);
      Object.assign(this.ends.a, { kind: "row", row: a });
      Object.assign(this.ends.b, { kind: "row", row: b });
    } else {
      for (const end of Object.values(this.ends)) if (end.kind === "row") end.kind = "sample";
    }
    this.draw();
    this.runner.call();
  }

  async load() {
    const [a, b] = await Promise.all(["a", "b"].map((side) => vectorOf(this.context, this.model, this.ends[side])));
    const latents = line(a, b, this.images ? IMAGES : ROWS, this.dimensions);
    this.reference ??= await referenceOf(this.context, this.model);
    const { mean } = await this.service.decode(latents);
    Object.assign(this, { steps: { latents, mean }, problem: null });
    this.images?.forEach((image, i) => image.show(mean[i]));
    this.draw();
  }

  failed(error) {
    this.problem = error;
    this.draw();
  }

  change(side, patch) {
    this.isChosen = true;
    this.refused[side] = "";
    Object.assign(this.ends[side], patch);
    if (this.ends[side].kind === "selected") this.ends[side].kept = this.context.state.get().start;
    this.draw();
    this.runner.call();
  }

  /** Show the number in use again, and what the field accepts. */
  refuse(side, said) {
    this.refused[side] = said;
    this.draw();
  }

  swap() {
    this.ends = { a: this.ends.b, b: this.ends.a };
    this.refused = { a: "", b: "" };
    this.runner.call();
  }

  draw() {
    render(view(this), this.root);
  }
}

function view(panel) {
  const { steps, problem, runner } = panel;
  return html`<div class="stack">
    <div class="row">${endField(panel, "a")} ${endField(panel, "b")}<button @click=${() => panel.swap()}>Swap</button></div>
    ${["a", "b"].map((side) => (panel.refused[side] === "" ? "" : html`<p class="alarm-text small" role="alert">${side.toUpperCase()} stays ${nameOf(panel.ends[side], panel.source)}. ${panel.refused[side]}</p>`))}
    ${problemBox(problem, () => runner.call())}
    ${problem ? "" : steps ? (panel.images ? strip(panel) : lines(panel)) : html`<p class="quiet">Decoding …</p>`}
    ${steps ? code(panel.context.api, panel.model, steps.latents) : ""}
  </div>`;
}

function strip({ images, ends, source }) {
  return html`<ol class="strip" aria-label="Decoded images from A to B">
    ${images.map((image, i) => html`<li>${image.canvas}<span class="quiet small">${stepName(i, images.length)}</span></li>`)}
  </ol>
  <p class="quiet small">A is ${nameOf(ends.a, source)}, B is ${nameOf(ends.b, source)}.</p>`;
}

function stepName(i, n) {
  return i === 0 ? "A" : i === n - 1 ? "B" : number(i / (n - 1), 2);
}

function lines(panel) {
  const { steps, model, at, ends, all, reference, source } = panel;
  const { columns } = model.input;
  const order = largestDifferences(model, steps.mean[0], steps.mean.at(-1), reference.ranges, all ? columns.length : COLUMNS);
  const showAll = () => {
    panel.all = true;
    panel.draw();
  };
  const index = Math.round(at * (ROWS - 1));
  const moved = ({ target }) => {
    panel.at = Number(target.value);
    panel.draw();
  };
  return html`<label class="field walk">Step from A (0) to B (1): ${number(at, 2)}
      <input type="range" min="0" max="1" step=${1 / (ROWS - 1)} .value=${live(String(at))} @input=${moved}></label>
    <ul class="column-lines">
      ${order.map((d) => columnLine(columns[d], steps.mean.map((row) => row[d]), reference.ranges[d], index))}
    </ul>
    ${order.length < columns.length ? html`<p><button class="plain" @click=${showAll}>Show all ${columns.length} columns</button></p>` : ""}
    <p class="quiet small">A is ${nameOf(ends.a, source)}, B is ${nameOf(ends.b, source)}. The columns that change most come first. Blue band: the usual values of a column.</p>`;
}

function columnLine(column, values, range, index) {
  const levels = column.kind === "category" ? column.levels : null;
  const heights = levels ? values.map((value) => levels.indexOf(value)) : values;
  const box = { width: 100, height: 40, ...boundsOf(heights, levels, range) };
  const y = (value) => box.height - (40 * (value - box.low)) / (box.high - box.low);
  const x = (index / (values.length - 1)) * 100;
  const band = range && !levels ? [y(range.usualHigh), y(range.usualLow)] : null;
  return html`<li>
    <span class="name">${column.name}</span> <span class="value">${columnNumber(values[index], range)}</span>
    <svg viewBox="0 0 100 40" preserveAspectRatio="none" aria-hidden="true">
      ${band ? rectangle(band) : ""}
      <line class="at" x1=${x} x2=${x} y1="0" y2="40"></line>
      <polyline points=${polyline(heights, box)}></polyline>
    </svg>
    <span class="quiet small">${columnNumber(values[0], range)} to ${columnNumber(values.at(-1), range)}</span>
  </li>`;
}

function boundsOf(values, levels, range) {
  if (levels) return { low: -0.3, high: levels.length - 0.7 };
  const low = Math.min(...values, range?.usualLow ?? Infinity);
  const high = Math.max(...values, range?.usualHigh ?? -Infinity);
  const margin = (high - low) * 0.05 || Math.abs(high) * 0.05 || 1;
  return { low: low - margin, high: high + margin };
}

function code(api, model, latents) {
  const several = model.members > 1;
  const ends = [latents[0], latents.at(-1)].map((z) => `[${z.map((value) => Number(value.toFixed(3))).join(", ")}]`);
  const steps = [latents[0], latents[Math.floor(latents.length / 2)], latents.at(-1)];
  const name = JSON.stringify(model.name);
  return snippets({
    api,
    path: pathOf(model, "decode"),
    body: decodeBody(steps.map((z) => z.map((value) => Number(value.toFixed(3)))), several),
    pythonImports: "import numpy as np",
    python: `a, b = np.array(${ends[0]}), np.array(${ends[1]})\nt = np.linspace(0, 1, 9)[:, None]\nsteps = client.decode(a + t * (b - a), model=${name}${several ? `, members=${MEMBER}` : ""}).mean\nprint(steps)`,
    javascript: `const [a, b] = [${ends[0]}, ${ends[1]}];\nconst latents = Array.from({ length: 9 }, (_, i) => a.map((from, d) => from + (i / 8) * (b[d] - from)));\nconst { mean } = await client.decode(latents, { model: ${name}${several ? `, members: ${MEMBER}` : ""} });\nconsole.log(mean);`,
  });
}

const rectangle = ([top, bottom]) => svg`<rect class="usual" x="0" y=${top} width="100" height=${Math.max(bottom - top, 0)}></rect>`;
