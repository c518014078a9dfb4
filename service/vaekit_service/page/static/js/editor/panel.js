/** The panel that edits the cells of one row and shows how its score, its verdict and each cell's surprise change. */

import { isSuperseded, pathOf } from "../api.js";
import { expectedText, numberText } from "../table/cells.js";
import { reasonsOf } from "../table/reasons.js";
import { recordOf } from "../rows/csv.js";
import { number } from "../format.js";
import { hasImages } from "../input.js";
import { problemBox } from "../latent/problem_box.js";
import { html, live, render } from "../lit.js";
import { pythonDict } from "../python_code.js";
import { areSteps, objectOf } from "../rows/rows.js";
import { explainRows } from "../rows/scoring.js";
import { whenBack } from "../service/connection.js";
import { snippets } from "../snippets.js";
import { verdict } from "../table/view.js";

const DEBOUNCE_MS = 150;

/** @type {import("../panels.js").Panel} */
export const panel = {
  id: "editor",
  title: "Change a row",
  view: "score",
  about: () => "Edit a cell and see what the model makes of it.",
  accepts: (model) => !hasImages(model),
  mount(root, context) {
    const editor = new Editor(root, context);
    editor.begin();
    const stops = [
      context.state.watch(["rows", "selected"], () => editor.begin()),
      context.state.watch(["alpha"], () => editor.draw()),
      whenBack(context.state, () => editor.problem, () => editor.score()),
    ];
    return () => {
      editor.end();
      stops.forEach((stop) => stop());
    };
  },
};

class Editor {
  constructor(root, context) {
    const { model } = context.state.get();
    Object.assign(this, { root, context, state: context.state, model, columns: model.input.columns });
  }

  /** Start with the selected row. */
  begin() {
    clearTimeout(this.timer);
    const { rows, selected } = this.state.get();
    const has = rows !== null && selected !== null && !areSteps(rows, this.model);
    const cells = has ? rows.cells(selected) : null;
    this.cells = has ? this.columns.map(({ name }) => cells[rows.at.get(name)] ?? "") : null;
    Object.assign(this, { original: this.cells, before: null, said: null, problem: null });
    this.draw();
    if (has) this.score();
  }

  end() {
    clearTimeout(this.timer);
  }

  async score() {
    const { alpha, rows } = this.state.get();
    const { dialect } = rows;
    const records = [this.columns.map(({ name }) => name), this.cells].map((cells) => recordOf(cells, dialect.delimiter));
    const cells = this.model.surprise ? this.columns.length : null;
    try {
      const [said] = await explainRows(this.context, `${records.join("\n")}\n`, { cells, slot: "edit", alpha, dialect });
      Object.assign(this, { said, problem: null, before: this.before ?? said });
    } catch (problem) {
      if (isSuperseded(problem)) return;
      this.problem = problem;
    }
    this.draw();
  }

  edit(at, text) {
    this.cells = this.cells.with(at, text);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.score(), DEBOUNCE_MS);
    this.draw();
  }

  undo() {
    this.cells = this.original;
    this.score();
  }

  draw() {
    const { cells, state, model } = this;
    render(cells === null ? html`<p class="quiet">${emptyText(state.get(), model)}</p>` : view(this), this.root);
  }
}

function view(editor) {
  const { cells, original, columns, said, problem, context } = editor;
  const { selected, alpha } = editor.state.get();
  const reasons = new Map(reasonsIn(editor, alpha).map((reason) => [reason.feature, reason]));
  const explained = new Map((said?.explanation ?? []).map((cell) => [cell.feature, cell]));
  const isChanged = cells.some((cell, at) => cell !== original[at]);
  return html`<div class="editor-head">
      <h3>Row ${selected}</h3>
      ${outcome(editor, alpha)}
      <button ?disabled=${!isChanged} @click=${() => editor.undo()}>Undo all changes</button>
    </div>
    ${problemBox(problem, () => editor.score())}
    ${reasons.size === 0 ? "" : html`<p class="small quiet"><i class="swatch odd"></i> the cells that the table names as reasons</p>`}
    <div class="fields">${columns.map((column, at) => field(editor, column, at, explained.get(column.name), reasons.get(column.name)))}</div>
    ${snippets(codeFor(context, cells))}`;
}

