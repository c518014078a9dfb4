/** The panel with the scored rows: most anomalous first, their anomalous cells with reasons, and marks of people. */

import { isSuperseded } from "../api.js";
import { choice } from "../choice.js";
import { saveText, scoredCsv } from "./downloads.js";
import { count, counted, number } from "../format.js";
import { hasImages } from "../input.js";
import { html, live, nothing, render } from "../lit.js";
import { makeMarks, marksBar } from "./marks.js";
import { areSteps } from "../rows/rows.js";
import { explainRows } from "../rows/scoring.js";
import { isGone, whenBack } from "../service/connection.js";
import { REASONS } from "./reasons.js";
import { NOVEL, rowsTable } from "./view.js";

const PAGE = 25; // rows that are shown and explained together
const SORTS = { anomalous: "Most anomalous first", normal: "Least anomalous first", file: "In the order of the file" };
const FILTERS = { all: "All rows", flagged: "Flagged rows", novel: "Novel rows", marked: "Marked rows" };

/** @type {import("../panels.js").Panel} */
export const panel = {
  id: "rows",
  title: "Scored rows",
  view: "score",
  accepts: (model) => !hasImages(model),
  mount(root, context) {
    const table = new ScoredRows(root, context);
    table.begin();
    return () => table.end();
  },
};

class ScoredRows {
  constructor(root, context) {
    Object.assign(this, { root, context, state: context.state });
    this.marks = makeMarks(() => this.draw());
    this.options = { sort: "anomalous", filter: "all", text: "", page: 0 };
    this.problem = null;
    this.order = []; // indexes of all answered rows, the most anomalous first
    this.visible = []; // those that pass the filter, sorted
  }

  begin() {
    this.stops = [
      this.state.watch(["rows"], () => this.rowsChanged()),
      whenBack(this.state, () => this.problem, () => this.explain()),
      this.state.watch(["results"], () => this.resultsChanged()),
      this.state.watch(["alpha"], ({ results }) => results !== null && this.select()),
      this.state.watch(["selected"], () => this.draw()),
    ];
    this.rowsChanged();
  }

  end() {
    this.stops.forEach((stop) => stop());
  }

  rowsChanged() {
    this.marks.show(this.state.get().rows);
    Object.assign(this.options, { page: 0, text: "", filter: "all" });
    this.problem = null;
    this.resultsChanged();
  }

  resultsChanged() {
    this.order = this.state.get().results?.order() ?? [];
    this.select();
  }

  /** Filter and sort again. */
  select() {
    this.visible = sorted(this.order.filter(this.filter()), this.options.sort, this.state.get().results);
    this.options.page = Math.min(this.options.page, Math.max(0, Math.ceil(this.visible.length / PAGE) - 1));
    this.draw();
    this.explain();
  }

  /** Whether a row passes the filter and the search. */
  filter() {
    const { rows, results, alpha } = this.state.get();
    const text = this.options.text.toLowerCase();
    const passes = {
      all: () => true,
      flagged: (index) => results.isFlagged(index, alpha),
      novel: (index) => results.isNovel(index),
      marked: (index) => this.marks.of(index) !== null,
    }[this.options.filter];
    return (index) => passes(index) && (text === "" || rows.record(index).toLowerCase().includes(text));
  }

  onPage() {
    const { page } = this.options;
    return this.visible.slice(page * PAGE, (page + 1) * PAGE);
  }

  /** Ask for the reasons of the rows on this page. */
  async explain() {
    const { rows, results, model } = this.state.get();
    if (rows === null || results === null || areSteps(rows, model) || !canExplain(model)) return;
    const { explained } = results;
    const wanted = this.onPage().filter((index) => !explained.has(index) && !results.lines[index].error);
    if (wanted.length === 0) return;
    try {
      const given = { cells: REASONS, slot: "explain", dialect: rows.dialect };
      const lines = await explainRows(this.context, rows.csv(wanted), given);
      wanted.forEach((index, at) => explained.set(index, lines[at]?.explanation ?? []));
      this.problem = null;
    } catch (problem) {
      if (isSuperseded(problem)) return;
      this.problem = problem;
    }
    this.draw();
  }

