/** The box beside the latent map: the row under the pointer, and what the decoder makes of the selected one. */

import { capitalised, number } from "../../format.js";
import { makeImage } from "../../images/pixels_view.js";
import { thingOf } from "../../input.js";
import { html } from "../../lit.js";
import { NO_CELL, numberText } from "../../table/cells.js";
import { reasonLine, reasonsOf } from "../../table/reasons.js";
import { serviceOf } from "../calls.js";
import { decodedRow, largestDifferences } from "../decoded.js";
import { isRowItself } from "../dimensions.js";
import { problemBox } from "../problem_box.js";
import { explainRow } from "../sources.js";
import { surprisingCells } from "./surprises.js";

const SHOWN = 5; // columns of a decoded row
const CELLS = 3;
const DWELL_MS = 200; // before the cells of a row are asked for

/**
 * @param {object} context
 * @param {object} model
 * @param {() => void} redraw
 */
export function details(context, model, redraw) {
  const service = serviceOf(context, model);
  const images = model.input.kind === "image" ? { row: makeImage("The image"), decoded: makeImage("Its reconstruction") } : null;
  const explained = new WeakMap(); // by the mu of a cloud: the cells of its rows
  let opened = null;
  let timer;

  async function open(cloud, point, reference) {
    const mine = (opened = { cloud, point, problem: null, decoded: null, reference });
    const changed = () => opened === mine && redraw();
    try {
      const [decoded] = await Promise.all([service.decode([cloud.mu[point]]), explain(cloud, point)]);
      if (opened !== mine) return;
      mine.decoded = decoded;
      images?.decoded.show(decoded.mean[0]);
    } catch (error) {
      mine.problem = error;
    }
    changed();
  }

  /** Ask for the anomalous cells of a row of the visitor, unless they are known. */
  async function explain(cloud, point) {
    if (images || cloud.source === "samples" || known(cloud, point)?.[0]?.relief !== undefined) return;
    keep(cloud, point, await explainRow(context, cloud.index[point], CELLS));
  }

  /** The cells of a row that this panel or the table of rows has asked for. */
  function known(cloud, point) {
    const { results } = context.state.get();
    return (cloud.source === "rows" ? results?.explained.get(cloud.index[point]) : null) ?? explained.get(cloud.mu)?.get(point);
  }

  function keep(cloud, point, cells) {
    if (!explained.has(cloud.mu)) explained.set(cloud.mu, new Map());
    explained.get(cloud.mu).set(point, cells);
  }

  /** Ask for the cells of the row under the pointer, once it rests there. */
  function dwell(cloud, point) {
    clearTimeout(timer);
    if (images || point < 0 || known(cloud, point)) return;
    timer = setTimeout(async () => {
      const cells = await surprisingCells(context, model, cloud.value(point), CELLS).catch(() => []); // selecting says why
      if (!known(cloud, point)) keep(cloud, point, cells);
      redraw();
    }, DWELL_MS);
  }

  /** @param {{ cloud: object | null, current: number, chosen: number, alpha: number }} shown */
  function view({ cloud, current, chosen, alpha }) {
    const point = current >= 0 ? current : chosen;
    if (!cloud || point < 0) {
      return html`<div class="map-details box"><p class="quiet">No ${thingOf(model)} is selected. Point at one, or press Tab until the map has the focus.</p></div>`;
    }
    const isOpen = opened?.cloud.mu === cloud.mu && opened.point === point;
    return html`<div class="map-details box" aria-live="polite" aria-atomic="true">
      <h3>${cloud.label(point)}</h3>
      <p class="verdict">${verdict(cloud, point, alpha)}</p>
      ${images ? imagePair(cloud, point, isOpen) : cells(cloud, point)}
      ${isOpen && !images ? decodedCells(cloud, point) : ""}
      ${isOpen ? problemBox(opened.problem, () => open(cloud, point, opened.reference)) : ""}
    </div>`;
  }

  function imagePair(cloud, point, isOpen) {
    const pixels = cloud.value(point);
    if (pixels) images.row.show(pixels);
    return html`<div class="pair">
      ${pixels ? html`<figure>${images.row.canvas}<figcaption>image</figcaption></figure>` : ""}
      ${isOpen && opened.decoded ? html`<figure>${images.decoded.canvas}<figcaption>decoded from its place</figcaption></figure>` : ""}
    </div>`;
  }

  function cells(cloud, point) {
    const found = known(cloud, point);
    const novel = novelOf(cloud, point);
    if (!found && novel.length === 0) return html`<p class="quiet small">Looking for its most anomalous cells …</p>`;
    const isExplained = cloud.source === "rows" && (novel.length > 0 || found.some((cell) => "expected" in cell));
    const reasons = isExplained ? reasonsOfRow(cloud, point, novel, found) : (found ?? []).map(surprising);
    if (reasons.length === 0) return html`<p class="quiet small">${capitalised(NO_CELL)}.</p>`;
    return html`<div><p class="quiet small">${isExplained ? "Most anomalous cells" : "Most surprising cells"}</p>
      <ul class="plain-list">${reasons.map((reason) => html`<li>${reasonLine(reason)}</li>`)}</ul></div>`;
  }

  const novelOf = (cloud, point) => (cloud.source === "rows" ? (context.state.get().results?.lines[cloud.index[point]]?.novel ?? []) : []);

  function reasonsOfRow(cloud, point, novel, found = []) {
    const { rows } = context.state.get();
    const texts = rows.cells(cloud.index[point]);
    const explanation = found.filter((cell) => "expected" in cell);
    return reasonsOf({ novel, explanation, cellOf: (name) => texts[rows.at.get(name)], model, dialect: rows.dialect });
  }

  function surprising({ feature, value }) {
    return { feature, text: numberText(value, 4, context.state.get().rows?.dialect), why: "" };
  }

  function decodedCells(cloud, point) {
    if (!opened.decoded) return "";
    if (isRowItself(model)) return html`<p class="quiet small">Decoding gives the row back: the latent vector is the row.</p>`;
    const mean = opened.decoded.mean[0];
    const row = cloud.value(point);
    const { ranges } = opened.reference;
    const columns = largestDifferences(model, row, mean, ranges, SHOWN);
    const shown = { model, mean, ranges, before: row, columns, probabilities: firstOf(opened.decoded.probabilities) };
    return html`<div><p class="quiet small">Decoded: where it differs most from the row (grey mark)</p>${decodedRow(shown)}</div>`;
  }

  return { open, dwell, view, end: () => clearTimeout(timer) };
}

/** The probabilities of one row, by category. @param {Record<string, number[][]> | undefined} probabilities */
export function firstOf(probabilities, row = 0) {
  return Object.fromEntries(Object.entries(probabilities ?? {}).map(([name, values]) => [name, values[row]]));
}

function verdict(cloud, point, alpha) {
  const [score, p] = [cloud.score[point], cloud.pValue[point]];
  if (score === null) return html`<span class="quiet">not scored yet</span>`;
  const shown = html`score ${number(score)}${p === null ? "" : html`, <span class="no-break">p-value ${number(p, 2)}</span>`}`;
  if (p === null) return shown;
  return cloud.isAlarm(point, alpha) ? html`<b class="alarm-text">anomalous</b>, ${shown}` : html`not flagged, ${shown}`;
}