/** The reasons of the edited row, as the table has them for a flagged one. */
function reasonsIn({ said, cells, columns, state, model }, alpha) {
  if (said === null || said.error || !isFlagged(said, alpha)) return [];
  const at = new Map(columns.map(({ name }, index) => [name, index]));
  return reasonsOf({ ...said, cellOf: (name) => cells[at.get(name)], model, dialect: state.get().rows.dialect });
}

function field(editor, column, at, cell, reason) {
  const { cells, original, state } = editor;
  const { dialect } = state.get().rows;
  const isChanged = cells[at] !== original[at];
  const note = `cell-${at}`;
  const edit = ({ target }) => editor.edit(at, target.value);
  return html`<div class=${`cell ${reason ? "odd" : ""} ${isChanged ? "changed" : ""}`}>
    <label class="field">${column.name} ${input(column, cells[at], note, edit)}</label>
    <p class="small quiet" id=${note}>${noteOf(cell, reason, dialect)}</p>
  </div>`;
}

function input({ kind, levels }, value, note, edit) {
  if (kind !== "category") {
    return html`<input inputmode="decimal" autocomplete="off" aria-describedby=${note} .value=${live(value)} @input=${edit} />`;
  }
  const options = levels.includes(value) || value === "" ? ["", ...levels] : ["", value, ...levels];
  return html`<select aria-describedby=${note} @change=${edit} .value=${live(value)}>
    ${options.map((level) => html`<option value=${level} ?selected=${level === value}>${level === "" ? "(missing)" : level}</option>`)}
  </select>`;
}

function emptyText({ rows }, model) {
  if (rows !== null && areSteps(rows, model)) return "Time steps of a series cannot be edited here: a score needs the steps before.";
  return "Choose a row by its number in the table above.";
}

/** What was expected, or that the cell is novel, and its surprise. */
function noteOf(cell, reason, dialect) {
  const expected = reason?.why ?? (cell === undefined ? "" : expectedText(cell, dialect));
  const surprise = cell === undefined ? "" : `surprise ${numberText(cell.surprise, 3, dialect)} nats`;
  return [expected, surprise].filter((text) => text !== "").join(dialect.decimal === "," ? "; " : ", ");
}

const isFlagged = ({ p_value: pValue, tolerated }, alpha) => pValue !== null && pValue <= alpha && !(tolerated?.length > 0);

/** Score, p-value and verdict, with the score before the changes. */
function outcome({ said, before, problem }, alpha) {
  if (said === null && problem !== null) return "";
  if (said === null) return html`<p class="quiet">Scoring …</p>`;
  if (said.error) {
    const { column, reason, value } = said.error;
    return html`<p class="alarm-text" role="alert">${column ?? "The row"}: ${reason}, ${String(value)}</p>`;
  }
  const moved = before?.score !== undefined && before.score !== said.score ? html` <small class="quiet">from ${number(before.score, 4)}</small>` : "";
  return html`<dl class="outcome" aria-live="polite">
    <div><dt>Verdict</dt><dd>${verdict(said, isFlagged(said, alpha))}</dd></div>
    <div><dt>Score</dt><dd>${number(said.score, 4)}${moved}</dd></div>
    <div><dt>p-value</dt><dd>${number(said.p_value, 3)}</dd></div>
  </dl>`;
}

function codeFor({ api, state }, cells) {
  const { model, alpha, rows } = state.get();
  const at = new Map(model.input.columns.map(({ name }, index) => [name, index]));
  const row = objectOf(model, (name) => cells[at.get(name)], rows.dialect);
  const explain = Math.min(3, model.input.columns.length);
  return {
    api,
    path: pathOf(model, "elbo"),
    body: { inputs: [row], explain, alpha },
    python: `row = ${pythonDict(row)}
found = client.elbo([row], explain=${explain}, alpha=${alpha}, model="${model.name}", version=${model.version})
print(found.score, found.p_value, found.is_anomaly, found.cells[0])`,
    javascript: `const row = ${JSON.stringify(row)};
const options = { explain: ${explain}, alpha: ${alpha}, model: "${model.name}", version: ${model.version} };
const { score, p_value, is_anomaly, explanation } = await client.elbo([row], options);
console.log(score, p_value, is_anomaly, explanation[0]);`,
  };
}
