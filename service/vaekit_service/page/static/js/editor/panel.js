/** The panel that edits the cells of one row and shows how its score, its verdict and each cell's surprise change. */

import { isSuperseded, pathOf } from "../api.js";
import { expectedText, isOdd } from "../table/cells.js";
import { recordOf } from "../rows/csv.js";
import { number } from "../format.js";
import { hasImages } from "../input.js";
import { html, live, render } from "../lit.js";
import { areSteps, objectOf } from "../rows/rows.js";
import { explainRows } from "../rows/scoring.js";
import { snippets } from "../snippets.js";
import { verdict } from "../table/panel.js";

const DEBOUNCE_MS = 150;

/** @type {import("../panels.js").Panel} */
export const panel = {
  id: "editor",
  title: "Change a row",
  view: "score",
  about: "Edit a cell and see what the model makes of it.",
  accepts: (model) => !hasImages(model),
  mount: (root, context) => mountEditor(root, context),
};

function mountEditor(root, context) {
  const { state } = context;
  const { model } = state.get();
  const { columns } = model.input;
  const shown = { cells: null, before: null, said: null, problem: null, isWaiting: false };
  let timer;

  /** Start with the selected row. */
  function begin() {
    clearTimeout(timer);
    const { rows, selected } = state.get();
    const has = rows !== null && selected !== null && !areSteps(rows, model);
    const cells = has ? rows.cells(selected) : null;
    shown.cells = has ? columns.map(({ name }) => cells[rows.at.get(name)] ?? "") : null;
    Object.assign(shown, { original: shown.cells, before: null, said: null, problem: null });
    draw();
    if (has) score();
  }

  async function score() {
    const csv = `${recordOf(columns.map(({ name }) => name))}\n${recordOf(shown.cells)}\n`;
    const all = Boolean(model.surprise);
    shown.isWaiting = true;
    try {
      const [said] = await explainRows(context, csv, { cells: all ? columns.length : null, slot: "edit", alpha: state.get().alpha });
      Object.assign(shown, { said, problem: null, before: shown.before ?? said });
    } catch (problem) {
      if (isSuperseded(problem)) return;
      Object.assign(shown, { problem });
    }
    shown.isWaiting = false;
    draw();
  }

  const edit = (at) => ({ target }) => {
    shown.cells = shown.cells.with(at, target.value);
    clearTimeout(timer);
    timer = setTimeout(score, DEBOUNCE_MS);
    draw();
  };
  const reset = () => {
    shown.cells = shown.original;
    score();
  };

  function draw() {
    if (shown.cells === null) {
      render(html`<p class="quiet">${emptyText(state.get(), model)}</p>`, root);
      return;
    }
    const { selected } = state.get();
    const cells = new Map((shown.said?.explanation ?? []).map((cell) => [cell.feature, cell]));
    const isChanged = shown.cells.some((cell, at) => cell !== shown.original[at]);
    render(
      html`<div class="editor-head">
          <h3>Row ${selected}</h3>
          ${outcome(shown, state.get().alpha)}
          <button ?disabled=${!isChanged} @click=${reset}>Undo all changes</button>
        </div>
        ${shown.problem === null ? "" : html`<p class="message small" role="alert">${shown.problem.message}</p>`}
        <div class="fields">${columns.map((column, at) => field(column, at, cells.get(column.name)))}</div>
        ${snippets(codeFor(context, shown.cells))}`,
      root,
    );
  }

  function field(column, at, cell) {
    const marked = cell !== undefined && isOdd(cell) ? "odd" : "";
    const isChanged = shown.cells[at] !== shown.original[at];
    const note = `cell-${at}`;
    return html`<div class=${`cell ${marked} ${isChanged ? "changed" : ""}`}>
      <label class="field">${column.name} ${input(column, at, note)}</label>
      <p class="small quiet" id=${note}>${cell === undefined ? "" : noteOf(cell)}</p>
    </div>`;
  }

  function input({ kind, levels }, at, note) {
    const value = shown.cells[at];
    if (kind !== "category") {
      return html`<input inputmode="decimal" autocomplete="off" aria-describedby=${note} .value=${live(value)} @input=${edit(at)} />`;
    }
    const options = levels.includes(value) || value === "" ? ["", ...levels] : ["", value, ...levels];
    return html`<select aria-describedby=${note} @change=${edit(at)} .value=${live(value)}>
      ${options.map((level) => html`<option value=${level} ?selected=${level === value}>${level === "" ? "(missing)" : level}</option>`)}
    </select>`;
  }

  const stops = [state.watch(["rows", "selected"], begin), state.watch(["alpha"], draw)];
  begin();
  return () => {
    clearTimeout(timer);
    stops.forEach((stop) => stop());
  };
}

function emptyText({ rows }, model) {
  if (rows !== null && areSteps(rows, model)) return "Time steps of a series cannot be edited here: a score needs the steps before.";
  return "Choose a row by its number in the table above.";
}

function noteOf(cell) {
  const expected = expectedText(cell);
  return html`${expected}${expected === "" ? "" : " · "}surprise ${number(cell.surprise, 3)}`;
}

/** Score, p-value and verdict, with the score before the changes. */
function outcome({ said, before }, alpha) {
  if (said === null) return html`<p class="quiet">Scoring …</p>`;
  if (said.error) {
    const { column, reason, value } = said.error;
    return html`<p class="alarm-text" role="alert">${column ?? "The row"}: ${reason}, ${String(value)}</p>`;
  }
  const isFlagged = said.p_value !== null && said.p_value <= alpha && !(said.tolerated?.length > 0);
  const moved = before?.score !== undefined && before.score !== said.score ? html` <small class="quiet">from ${number(before.score, 4)}</small>` : "";
  return html`<dl class="outcome" aria-live="polite">
    <div><dt>Verdict</dt><dd>${verdict(said, isFlagged)}</dd></div>
    <div><dt>Score</dt><dd>${number(said.score, 4)}${moved}</dd></div>
    <div><dt>p-value</dt><dd>${number(said.p_value, 3)}</dd></div>
  </dl>`;
}

function codeFor({ api, state }, cells) {
  const { model, alpha } = state.get();
  const at = new Map(model.input.columns.map(({ name }, index) => [name, index]));
  const row = objectOf(model, (name) => cells[at.get(name)]);
  const explain = Math.min(3, model.input.columns.length);
  const literal = JSON.stringify(row).replaceAll(":null", ":None");
  return {
    api,
    path: pathOf(model, "elbo"),
    body: { inputs: [row], explain, alpha },
    python: `row = ${literal}
found = client.elbo([row], explain=${explain}, alpha=${alpha}, model="${model.name}", version=${model.version})
print(found.score, found.p_value, found.is_anomaly, found.cells[0])`,
    javascript: `const row = ${JSON.stringify(row)};
const options = { explain: ${explain}, alpha: ${alpha}, model: "${model.name}", version: ${model.version} };
const { score, p_value, is_anomaly, explanation } = await client.elbo([row], options);
console.log(score, p_value, is_anomaly, explanation[0]);`,
  };
}