  change(name) {
    return (value) => {
      Object.assign(this.options, { [name]: value, page: 0 });
      this.select();
    };
  }

  turn(by) {
    this.options.page += by;
    this.draw();
    this.explain();
  }

  choose(index) {
    this.state.set({ selected: index });
    document.getElementById("editor")?.scrollIntoView({ block: "nearest" });
  }

  draw() {
    render(view(this), this.root);
  }
}

const canExplain = (model) => Boolean(model.surprise);

function sorted(indexes, sort, results) {
  if (sort === "file") return [...indexes].sort((a, b) => a - b);
  if (sort === "anomalous") return indexes;
  const hasScore = (index) => !Number.isNaN(results.score[index]);
  return [...indexes.filter(hasScore).reverse(), ...indexes.filter((index) => !hasScore(index))];
}

function view(panel) {
  const { rows, results, alpha, selected, model } = panel.state.get();
  if (rows === null || results === null || results.done === 0) {
    return html`<p class="quiet">Rows appear here once they are scored, the most anomalous first.</p>`;
  }
  const { order, visible, problem, marks, context } = panel;
  const flagged = order.reduce((sum, index) => sum + results.isFlagged(index, alpha), 0);
  const choose = (index) => panel.choose(index);
  return html`${tools(panel)}
    <p class="small quiet">${count(flagged)} of ${counted(order.length, "row")} flagged at alpha ${number(alpha, 2)}. Rows count from 0. ${novelText(panel)} ${supported(rows, model)}</p>
    ${problem === null ? "" : html`<p class="message small" role="alert" data-gone=${isGone(problem) ? "" : nothing}>No reasons: ${problem.message}</p>`}
    ${visible.length === 0
      ? html`<p class="quiet">No row passes this filter.</p>`
      : rowsTable({ rows, results, alpha, selected, model, indexes: panel.onPage(), marks, choose })}
    ${pager(panel)} ${marksBar(context, marks, rows, results)}`;
}

/** What novel rows are, and where they stand, if there are any. */
function novelText({ order, options, state }) {
  const { results } = state.get();
  const n = order.reduce((sum, index) => sum + results.isNovel(index), 0);
  if (n === 0) return "";
  if (options.sort !== "anomalous") return `Novel rows have ${NOVEL}.`;
  const areFirst = order.slice(0, n).every((index) => results.isNovel(index)); // the smallest p-value may differ by group
  return `Novel rows come ${areFirst ? "first" : "before others of the same p-value"}: they have ${NOVEL}.`;
}

function tools(panel) {
  const { options, state } = panel;
  const save = () => {
    const { rows, results, alpha, model } = state.get();
    saveText(`scored-${model.name}.csv`, scoredCsv(rows, results, alpha));
  };
  return html`<div class="row tools">
    ${choice("Order", SORTS, options.sort, panel.change("sort"))} ${choice("Show", FILTERS, options.filter, panel.change("filter"))}
    <label class="field">Search <input type="search" .value=${live(options.text)} @input=${({ target }) => panel.change("text")(target.value)} /></label>
    <span class="grow"></span>
    <button @click=${save}>Download scored CSV</button>
  </div>`;
}

function supported(rows, model) {
  if (areSteps(rows, model)) return "Of the time steps of a series, the page shows scores but neither reasons nor the editor: use vae explain.";
  return canExplain(model) ? "" : "This model was published without reasons.";
}

function pager(panel) {
  const { visible, options } = panel;
  if (visible.length <= PAGE) return "";
  const from = options.page * PAGE;
  const to = Math.min(visible.length, from + PAGE);
  return html`<nav class="row pager" aria-label="Pages of rows">
    <button ?disabled=${options.page === 0} @click=${() => panel.turn(-1)}>Previous</button>
    <span class="small">${count(from + 1)} to ${count(to)} of ${count(visible.length)}</span>
    <button ?disabled=${to >= visible.length} @click=${() => panel.turn(1)}>Next</button>
  </nav>`;
}
