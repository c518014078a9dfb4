/** The panel with the latent map: rows as points, where near points look alike to the model. */

import { isSuperseded } from "../../api.js";
import { whenBack } from "../../service/connection.js";
import { count, counted } from "../../format.js";
import { aThingOf, thingOf } from "../../input.js";
import { html, render } from "../../lit.js";
import { MapCanvas, palette } from "./canvas.js";
import { sampleCloud } from "../cloud.js";
import { rowsPerCall } from "../calls.js";
import { dimensionsOf, importance, isRowItself } from "../dimensions.js";
import { details } from "./details.js";
import { makePointer } from "./pointer.js";
import { mapCode } from "./code.js";
import { colour, place } from "./placement.js";
import { referenceOf } from "../reference.js";
import { cloudOfVisitor, scoredNow, visitorSource } from "../sources.js";
import { problemBox } from "../problem_box.js";

const SAMPLES = 1000; // fewer if rows are wide

/** @type {import("../../panels.js").Panel} */
export const panel = {
  id: "latent-map",
  title: "Latent map",
  view: "latent",
  about: (model) => `Every point is ${aThingOf(model)}, placed where the encoder puts it: ${thingOf(model)}s that look alike to the model are neighbours.`,
  accepts: (model) => !model.input.window && model.latent_dim >= 1,
  mount(root, context) {
    const map = new LatentMap(root, context);
    map.begin();
    return () => map.end();
  },
};

class LatentMap {
  constructor(root, context) {
    Object.assign(this, { root, context, model: context.state.get().model });
    this.dimensions = dimensionsOf(this.model);
    this.options = { source: null, n: rowsPerCall(this.model, SAMPLES), seed: 1, axes: { kind: "pca" }, colour: "verdict" };
    this.status = { busy: false, problem: null, progress: "" };
    this.cloud = null;
    this.current = -1; // point under the pointer or the focus
    this.chosen = -1; // point that was selected
    this.details = details(context, this.model, () => this.draw());
    this.ends = [];
  }

  begin() {
    const { state } = this.context;
    this.draw();
    const [base, overlay] = this.root.querySelectorAll("canvas");
    this.canvas = new MapCanvas(base, overlay);
    this.pointer = makePointer(overlay, this);
    const observer = new ResizeObserver(() => this.canvas.resize());
    observer.observe(overlay);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const recolour = () => this.show();
    dark.addEventListener("change", recolour);
    this.ends = [
      () => observer.disconnect(),
      () => dark.removeEventListener("change", recolour),
      whenBack(state, () => this.status.problem, () => this.load()),
      state.watch(["rows", "images"], () => this.sourceChanged()),
      state.watch(["results", "alpha"], ({ results }) => this.scoresChanged(results)),
      state.watch(["selected"], ({ selected }) => this.follow(selected)),
    ];
    this.load();
  }

  end() {
    this.abort?.abort();
    this.details.end();
    for (const end of this.ends) end();
  }

  /** Rows have been loaded: show them, unless the visitor chose samples. */
  sourceChanged() {
    if (this.options.source !== "samples") this.load();
    else this.draw();
  }

  /** All rows have scores now: if the map shows some of them, take those that are flagged. */
  scoresChanged(results) {
    if (this.cloud?.isEarly && this.source() === "rows" && results?.done === results?.length) this.load();
    else this.show();
  }

  source() {
    const visitor = visitorSource(this.context.state.get(), this.model);
    return this.options.source === "samples" || visitor === null ? "samples" : visitor;
  }

  async load() {
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    this.status = { busy: true, problem: null, progress: "" };
    this.draw();
    try {
      const reference = await referenceOf(this.context, this.model);
      const cloud = await this.ask(abort.signal);
      if (abort.signal.aborted) return;
      const { order } = importance(cloud.mu, cloud.sigma, this.model);
      Object.assign(this, { reference, cloud, order, current: -1, chosen: -1 });
      this.status.busy = false;
      this.show();
      this.follow(this.context.state.get().selected);
    } catch (error) {
      if (abort.signal.aborted || isSuperseded(error)) return;
      this.status = { busy: false, problem: error, progress: "" };
      this.draw();
    }
  }

  ask(signal) {
    if (this.source() === "samples") return sampleCloud(this.context, this.model, { ...this.options, signal });
    const onProgress = (done, n) => {
      this.status.progress = n > 2000 ? `${Math.round((100 * done) / n)} %` : "";
      this.draw();
    };
    return cloudOfVisitor(this.context, this.model, { signal, onProgress });
  }

  /** Place and colour the points, and draw them. */
  show() {
    if (!this.cloud || !this.canvas) return;
    this.cloud = scoredNow(this.cloud, this.context.state.get());
    const { mu, pValue } = this.cloud;
    const withBackground = this.cloud.source === "samples" ? [] : this.reference.mu;
    const { axes } = this.options;
    if (this.placedFor?.mu !== mu || this.placedFor.axes !== axes) {
      this.placed = place(mu, withBackground, axes, this.dimensions, thingOf(this.model));
      this.placedFor = { mu, axes };
    }
    const by = this.options.colour === "verdict" && pValue.some((p) => p !== null) ? "verdict" : "score";
    const colours = palette();
    this.coloured = by;
    const found = colour(this.cloud, by, this.context.state.get().alpha, colours);
    this.canvas.show({
      points: this.placed.points,
      axisNames: this.placed.axisNames,
      axisLevels: this.placed.axisLevels,
      colours: [...found.colours, ...withBackground.map(() => colours.other)],
      layer: Uint8Array.from([...found.layer, ...withBackground.map(() => 0)]),
    });
    this.draw();
  }

