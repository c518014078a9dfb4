/** The panel with the scored rows: most anomalous first, their anomalous cells with reasons, and marks of people. */

import { isSuperseded } from "../api.js";
import { saveText, scoredCsv } from "./downloads.js";
import { count, counted, number } from "../format.js";
import { hasImages } from "../input.js";
import { html, live, render } from "../lit.js";
import { cellText, expectedText, isOdd, NO_CELL } from "./cells.js";
import { makeMarks, marksBar } from "./marks.js";
import { areSteps } from "../rows/rows.js";
import { explainRows } from "../rows/scoring.js";

const PAGE = 25; // rows that are shown and explained together
const REASONS = 3; // cells of each row
const SORTS = { anomalous: "Most anomalous first", normal: "Least anomalous first", file: "In the order of the file" };
const FILTERS = { all: "All rows", flagged: "Flagged rows", novel: "Novel rows", marked: "Marked rows" };

/** @type {import("../panels.js").Panel} */
export const panel = {
  id: "rows",
  title: "Scored rows",
  view: "score",
  accepts: (model) => !hasImages(model),
  mount: (root, context) => mountTable(root, context),
};

function mountTable(root, context) {
  const { state } = context;
  const marks = makeMarks(() => draw());
  const shown = { sort: "anomalous", filter: "all", text: "", page: 0, problem: null };
  let order = []; // indexes of all answered rows, the most anomalous first
  let visible = []; // those that pass the filter, sorted

  function onRows() {
    marks.clear();
    Object.assign(shown, { page: 0, text: "", filter: "all", problem: null });
    onResults();
  }

  function onResults() {
    order = state.get().results?.order() ?? [];
    select();
  }

  /** Filter and sort again. */
  function select() {
    const { rows, results, alpha } = state.get();
    const text = shown.text.toLowerCase();
    const hasScore = (index) => !Number.isNaN(results.score[index]);
    const passes = {
      all: () => true,
      flagged: (index) => results.isFlagged(index, alpha),
      novel: (index) => results.isNovel(index),
      marked: (index) => marks.of(index) !== null,
    }[shown.filter];
    visible = order.filter((index) => passes(index) && (text === "" || rows.record(index).toLowerCase().includes(text)));
    if (shown.sort === "normal") visible = [...visible.filter(hasScore).reverse(), ...visible.filter((i) => !hasScore(i))];
    if (shown.sort === "file") visible.sort((a, b) => a - b);
    shown.page = Math.min(shown.page, Math.max(0, Math.ceil(visible.length / PAGE) - 1));
    draw();
    explain();
  }

  const onPage = () => visible.slice(shown.page * PAGE, (shown.page + 1) * PAGE);

  /** Ask for the reasons of the rows on this page. */
  async function explain() {
    const { rows, results, model } = state.get();
    if (rows === null || areSteps(rows, model) || !canExplain(model)) return;
    const { explained } = results;
    const wanted = onPage().filter((index) => !explained.has(index) && !results.lines[index].error);
    if (wanted.length === 0) return;
    try {
      const lines = await explainRows(context, rows.csv(wanted), { cells: REASONS, slot: "explain" });
      wanted.forEach((index, at) => explained.set(index, lines[at]?.explanation ?? []));
      shown.problem = null;
    } catch (problem) {
      if (isSuperseded(problem)) return;
      shown.problem = problem;
    }
    draw();
  }

  const change = (name, again = select) => ({ target }) => {
    Object.assign(shown, { [name]: target.value, page: 0 });
    again();
  };
  const turn = (by) => () => {
    shown.page += by;
    draw();
    explain();
  };

  function draw() {
    const { rows, results, alpha, selected, model } = state.get();
    if (rows === null || results === null || results.done === 0) {
      render(html`<p class="quiet">Rows appear here once they are scored, the most anomalous first.</p>`, root);
      return;
    }
    const flagged = order.reduce((sum, index) => sum + results.isFlagged(index, alpha), 0);
    render(
      html`<div class="row tools">
          ${select_("Order", SORTS, shown.sort, change("sort"))} ${select_("Show", FILTERS, shown.filter, change("filter"))}
          <label class="field">Search <input type="search" .value=${live(shown.text)} @input=${change("text")} /></label>
          <span class="grow"></span>
          <button @click=${() => saveText(`scored-${model.name}.csv`, scoredCsv(rows, results, alpha))}>Download scored CSV</button>
        </div>
        <p class="small quiet">${count(flagged)} of ${counted(order.length, "row")} flagged at alpha ${number(alpha, 2)}. Rows count from 0. ${supported(rows, model)}</p>
        ${shown.problem === null ? "" : html`<p class="message small" role="alert">No reasons: ${shown.problem.message}</p>`}
        ${visible.length === 0 ? html`<p class="quiet">No row passes this filter.</p>` : table({ rows, results, alpha, selected, model })}
        ${pager()} ${marksBar(context, marks, rows, results)}`,
      root,
    );
  }

  function table({ rows, results, alpha, selected, model }) {
    const own = new Set(model.input.columns.map(({ name }) => name));
    const names = [...rows.names.filter((name) => !own.has(name)), ...rows.names.filter((name) => own.has(name))];
    return html`<div class="scroll rows-scroll" tabindex="0" role="region" aria-label="Table of scored rows">
      <table class="rows">
        <thead>
          <tr>
            <th class="words" scope="col">Row</th>
            <th class="words" scope="col">Verdict</th>
            <th class="words" scope="col">Most anomalous cells</th>
            <th scope="col">p-value</th>
            <th scope="col">Score</th>
            <th class="words" scope="col">Your mark</th>
            ${names.map((name) => html`<th scope="col" class=${own.has(name) ? "" : "quiet"}>${name}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${onPage().map((index) => line({ rows, results, alpha, selected, names, own }, index))}
        </tbody>
      </table>
    </div>`;
  }

  function line({ rows, results, alpha, selected, names, own }, index) {
    const said = results.lines[index];
    const cells = rows.cells(index);
    const isFlagged = results.isFlagged(index, alpha);
    const explained = isFlagged ? results.explained.get(index) : undefined;
    const why = (explained ?? []).filter(isOdd);
    return html`<tr class=${index === selected ? "selected" : ""} data-row=${index}>
      <td class="words"><button class="plain" aria-pressed=${index === selected} @click=${() => choose(index)}>${index}</button></td>
      <td class="words">${verdict(said, isFlagged)}</td>
      <td class="words reasons">${said.error ? reasonOfError(said.error) : why.map((cell) => reason(cell, cells[rows.at.get(cell.feature)]))}${explained?.length > 0 && why.length === 0 ? html`<span class="quiet">${NO_CELL}</span>` : ""}</td>
      <td>${number(said.p_value, 3)}</td>
      <td>${number(said.score, 4)}</td>
      <td class="words">${said.error ? "" : marks.buttons(index)}</td>
      ${names.map((name) => {
        const found = why.find((cell) => cell.feature === name);
        const isNovel = said.novel?.includes(name);
        return html`<td class=${found || isNovel ? "odd" : own.has(name) ? "" : "quiet"}>${cellText(cells[rows.at.get(name)])}${found ? html`<small>${expectedText(found)}</small>` : ""}</td>`;
      })}
    </tr>`;
  }

  function choose(index) {
    state.set({ selected: index });
    document.getElementById("editor")?.scrollIntoView({ block: "nearest" });
  }

  function pager() {
    if (visible.length <= PAGE) return "";
    const from = shown.page * PAGE;
    const to = Math.min(visible.length, from + PAGE);
    return html`<nav class="row pager" aria-label="Pages of rows">
      <button ?disabled=${shown.page === 0} @click=${turn(-1)}>Previous</button>
      <span class="small">${count(from + 1)} to ${count(to)} of ${count(visible.length)}</span>
      <button ?disabled=${to >= visible.length} @click=${turn(1)}>Next</button>
    </nav>`;
  }

  const stops = [
    state.watch(["rows"], onRows),
    state.watch(["results"], onResults),
    state.watch(["alpha"], () => state.get().results !== null && select()),
    state.watch(["selected"], draw),
  ];
  onRows();
  return () => stops.forEach((stop) => stop());
}

const canExplain = (model) => Boolean(model.surprise);

function supported(rows, model) {
  if (areSteps(rows, model)) return "Of the time steps of a series, the page shows scores but neither reasons nor the editor: use vae explain.";
  return canExplain(model) ? "" : "This model was published without reasons.";
}

function select_(title, options, value, change) {
  return html`<label class="field"
    >${title}
    <select @change=${change} .value=${live(value)}>
      ${Object.entries(options).map(([id, text]) => html`<option value=${id}>${text}</option>`)}
    </select></label
  >`;
}

/** The verdict on a row as a badge. @param {object} said a line of the reply */
export function verdict(said, isFlagged) {
  if (said.error) return html`<span class="badge quiet">invalid</span>`;
  if (said.score === null && said.p_value === null) return html`<span class="badge quiet">no score</span>`;
  const novel = said.novel?.length > 0 ? html` <span class="badge novel">novel</span>` : "";
  const tolerated = said.tolerated?.length > 0 ? html` <span class="badge quiet">tolerated</span>` : "";
  if (said.p_value === null) return html`<span class="badge quiet">no verdict</span>${novel}`;
  return html`<span class=${isFlagged ? "badge anomaly" : "badge normal"}>${isFlagged ? "anomaly" : "normal"}</span>${novel}${tolerated}`;
}

const reasonOfError = ({ column, reason, value }) =>
  html`<span>${column === null ? "" : html`<code>${column}</code>: `}${reason}${value === null || value === undefined ? "" : `, ${value}`}</span>`;

const reason = (cell, text) => html`<span><b>${cell.feature}</b> ${cellText(text)} <span class="quiet">${expectedText(cell)}</span></span>`;
