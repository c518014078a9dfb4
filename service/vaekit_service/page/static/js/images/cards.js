/** Cards of scored images: the image, its reconstruction, and the heatmap of surprise. */

import { choice } from "../choice.js";
import { count, counted, number } from "../format.js";
import { html, svg } from "../lit.js";
import { heat } from "../latent/map/scales.js";
import { extremes, heatmap, paint, toRgba } from "./pixels.js";

const SHOWN = { all: "all images", flagged: "flagged images" };
const SCALES = { shared: "one for all images", own: "own for each image" };

const painted = new WeakMap(); // by scored image: its canvases, its own scale, and the scale of its heatmap

/**
 * @typedef {{ show: keyof typeof SHOWN, scale: keyof typeof SCALES }} Options
 *
 * @param {{ images: { list: import("./score.js").ScoredImage[] }, alpha: number, selected: number | null,
 *   reason: string | null, options: Options, choose: (i: number) => void, look: (patch: Partial<Options>) => void }} shown
 *   look: change the options
 */
export function cards({ images: { list }, alpha, selected, reason, options, choose, look }) {
  const readable = list.map((_, i) => i).filter((i) => list[i].problem === null);
  const refused = list.filter(({ problem }) => problem !== null);
  const isFlagged = (i) => list[i].pValue !== null && list[i].pValue <= alpha;
  const hasVerdicts = readable.some((i) => list[i].pValue !== null);
  const isPart = hasVerdicts && options.show === "flagged";
  const order = (isPart ? readable.filter(isFlagged) : [...readable]).sort((a, b) => list[b].score - list[a].score);
  const shared = options.scale === "own" ? null : sharedScale(readable.map((i) => paintedOf(list[i]).own));
  return html`
    ${refused.length ? html`<ul class="message refused">${refused.map(({ name, problem }) => html`<li><b>${name}</b>: ${problem}</li>`)}</ul>` : ""}
    ${reason && readable.length ? html`<p class="message plain">${reason}</p>` : ""}
    ${readable.length
      ? html`<div class="row">
            ${hasVerdicts ? choice("Show", SHOWN, options.show, (show) => look({ show })) : ""}
            ${choice("Heatmap scale", SCALES, options.scale, (scale) => look({ scale }))}
          </div>
          ${hasVerdicts ? html`<p class="small quiet" data-flagged>${count(readable.filter(isFlagged).length)} of ${counted(readable.length, "image")} flagged at alpha ${number(alpha, 2)}</p>` : ""}
          ${legend(shared)}
          ${order.length
            ? html`<ol class="image-cards" aria-label="Scored images, the most anomalous first">
                ${order.map((i) => card(list[i], shared, alpha, i === selected, () => choose(i)))}
              </ol>`
            : html`<p class="quiet">No image is flagged at this alpha.</p>`}`
      : ""}`;
}

/** @param {import("./score.js").ScoredImage} image @param {{ low: number, high: number } | null} shared null: its own scale */
function card(image, shared, alpha, selected, choose) {
  const { canvases, own } = paintedOf(image);
  showHeatmap(image, shared ?? own);
  const { name, score, pValue } = image;
  const range = shared ? "" : html` <span class="no-break" data-range>${own.low.toFixed(1)} to ${own.high.toFixed(1)}</span>`;
  return html`<li class="image-card box" data-selected=${selected}>
    <div class="pair">
      ${[["image", canvases.input], ["reconstruction", canvases.reconstruction], [html`surprise${range}`, canvases.surprise]].map(
        ([title, canvas]) => html`<figure>${canvas}<figcaption>${title}</figcaption></figure>`,
      )}
    </div>
    <h3>${name}</h3>
    <p class="small">${verdictOf(pValue, alpha)}score ${number(score)}${pValue === null ? "" : html`, <span class="no-break">p-value ${number(pValue, 2)}</span>`}</p>
    <button class="plain small" @click=${choose}>On the map<span class="visually-hidden"> of latent space, ${name}</span></button>
  </li>`;
}

function verdictOf(pValue, alpha) {
  if (pValue === null) return "";
  return pValue <= alpha ? html`<b class="alarm-text">anomalous</b>, ` : "not flagged, ";
}

/** What is drawn once for an image; its heatmap is drawn for a scale. */
function paintedOf(image) {
  if (painted.has(image)) return painted.get(image);
  const make = (label, rgba) => {
    const canvas = document.createElement("canvas");
    canvas.className = "pixels";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${label} of ${image.name}`);
    if (rgba) paint(canvas, rgba);
    return canvas;
  };
  const canvases = {
    input: make("Pixels", image.pixels && toRgba(image.pixels)),
    reconstruction: make("Reconstruction", toRgba(image.reconstruction)),
    surprise: make("Heatmap of surprise", null),
  };
  painted.set(image, { canvases, own: extremes(image.surprise), scale: null });
  return painted.get(image);
}

function showHeatmap(image, { low, high }) {
  const found = painted.get(image);
  if (found.scale?.low === low && found.scale.high === high) return;
  paint(found.canvases.surprise, heatmap(image.surprise, low, high));
  found.scale = { low, high };
}

const sharedScale = (scales) => extremes(scales.map(({ low, high }) => [low, high]));

/** @param {{ low: number, high: number } | null} shared null: each heatmap has its own scale */
function legend(shared) {
  const [least, most] = shared
    ? [shared.low.toFixed(1), `${shared.high.toFixed(1)} nats of surprise per pixel, one scale for all images`]
    : ["least", "most surprise per pixel of each image; its range in nats is below the heatmap"];
  return html`<p class="heat-legend small quiet"><span>${least}</span>
    <svg viewBox="0 0 ${STEPS} 1" preserveAspectRatio="none" aria-hidden="true">${steps}</svg>
    <span>${most}</span></p>`;
}

const STEPS = 32;
const steps = Array.from({ length: STEPS }, (_, i) => svg`<rect x=${i} width="1.1" height="1" fill=${`rgb(${heat(i / (STEPS - 1))})`}></rect>`);
