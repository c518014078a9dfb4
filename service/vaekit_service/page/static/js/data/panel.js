/** The panel where rows come from: a file, pasted text, or samples of the model. It scores them. */

import { isSuperseded, pathOf } from "../api.js";
import { counted } from "../format.js";
import { hasImages, isCalibrated } from "../input.js";
import { html, render } from "../lit.js";
import { csvInPython } from "../python_code.js";
import { queryOf } from "../rows/dialect.js";
import { textOf } from "../rows/file_text.js";
import { areSteps, Rows } from "../rows/rows.js";
import { sampledRows } from "../rows/generated.js";
import { scoreRows } from "../rows/scoring.js";
import { whenBack } from "../service/connection.js";
import { snippets } from "../snippets.js";
import { dialectLine, invalidRows, remarks, statusOf } from "./view.js";

const MAX_BYTES = 200 * 2 ** 20; // of a file; a browser keeps it in memory

/** @type {import("../panels.js").Panel} */
export const panel = {
  id: "data",
  title: "Rows to score",
  view: "score",
  accepts: (model) => !hasImages(model),
  mount(root, context) {
    const source = new RowSource(root, context);
    const { state } = context;
    const stops = [
      state.watch(["rows", "results", "alpha"], () => source.draw()),
      whenBack(state, () => source.shown.problem, () => source.again()),
    ];
    source.begin();
    return () => stops.forEach((stop) => stop());
  },
};

class RowSource {
  constructor(root, context) {
    Object.assign(this, { root, context, state: context.state });
    this.shown = { busy: null, problem: null, over: false, idColumn: null };
    this.turn = 0; // of the last start, so that what an earlier one says is not shown
    this.text = null; // how to read the text that was given last, and its dialect; null: the rows are generated
  }

  begin() {
    const { rows, results } = this.state.get();
    this.draw();
    if (rows !== null && results === null) this.start(async () => rows); // of another version of the model
  }

  /** Repeat the last start. */
  again() {
    this.start(this.last);
  }

  /** Score the rows that a function finds. @param {() => Promise<Rows>} find */
  async start(find) {
    this.turn += 1;
    const own = this.turn;
    this.last = find;
    const { signal } = (this.stopping = new AbortController());
    const show = (change) => {
      if (own !== this.turn) return;
      Object.assign(this.shown, change);
      this.draw();
    };
    show({ busy: "Reading …", problem: null });
    try {
      const rows = await find();
      if (own !== this.turn) return;
      const idColumn = rows.idColumn(this.state.get().model);
      show({ idColumn });
      const onProgress = (done) => show({ busy: { done, of: rows.length } });
      onProgress(0);
      await scoreRows(this.context, rows, { idColumn, onProgress, signal });
      this.context.announce(`${counted(rows.length, "row")} scored`);
    } catch (problem) {
      if (!isSuperseded(problem)) show({ problem });
    }
    show({ busy: null });
  }

  /** Score no more rows; those that are scored stay. */
  stop() {
    this.stopping.abort();
  }

  /**
   * Score the rows of a text.
   *
   * @param {() => Promise<string>} read
   * @param {string} name
   * @param {import("../rows/dialect.js").Dialect} [dialect] otherwise found in the text
   */
  startText(read, name, dialect) {
    const given = (this.text = { read, name, dialect: dialect ?? null });
    return this.start(async () => {
      const rows = Rows.ofCsv(await read(), name, { model: this.state.get().model, dialect });
      given.dialect = rows.dialect;
      return rows;
    });
  }

  startFile(file) {
    if (!file) return;
    this.startText(async () => {
      if (file.size > MAX_BYTES) throw new Error(`${file.name} has more than 200 MiB. Score it with vae score.`);
      return textOf(file);
    }, file.name);
  }

  paste() {
    const text = this.root.querySelector("textarea").value.trim();
    this.startText(async () => text, "the pasted text");
  }

  generate() {
    this.text = null;
    this.start(() => sampledRows(this.context));
  }

  drop(event) {
    event.preventDefault();
    this.shown.over = false;
    this.draw();
    this.startFile(event.dataTransfer.files[0]);
  }

  over(event, isOver) {
    event.preventDefault();
    if (this.shown.over === isOver) return;
    this.shown.over = isOver;
    this.draw();
  }

  draw() {
    const { rows, results } = this.state.get();
    const { text } = this;
    render(
      html`${dropBox(this)} ${statusOf(this.shown, rows, results, this)}
        ${text?.dialect ? dialectLine(text.dialect, (dialect) => this.startText(text.read, text.name, dialect)) : ""}
        ${results === null ? "" : html`${remarks(results)}${invalidRows(results)}`} ${snippets(codeFor(this.context, rows))}`,
      this.root,
    );
  }
}

function dropBox(panel) {
  const { model } = panel.state.get();
  const over = (isOver) => (event) => panel.over(event, isOver);
  return html`<div class=${`drop ${panel.shown.over ? "over" : ""}`} @dragover=${over(true)} @dragleave=${over(false)} @drop=${(event) => panel.drop(event)}>
    <p class="drop-title">Drop a CSV file</p>
    <p class="quiet small">${columnsText(model)}</p>
    <div class="row">
      <label class="button primary"
        >Choose a file<input class="visually-hidden" type="file" accept=".csv,.tsv,.txt,text/csv" @change=${({ target }) => panel.startFile(target.files[0])}
      /></label>
      <button @click=${() => panel.generate()}>Use generated rows</button>
    </div>
    <details class="paste">
      <summary>Paste rows</summary>
      <div class="stack">
        <label class="field">CSV with a line of column names <textarea rows="5" spellcheck="false"></textarea></label>
        <div><button @click=${() => panel.paste()}>Score the pasted rows</button></div>
      </div>
    </details>
  </div>`;
}

function columnsText(model) {
  const { columns, window } = model.input;
  const names = (window ? [...window.columns] : columns.map(({ name }) => name)).slice(0, 4).join(", ");
  const n = window ? window.columns.length : columns.length;
  const more = n > 4 ? `, and ${n - 4} more` : "";
  const rest = window ? ` One row per time step, in order of time; or windows.` : "";
  return `With the ${n === 1 ? "column" : "columns"} ${names}${more}, in any order. Other columns are kept.${rest}`;
}

function codeFor({ api, state }, rows) {
  const { model, alpha } = state.get();
  const read = csvInPython(model, rows?.dialect);
  const example = rows === null || rows.length === 0 || areSteps(rows, model) ? null : JSON.stringify([rows.object(0, model)]);
  return {
    api,
    path: pathOf(model, "elbo"),
    query: { log_evidence: false, errors: "report", alpha, ...(rows === null ? {} : queryOf(rows.dialect)) },
    body: "-T rows.csv -H 'content-type: text/csv' -H 'accept: text/csv'",
    pythonImports: read.pythonImports,
    define: read.define,
    python: `${read.rows}
scored = client.score(rows, alpha=${alpha}, explain=3, model="${model.name}", version=${model.version})
for row in sorted(scored, key=lambda row: (${isCalibrated(model) ? 'row["p_value"], ' : ""}not row.get("novel"), -row["score"]))[:10]:
    print(row)  # in the order of the page`,
    javascript: `const rows = ${example ?? "[{ /* a value for each column */ }]"};
const options = { alpha: ${alpha}, log_evidence: false, model: "${model.name}", version: ${model.version} };
const { score, p_value, is_anomaly } = await client.elbo(rows, options);
console.log(score, p_value, is_anomaly);`,
  };
}
