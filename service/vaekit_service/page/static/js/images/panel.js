/** The panel that scores images of the visitor. */

import { isSuperseded } from "../api.js";
import { whenBack } from "../service/connection.js";
import { counted } from "../format.js";
import { cellsOf, serviceOf } from "../latent/calls.js";
import { problemBox } from "../latent/problem_box.js";
import { asInputs } from "../latent/reference.js";
import { html, render } from "../lit.js";
import { cards } from "./cards.js";
import { imageCode } from "./code.js";
import { isOtherColour, isOtherSize, madeImage, obstacleOf, readImage, shuffled, withOwnNames } from "./read.js";
import { scoreImages } from "./score.js";

const MOST = 200; // images at once, fewer if they are large
const CELLS = 3_000_000; // of these images together

/** @type {import("../panels.js").Panel} */
export const panel = {
  id: "images",
  title: "Images",
  view: "score",
  about: () => "Each image beside what the model makes of it. The heatmap is bright where a pixel surprises the model.",
  accepts: (model) => model.input.kind === "image",
  mount(root, context) {
    const images = new Images(root, context);
    images.begin();
    return () => images.end();
  },
};

class Images {
  constructor(root, context) {
    const { model } = context.state.get();
    Object.assign(this, { root, context, model, read: [], change: null, busy: "", problem: null, reason: null, areSamples: false });
    this.options = { show: "all", scale: "shared" }; // of the cards
  }

  begin() {
    const zone = this.root;
    const over = (event) => {
      event.preventDefault();
      zone.querySelector(".drop")?.classList.toggle("over", event.type === "dragover");
    };
    const dropped = (event) => {
      over(event);
      this.take([...event.dataTransfer.files]);
    };
    for (const type of ["dragover", "dragleave"]) zone.addEventListener(type, over);
    zone.addEventListener("drop", dropped);
    const { state } = this.context;
    const stops = [state.watch(["alpha", "images", "selected"], () => this.draw()), whenBack(state, () => this.problem, () => this.again?.())];
    this.end = () => {
      this.abort?.abort();
      stops.forEach((stop) => stop());
      for (const type of ["dragover", "dragleave"]) zone.removeEventListener(type, over);
      zone.removeEventListener("drop", dropped);
    };
    this.draw();
  }

  /** Read and score files. @param {File[]} files */
  async take(files) {
    if (!files.length) return;
    const most = Math.min(MOST, Math.max(8, Math.floor(CELLS / cellsOf(this.model))));
    if (files.length > most) {
      this.problem = new Error(`These are ${counted(files.length, "file")}; the page takes at most ${most} at once. vae score takes any number.`);
      this.draw();
      return;
    }
    const mine = (this.given = files);
    this.abort?.abort();
    Object.assign(this, { read: [], change: null, areSamples: false, busy: `Reading ${counted(files.length, "file")} …`, problem: null });
    this.context.state.set({ images: null, selected: null }); // of other files
    this.draw();
    const read = [];
    for (const file of files) read.push(await readImage(file, this.model.input)); // one at a time: bitmaps may be large
    if (this.given !== mine) return;
    this.read = withOwnNames(read);
    await this.score();
  }

  /** Six samples of the model, one of them with its pixels shuffled, for visitors without a file. */
  async takeSamples() {
    this.again = () => this.takeSamples();
    this.given = null;
    try {
      const { samples } = await serviceOf(this.context, this.model).sample({ n: 6, seed: 3, observe: true });
      const pixels = asInputs(this.model, samples);
      this.read = pixels.map((image, i) => madeImage(...(i === 5 ? [`sample ${i} with its pixels shuffled`, shuffled(image)] : [`sample ${i}`, image])));
      Object.assign(this, { change: null, areSamples: true });
    } catch (error) {
      this.failed(error);
      return;
    }
    await this.score();
  }

  async score() {
    this.abort?.abort();
    const { signal } = (this.abort = new AbortController());
    this.again = () => this.score();
    const given = this.accepted();
    Object.assign(this, { busy: given.length > 0 ? `Scoring ${counted(given.length, "image")} …` : "", problem: null });
    this.draw();
    if (given.length === 0) return;
    const resize = this.change === "scale";
    try {
      const { list, reason } = await scoreImages(this.context, this.model, given, { resize, signal });
      Object.assign(this, { busy: "", reason });
      const images = { list, resize, areSamples: this.areSamples };
      this.context.state.set({ images, selected: null });
      const scored = list.filter(({ problem }) => problem === null).length;
      this.context.announce(`${counted(scored, "image")} scored.`);
    } catch (error) {
      if (!signal.aborted && !isSuperseded(error)) this.failed(error);
    }
  }

