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
import { isOtherSize, madeImage, readImage, shuffled } from "./read.js";
import { scoreImages } from "./score.js";

const MOST = 200; // images at once, fewer if they are large
const CELLS = 3_000_000; // of these images together

/** @type {import("../panels.js").Panel} */
export const panel = {
  id: "images",
  title: "Images",
  view: "score",
  about: "Each image beside what the model makes of it. The heatmap is bright where a pixel surprises the model.",
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
    Object.assign(this, { root, context, model, read: [], resize: false, busy: false, problem: null, reason: null });
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
    this.read = await Promise.all(files.map((file) => readImage(file, this.model.input)));
    this.resize = false;
    await this.score();
  }

  /** Six samples of the model, one of them with its pixels shuffled, for visitors without a file. */
  async takeSamples() {
    try {
      const { samples } = await serviceOf(this.context, this.model).sample({ n: 6, seed: 3, observe: true });
      const pixels = asInputs(this.model, samples);
      this.read = pixels.map((image, i) => madeImage(...(i === 5 ? [`sample ${i}, shuffled`, shuffled(image)] : [`sample ${i}`, image])));
      this.resize = false;
    } catch (error) {
      this.failed(error);
      return;
    }
    await this.score();
  }

  async score() {
    this.abort?.abort();
    const { signal } = (this.abort = new AbortController());
    Object.assign(this, { busy: true, problem: null });
    this.draw();
    try {
      const { list, reason } = await scoreImages(this.context, this.model, this.read, { resize: this.resize, signal });
      Object.assign(this, { busy: false, reason });
      const images = { list, resize: this.resize };
      this.context.state.set({ images, selected: null });
      const scored = list.filter(({ problem }) => problem === null).length;
      this.context.announce(`${counted(scored, "image")} scored.`);
    } catch (error) {
      if (!signal.aborted && !isSuperseded(error)) this.failed(error);
    }
  }

  failed(error) {
    Object.assign(this, { busy: false, problem: error });
    this.draw();
  }

  scale() {
    this.resize = true;
    this.score();
  }

  draw() {
    render(view(this), this.root);
  }
}

function view(panel) {
  const { model, busy, problem, reason, context } = panel;
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
    ${problemBox(problem, panel.read.length ? () => panel.score() : undefined)}
    ${scaling(panel)}
    ${busy ? html`<p class="quiet" role="status">Scoring ${counted(panel.read.length, "image")} …</p>` : ""}
    ${images ? cards({ images, alpha, selected, reason, sizeIsSaid: isSizeSaid(panel), choose: (i) => choose(context, i) }) : ""}
    ${imageCode(context.api, model)}
  </div>`;
}

/** Select an image and show it on the map of latent space. */
function choose({ state }, i) {
  state.set({ selected: i });
  location.hash = "latent";
}

/** Whether the panel says already which files have another size. */
function isSizeSaid({ read, resize, busy, model }) {
  return (image) => !resize && !busy && read.some((one) => one.name === image.name && isOtherSize(one, model.input));
}

/** Files of another size are refused; offer to scale them. */
function scaling(panel) {
  const { input } = panel.model;
  const others = panel.read.filter((image) => isOtherSize(image, input));
  if (!others.length || panel.busy) return "";
  const { width, height } = input;
  if (panel.resize) {
    return html`<p class="message plain">${counted(others.length, "image")} scaled to ${width} × ${height} pixels. Scaled images are smoother than those of the training, so judge their scores with care.</p>`;
  }
  const [w, h] = others[0].size;
  return html`<div class="message">
    <p>${others.length === 1 ? `${others[0].name} has` : `${others.length} images have`} another size than the model's images${others.length === 1 ? ` (${w} × ${h})` : ""}.</p>
    <p><button @click=${() => panel.scale()}>Scale to ${width} × ${height} and score</button></p>
  </div>`;
}
