/** Cards of scored images: the image, its reconstruction, and the heatmap of surprise. */

import { number } from "../format.js";
import { html, svg } from "../lit.js";
import { heat } from "../latent/map/scales.js";
import { extremes, heatmap, paint, toRgba } from "./pixels.js";

const painted = new WeakMap(); // by scored image: its canvases

/**
 * @param {{ images: { list: import("./score.js").ScoredImage[] }, alpha: number, selected: number | null,
 *   reason: string | null, choose: (i: number) => void }} shown
 */
export function cards({ images: { list }, alpha, selected, reason, choose }) {
  const readable = list.map((_, i) => i).filter((i) => list[i].problem === null);
  const refused = list.filter(({ problem }) => problem !== null);
  const scale = extremes(readable.map((i) => list[i].surprise));
  const order = readable.sort((a, b) => list[b].score - list[a].score);
  return html`
    ${refused.length ? html`<ul class="message refused">${refused.map(({ name, problem }) => html`<li><b>${name}</b>: ${problem}</li>`)}</ul>` : ""}
    ${reason && readable.length ? html`<p class="message plain">${reason}</p>` : ""}
    ${order.length
      ? html`<ol class="image-cards" aria-label="Scored images, the most anomalous first">
            ${order.map((i) => card(list[i], scale, alpha, i === selected, () => choose(i)))}
          </ol>
          ${legend(scale)}`
      : ""}`;
}

function card(image, scale, alpha, selected, choose) {
  const canvases = canvasesOf(image, scale);
  const { name, score, pValue } = image;
  return html`<li class="image-card box" data-selected=${selected}>
    <div class="pair">
      ${[["image", canvases.input], ["reconstruction", canvases.reconstruction], ["surprise", canvases.surprise]].map(
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
  return pValue <= alpha ? html`<b class="alarm-text">anomalous</b>, ` : "normal, ";
}

function canvasesOf(image, scale) {
  const known = painted.get(image);
  if (known) return known;
  const make = (label, rgba) => {
    const canvas = document.createElement("canvas");
    canvas.className = "pixels";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${label} of ${image.name}`);
    if (rgba) paint(canvas, rgba);
    return canvas;
  };
  const found = {
    input: make("Pixels", image.pixels && toRgba(image.pixels)),
    reconstruction: make("Reconstruction", toRgba(image.reconstruction)),
    surprise: make("Heatmap of surprise", heatmap(image.surprise, scale.low, scale.high)),
  };
  painted.set(image, found);
  return found;
}

function legend({ low, high }) {
  return html`<p class="heat-legend small quiet"><span>${low.toFixed(1)}</span>
    <svg viewBox="0 0 ${STEPS} 1" preserveAspectRatio="none" aria-hidden="true">${steps}</svg>
    <span>${high.toFixed(1)} nats of surprise per pixel, one scale for all images</span></p>`;
}

const STEPS = 32;
const steps = Array.from({ length: STEPS }, (_, i) => svg`<rect x=${i} width="1.1" height="1" fill=${`rgb(${heat(i / (STEPS - 1))})`}></rect>`);