  /** The point of a selected row, if the map shows rows. */
  follow(selected) {
    if (!this.cloud || this.cloud.source === "samples") return;
    const point = selected === null ? -1 : this.cloud.index.indexOf(selected);
    if (point !== this.chosen) this.choose(point);
  }

  /** Move to a point without selecting it. */
  look(point) {
    if (point === this.current) return;
    this.current = point;
    this.details.dwell(this.cloud, point);
    this.draw();
  }

  /** Select a point: the other panels start from it, and its cells are explained. */
  choose(point) {
    this.chosen = point;
    if (point >= 0) {
      const { mu, label, value, index, source } = this.cloud;
      const start = { model: this.model, z: mu[point], label: label(point), value: value(point) };
      this.context.state.set({ start, ...(source === "samples" ? {} : { selected: index[point] }) });
      this.details.open(this.cloud, point, this.reference);
    }
    this.draw();
  }

  change(patch, reload) {
    Object.assign(this.options, patch);
    if (reload) this.load();
    else this.show();
  }

  draw() {
    this.canvas?.mark(this.current, this.chosen);
    render(view(this), this.root);
  }
}

function view(map) {
  const { cloud, status, placed, canvas, context, model } = map;
  const thing = thingOf(model);
  return html`<div class="stack">
    ${controls(map)}
    ${problemBox(status.problem, () => map.load())}
    <div class="latent-map">
      <div class="map-box" data-busy=${status.busy}>
        <canvas aria-hidden="true"></canvas>
        <canvas tabindex="0" role="application" aria-label="Latent map" aria-roledescription=${`map of ${thing}s`} aria-describedby="latent-map-help"></canvas>
        ${status.busy ? html`<p class="map-busy">Encoding ${thing}s ${status.progress} …</p>` : ""}
      </div>
      ${map.details.view({ cloud, current: map.current, chosen: map.chosen, alpha: context.state.get().alpha })}
    </div>
    ${cloud && placed ? legend(map) : ""}
    <p class="quiet small" data-map-caption>${cloud && placed ? caption(map, canvas) : ""}</p>
    <p id="latent-map-help" class="quiet small">Point at ${aThingOf(model)} to see it, click to decode it. By keyboard: arrows move to the next ${thing} in that direction, Home to the most anomalous one, Enter decodes.</p>
    ${mapCode(context, model)}
  </div>`;
}

function legend({ cloud, coloured }) {
  const dot = (kind, text) => html`<span><svg viewBox="0 0 10 10" aria-hidden="true"><circle class=${kind} cx="5" cy="5" r="4"></circle></svg>${text}</span>`;
  const [low, high] = coloured === "verdict" ? ["not flagged", "anomalous"] : ["low score", "high score"];
  return html`<p class="map-legend small">${dot("normal", low)}${dot("anomalous", high)}${cloud.source === "samples" ? "" : dot("other", "samples of the model, to compare with")}</p>`;
}

function caption({ cloud, placed, model }, canvas) {
  const outside = canvas?.layout?.outside ?? 0;
  return [
    placed.explained,
    cloud.sampledOf ? `Shown are ${count(cloud.index.length)} of ${counted(cloud.sampledOf, "row")}: the flagged ones, and others at even distances.` : "",
    outside ? `${outside} far away ${outside === 1 ? "point is" : "points are"} drawn on the edge.` : "",
    cloud.invalid ? `${counted(cloud.invalid, thingOf(model))} cannot be read and ${cloud.invalid === 1 ? "is" : "are"} left out.` : "",
    model.members > 1 ? `Shown is the latent space of the first of ${model.members} members.` : "",
    isRowItself(model) ? "In this model the latent vector is the row itself, standardised." : "",
  ].join(" ");
}

function controls(map) {
  const { options, cloud, dimensions } = map;
  const visitor = visitorSource(map.context.state.get(), map.model);
  const noVerdict = !cloud?.pValue.some((p) => p !== null);
  const option = (value, text, chosen) => html`<option value=${value} ?selected=${value === chosen}>${text}</option>`;
  const order = map.order ?? dimensions.map((_, d) => d);
  const pick = (axis) => (event) => map.change({ axes: { ...options.axes, [axis]: Number(event.target.value) } });
  const axesChanged = ({ target }) =>
    map.change({ axes: target.value === "pca" ? { kind: "pca" } : { kind: "pair", x: order[0], y: order[1] ?? order[0] } });
  const { axes } = options;
  return html`<div class="row map-controls">
    <label class="field">Show
      <select data-map="source" @change=${({ target }) => map.change({ source: target.value }, true)}>
        ${visitor ? option("visitor", visitor === "rows" ? "my rows" : "my images", map.source()) : ""}
        ${option("samples", `${options.n.toLocaleString("en")} samples of the model`, map.source())}
      </select></label>
    <label class="field">Axes
      <select data-map="axes" @change=${axesChanged}>${option("pca", "principal axes", axes.kind)}${option("pair", "two dimensions", axes.kind)}</select></label>
    ${axes.kind === "pair"
      ? ["x", "y"].map(
          (axis) => html`<label class="field">${axis === "x" ? "Across" : "Up"}
            <select data-map=${axis} @change=${pick(axis)}>
              ${order.map((d) => html`<option value=${d} ?selected=${d === axes[axis]}>${dimensions[d].name}</option>`)}
            </select></label>`,
        )
      : ""}
    <label class="field">Colour
      <select data-map="colour" @change=${({ target }) => map.change({ colour: target.value })}>
        ${noVerdict ? "" : option("verdict", "verdict", options.colour)}${option("score", "score", noVerdict ? "score" : options.colour)}
      </select></label>
  </div>`;
}