  failed(error) {
    Object.assign(this, { busy: "", problem: error });
    this.draw();
  }

  /** The images that the service takes, as they are or changed as the visitor wants. */
  accepted() {
    const { input } = this.model;
    const readable = this.read.filter(({ fault }) => fault === null);
    if (this.change === "grey") return readable.map((image) => ({ ...image, input: image.pixels }));
    const isTaken = (image) => !isOtherColour(image, input) && (this.change === "scale" || !isOtherSize(image, input));
    return readable.filter(isTaken);
  }

  /** Scale images ("scale"), or also make them grey ("grey"), and score them. */
  changeAll(change) {
    this.change = change;
    this.score();
  }

  /** Change what the cards show. @param {Partial<import("./cards.js").Options>} patch */
  look(patch) {
    Object.assign(this.options, patch);
    this.draw();
  }

  draw() {
    render(view(this), this.root);
  }
}

function view(panel) {
  const { model, busy, problem, reason, context, options } = panel;
  const { images, alpha, selected } = context.state.get();
  const { height, width, channels } = model.input;
  const kind = channels < 3 ? "grey" : "colour";
  return html`<div class="stack">
    <div class="drop">
      <p class="drop-title">Drop images</p>
      <p class="quiet small">PNG or JPEG, ${width} × ${height} pixels, in ${kind}.</p>
      <div class="row">
        <label class="button primary">Choose files
          <input class="visually-hidden" type="file" multiple accept="image/png,image/jpeg"
            @change=${({ target }) => panel.take([...target.files]).then(() => (target.value = ""))}></label>
        <button @click=${() => panel.takeSamples()}>Try samples of the model</button>
      </div>
    </div>
    ${problemBox(problem, problem?.mayPass || problem?.status >= 500 ? panel.again : undefined)}
    ${offers(panel)}
    ${busy ? html`<p class="quiet" role="status">${busy}</p>` : ""}
    ${images?.areSamples ? html`<p class="quiet small">These are samples of the model. One has its pixels shuffled, so that there is an anomaly to see.</p>` : ""}
    ${images ? cards({ images, alpha, selected, reason, options, choose: (i) => choose(context, i), look: (patch) => panel.look(patch) }) : ""}
    ${imageCode(context.api, model)}
  </div>`;
}

/** Select an image and show it on the map of latent space. */
function choose({ state }, i) {
  state.set({ selected: i });
  location.hash = "latent";
}

/** The files that the model does not take as they are, each with the reason, and what the page can change. */
function offers(panel) {
  const { model, read, change } = panel;
  const { width, height } = model.input;
  const left = new Set(panel.accepted().map(({ name }) => name));
  const refused = read.filter(({ name }) => !left.has(name));
  const isScaled = read.some((image) => isOtherSize(image, model.input));
  const isGrey = refused.some((image) => isOtherColour(image, model.input));
  const canScale = change === null && refused.some((image) => isOtherSize(image, model.input) && !isOtherColour(image, model.input));
  return html`${change === null ? "" : html`<p class="message plain">${changed(panel)}</p>`}
    ${refused.length === 0
      ? ""
      : html`<div class="message">
          <ul class="plain-list refused">${refused.map((image) => html`<li><b>${image.name}</b>: ${obstacleOf(image, model.input)}</li>`)}</ul>
          <p class="row">
            ${canScale ? html`<button @click=${() => panel.changeAll("scale")}>Scale to ${width} × ${height} and score</button>` : ""}
            ${isGrey ? html`<button @click=${() => panel.changeAll("grey")}>Convert to grey${isScaled ? ` and scale to ${width} × ${height}` : ""}, and score</button>` : ""}
          </p>
        </div>`}`;
}

/** What was done to the images before they were scored. */
function changed({ read, change, model }) {
  const { width, height } = model.input;
  const scaled = read.filter((image) => isOtherSize(image, model.input) && (change === "grey" || !isOtherColour(image, model.input))).length;
  const grey = change === "grey" ? read.filter((image) => isOtherColour(image, model.input)).length : 0;
  return [
    grey ? `${counted(grey, "image")} converted to grey by this page.` : "",
    scaled ? `${counted(scaled, "image")} scaled to ${width} × ${height} pixels.` : "",
    "Changed images differ from those of the training, so judge their scores with care.",
  ].join(" ");
}
