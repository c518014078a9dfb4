/** The panel where rows come from: a file, pasted text, or samples of the model. It scores them. */

import { isSuperseded, pathOf } from "../api.js";
import { count, counted } from "../format.js";
import { hasImages } from "../input.js";
import { html, render } from "../lit.js";
import { areSteps, Rows } from "../rows/rows.js";
import { sampledRows } from "../rows/generated.js";
import { scoreRows } from "../rows/scoring.js";
import { snippets } from "../snippets.js";

const MAX_BYTES = 200 * 2 ** 20; // of a file; a browser keeps it in memory
const SHOWN = 50; // invalid rows that are listed

/** @type {import("../panels.js").Panel} */
export const panel = {
  id: "data",
  title: "Rows to score",
  view: "score",
  accepts: (model) => !hasImages(model),
  mount: (root, context) => mountData(root, context),
};

function mountData(root, context) {
  const { state, announce } = context;
  const shown = { busy: null, problem: null, over: false, idColumn: null };
  let turn = 0; // of the last start, so that what an earlier one says is not shown

  /** Score the rows that a function finds. @param {() => Promise<Rows>} find */
  async function start(find) {
    turn += 1;
    const own = turn;
    const show = (change) => {
      if (own !== turn) return;
      Object.assign(shown, change);
      draw();
    };
    show({ busy: "Reading …", problem: null });
    try {
      const rows = await find();
      if (own !== turn) return;
      const idColumn = rows.idColumn(state.get().model);
      show({ idColumn });
      await scoreRows(context, rows, { idColumn, onProgress: (done) => show({ busy: { done, of: rows.length } }) });
      announce(`${counted(rows.length, "row")} scored`);
    } catch (problem) {
      if (!isSuperseded(problem)) show({ problem });
    }
    show({ busy: null });
  }

  const startFile = (file) =>
    file &&
    start(async () => {
      if (file.size > MAX_BYTES) throw new Error(`${file.name} has more than 200 MiB. Score it with vae score.`);
      return Rows.ofCsv(await file.text(), file.name);
    });

  const drop = (event) => {
    event.preventDefault();
    shown.over = false;
    draw();
    startFile(event.dataTransfer.files[0]);
  };
  const over = (isOver) => (event) => {
    event.preventDefault();
    if (shown.over === isOver) return;
    shown.over = isOver;
    draw();
  };
  const paste = () => start(async () => Rows.ofCsv(root.querySelector("textarea").value.trim(), "the pasted text"));

  function draw() {
    const { rows, results, model } = state.get();
    render(
      html`<div class=${`drop ${shown.over ? "over" : ""}`} @dragover=${over(true)} @dragleave=${over(false)} @drop=${drop}>
          <p class="drop-title">Drop a CSV file</p>
          <p class="quiet small">${columnsText(model)}</p>
          <div class="row">
            <label class="button primary"
              >Choose a file<input class="visually-hidden" type="file" accept=".csv,text/csv" @change=${({ target }) => startFile(target.files[0])}
            /></label>
            <button @click=${() => start(() => sampledRows(context))}>Use generated rows</button>
          </div>
          <details class="paste">
            <summary>Paste rows</summary>
            <div class="stack">
              <label class="field">CSV with a line of column names <textarea rows="5" spellcheck="false"></textarea></label>
              <div><button @click=${paste}>Score the pasted rows</button></div>
            </div>
          </details>
        </div>
        ${statusOf(shown, rows, results)} ${results === null ? "" : html`${remarks(results)}${invalidRows(results)}`}
        ${snippets(codeFor(context, rows))}`,
      root,
    );
  }

  const stop = state.watch(["rows", "results", "alpha"], draw);
  draw();
  return stop;
}

function columnsText(model) {
  const { columns, window } = model.input;
  const names = (window ? [...window.columns] : columns.map(({ name }) => name)).slice(0, 4).join(", ");
  const n = window ? window.columns.length : columns.length;
  const more = n > 4 ? `, and ${n - 4} more` : "";
  const rest = window ? ` One row per time step, in order of time; or windows.` : "";
  return `With the ${n === 1 ? "column" : "columns"} ${names}${more}, in any order. Other columns are kept.${rest}`;
}

function statusOf({ busy, problem, idColumn }, rows, results) {
  if (problem !== null) {
    const kept = results?.done > 0 ? ` The first ${counted(results.done, "row")} were scored.` : "";
    return html`<p class="message" role="alert">${problem.message}${kept}</p>`;
  }
  if (typeof busy === "string") return html`<p class="quiet">${busy}</p>`;
  if (busy !== null) {
    return html`<label class="small quiet"
      >${count(busy.done)} of ${counted(busy.of, "row")} scored <progress max=${busy.of} value=${busy.done}></progress
    ></label>`;
  }
  if (rows === null) return "";
  const ids = idColumn === null ? "" : html` The column <code>${idColumn}</code> identifies them.`;
  return html`<p class="small"><strong>${counted(rows.length, "row")}</strong> ${rows.source}.${ids}</p>`;
}

function remarks({ remarks: said, reason }) {
  const all = reason === null ? said : [...said, reason];
  return all.map((text) => html`<p class="message plain small">${text}</p>`);
}

function invalidRows({ invalid }) {
  if (invalid.length === 0) return "";
  const rest = invalid.length - SHOWN;
  return html`<div class="message">
    <h3>${counted(invalid.length, "row")} could not be read</h3>
    <ul class="plain-list small">
      ${invalid.slice(0, SHOWN).map(
        ({ index, column, reason, value }) =>
          html`<li>Row ${index}${column === null ? "" : html`, column <code>${column}</code>`}: ${reason}${value === null || value === undefined ? "" : html`, <code>${String(value)}</code>`}</li>`,
      )}
    </ul>
    ${rest > 0 ? html`<p class="small">and ${counted(rest, "more row")}</p>` : ""}
  </div>`;
}

function codeFor({ api, state }, rows) {
  const { model, alpha } = state.get();
  const example = rows === null || rows.length === 0 || areSteps(rows, model) ? null : JSON.stringify([rows.object(0, model)]);
  return {
    api,
    path: pathOf(model, "elbo"),
    query: { log_evidence: false, errors: "report", alpha },
    body: "-T rows.csv -H 'content-type: text/csv' -H 'accept: text/csv'",
    pythonImports: "import pandas as pd\n",
    python: `rows = pd.read_csv("rows.csv")
scored = client.score(rows, alpha=${alpha}, explain=3, model="${model.name}", version=${model.version})
print(scored.sort_values("p_value").head(10))`,
    javascript: `const rows = ${example ?? "[{ /* a value for each column */ }]"};
const options = { alpha: ${alpha}, log_evidence: false, model: "${model.name}", version: ${model.version} };
const { score, p_value, is_anomaly } = await client.elbo(rows, options);
console.log(score, p_value, is_anomaly);`,
  };
}
