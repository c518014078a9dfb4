/** The panel of scores: this file's over those of the calibration, with the false-alarm rate as a slider. */

import { isSuperseded, pathOf } from "../api.js";
import { whenBack } from "../service/connection.js";
import { falseAlarms, rankOf } from "./beta_binomial.js";
import { capitalised, count, counted, number, percent } from "../format.js";
import { drawHistogram } from "./histogram.js";
import { inShort, tooSmall, topOf, topSentence } from "./in_short.js";
import { aThingOf, hasImages, isCalibrated, thingOf } from "../input.js";
import { problemBox } from "../latent/problem_box.js";
import { html, live, render } from "../lit.js";
import { csvInPython } from "../python_code.js";
import { snippets } from "../snippets.js";

const LARGEST = 0.5; // alpha of the slider

/** @type {import("../panels.js").Panel} */
export const panel = {
  id: "scores",
  title: "Scores and false alarms",
  view: "score",
  about: (model) => `${capitalised(aThingOf(model))} is flagged if less than a share alpha of held-out normal ${thingOf(model)}s scores as high. The slider sets alpha.`,
  accepts: isCalibrated,
  mount: (root, context) => mountScores(root, context),
};

function mountScores(root, context) {
  const { state, api } = context;
  const shown = { calibration: null, problem: null, group: 0, refused: false };
  let plot = null;

  async function load() {
    shown.problem = null;
    try {
      shown.calibration = await api.getJson(pathOf(state.get().model, "calibration"), { slot: "calibration" });
    } catch (problem) {
      if (isSuperseded(problem)) return;
      shown.problem = problem;
    }
    draw();
  }

  const choose = (alpha) => {
    shown.refused = !(alpha > 0 && alpha < 1);
    if (!shown.refused) state.set({ alpha });
    draw(); // so that the field shows the alpha in use again
  };

  function draw() {
    render(body(), root);
    const place = root.querySelector(".plot");
    if (place === null) return;
    plot?.destroy();
    plot = drawHistogram(place, shown.calibration.groups[shown.group], filesScores());
  }

  function body() {
    const { calibration, problem } = shown;
    if (problem !== null) {
      return problemBox(problem, load);
    }
    if (calibration === null) return html`<p class="quiet">Loading …</p>`;
    if (calibration.groups.length === 0) return html`<p class="message plain">${calibration.reason}</p>`;
    const { alpha, model } = state.get();
    const thing = thingOf(model);
    const counts = countsOf(calibration, scoredOf(state.get()), alpha);
    return html`${slider(calibration, alpha, choose)} ${shown.refused ? refusal(alpha) : ""} ${figures(calibration, counts, alpha, thing)}
      ${calibration.groups.length > 1 ? groupPicker() : ""}
      <div class="plot" role="img" aria-label=${summaryOf(calibration.groups[shown.group], counts[0], thing)}></div>
      ${legend(calibration.groups[shown.group], counts[shown.group], thing)}
      ${calibration.groups.length > 1 ? groupTable(calibration, counts) : ""} ${snippets(codeFor(context))}`;
  }

  function groupPicker() {
    const change = ({ target }) => {
      shown.group = Number(target.value);
      draw();
    };
    return html`<label class="row small"
      ><span class="quiet">Show</span>
      <select @change=${change} .value=${live(String(shown.group))}>
        ${shown.calibration.groups.map(({ group }, index) => html`<option value=${index}>${group}</option>`)}
      </select></label
    >`;
  }

  /** The scores of this file's rows of the group, and whether each is flagged. */
  function filesScores() {
    const { alpha } = state.get();
    const results = scoredOf(state.get());
    if (results === null) return { scores: [], flagged: [] };
    const name = shown.group === 0 ? null : shown.calibration.groups[shown.group].group;
    const indexes = [];
    for (let index = 0; index < results.done; index += 1) {
      const isThere = !Number.isNaN(results.score[index]);
      if (isThere && (name === null || results.groupOf(index) === name)) indexes.push(index);
    }
    return { scores: indexes.map((i) => results.score[i]), flagged: indexes.map((i) => results.isFlagged(i, alpha)) };
  }

  const stops = [state.watch(["alpha", "results", "images"], draw), whenBack(state, () => shown.problem, load)];
  draw();
  load();
  return () => {
    stops.forEach((stop) => stop());
    plot?.destroy();
  };
}

/** The scores of the rows or images that the visitor gave; null: there are none yet. */
function scoredOf({ results, images = null }) {
  if (results !== null || images === null) return results;
  const numbers = (name) => images.list.map((image) => image[name] ?? NaN);
  const pValue = numbers("pValue");
  const isFlagged = (index, alpha) => pValue[index] <= alpha;
  return { done: pValue.length, score: numbers("score"), pValue, isFlagged, groupOf: () => undefined };
}

/**
 * For each group of the calibration, the first of which is all rows: the rows of the file that are compared with it, how
 * many are flagged, and how many have the smallest p-value.
 */
function countsOf({ groups, guarantee }, results, alpha) {
  const at = new Map(groups.map(({ group }, index) => [group, index]));
  const found = groups.map((calibration) => ({ rows: 0, flagged: 0, top: 0, calibration }));
  for (let index = 0; index < (results?.done ?? 0); index += 1) {
    if (Number.isNaN(results.pValue[index])) continue;
    const own = groups.length > 1 ? (at.get(results.groupOf(index)) ?? 0) : 0;
    found[own].rows += 1;
    if (results.isFlagged(index, alpha)) found[own].flagged += 1;
    if (results.isFlagged(index, groups[own].smallest_alpha)) found[own].top += 1;
  }
  for (const [index, one] of found.entries()) Object.assign(one, expectedOf(groups[index], one.rows, guarantee, alpha));
  if (groups.length === 1) return found;
  const compared = found.map((one) => ({ ...one }));
  const sum = (name) => compared.reduce((total, one) => total + one[name], 0);
  return [{ rows: sum("rows"), flagged: sum("flagged"), expected: sum("expected"), own: compared[0] }, ...compared.slice(1)];
}

/** Expected false alarms; with folds only a bound on their mean is known, so there is no interval. */
function expectedOf({ rows: heldOut, fold_rows: folds }, rows, guarantee, alpha) {
  return folds ? { expected: guarantee * alpha * rows, isBound: true } : falseAlarms(rows, heldOut, alpha);
}

function slider({ groups }, alpha, choose) {
  const smallest = groups[0].smallest_alpha;
  const change = ({ target }) => choose(Number((10 ** Number(target.value)).toPrecision(2)));
  const typed = ({ target }) => choose(Number(target.value));
  return html`<div class="alpha">
    <label class="field alpha-slider"
      >False-alarm rate alpha
      <input
        type="range"
        min=${Math.log10(smallest)}
        max=${Math.log10(LARGEST)}
        step="any"
        .value=${live(String(Math.log10(alpha)))}
        aria-valuetext=${`alpha ${number(alpha, 2)}`}
        @input=${change}
        @keydown=${byKey(alpha, smallest, choose)}
      />
      <span class="ends small quiet"><span>${number(smallest, 2)}, the smallest</span><span>${LARGEST}</span></span>
    </label>
    <label class="field alpha-number">alpha <input type="number" min="0" max="1" step="any" .value=${live(String(alpha))} @change=${typed} /></label>
  </div>`;
}

const refusal = (alpha) => html`<p class="alarm-text small" role="alert">Alpha stays ${String(alpha)}: enter a number above 0 and below 1. The slider ends at ${LARGEST}.</p>`;

/** Arrow keys move alpha by a tenth of its size, since a slider with the step "any" has no step of its own. */
function byKey(alpha, smallest, choose) {
  const factors = { ArrowRight: 1.1, ArrowUp: 1.1, ArrowLeft: 1 / 1.1, ArrowDown: 1 / 1.1, PageUp: 2, PageDown: 0.5 };
  return (event) => {
    if (!(event.key in factors)) return;
    event.preventDefault();
    choose(Number(Math.min(LARGEST, Math.max(smallest, alpha * factors[event.key])).toPrecision(2)));
  };
}

/** The sentences under "In short". */
function sentencesOf(groups, [all, ...others], alpha, thing) {
  const beyond = others.flatMap(({ flagged, high }, index) => (flagged > high ? [groups[index + 1].group] : []));
  const own = [all.own ?? all, ...others];
  const top = topOf(own);
  const { sentences, isAll } = tooSmall(own, alpha, thing);
  if (isAll) return top.isSurprising ? [...sentences, topSentence(top, thing)] : sentences;
  return [...inShort(all, beyond, top, alpha, thing), ...sentences];
}

function figures({ groups, guarantee }, counts, alpha, thing) {
  const [all] = counts;
  const [{ rows: heldOut, smallest_alpha: smallest }] = groups;
  if (all.rows === 0) {
    return html`<p class="quiet small">${counted(heldOut, `held-out ${thing}`)}. Score ${thing}s to compare them with these.</p>`;
  }
  const expected = all.isBound
    ? html`at most ${number(all.expected, 3)} <small>on average, with ${groups[0].fold_rows.length} folds (${number(guarantee, 2)} alpha)</small>`
    : html`${number(all.expected, 3)} <small>${all.low === undefined ? `if all ${thing}s are normal` : `${count(all.low)} to ${count(all.high)} with 95 %, if all ${thing}s are normal`}</small>`;
  return html`<dl class="facts figures" data-smallest=${smallest}>
    <div><dt>${capitalised(thing)}s flagged</dt><dd class="large"><span class="alarm-text">${count(all.flagged)}</span> <small>of ${count(all.rows)}, ${percent(all.flagged / all.rows)}</small></dd></div>
    <div><dt>False alarms expected</dt><dd class="large">${expected}</dd></div>
    <div><dt>In short</dt><dd>${sentencesOf(groups, counts, alpha, thing).map((sentence) => html`<p>${sentence}</p>`)}</dd></div>
  </dl>`;
}

function summaryOf({ rows }, { rows: own, flagged }, thing) {
  const file = own === 0 ? `no ${thing}s of yours` : `${counted(own, thing)} of yours, ${count(flagged)} of them flagged`;
  return `Histogram of scores: ${counted(rows, `held-out ${thing}`)} and ${file}`;
}

function legend({ rows, novel }, { rows: shown, flagged }, thing) {
  return html`<p class="legend small">
    <span><i class="swatch calibration"></i>${counted(rows, `held-out ${thing}`)}${novel > 0 ? ` (${novel} novel, not shown)` : ""}</span>
    ${shown === 0 ? "" : html`<span><i class="swatch file"></i>${thing === "image" ? "your images" : "this file"}, not flagged: ${count(shown - flagged)}</span><span><i class="swatch flagged"></i>flagged: ${count(flagged)}</span>`}
  </p>`;
}

function groupTable({ groups }, counts) {
  const lines = groups.map((group, index) => ({ group, own: index === 0 ? counts[0].own : counts[index] }));
  return html`<div class="scroll" tabindex="0" role="region" aria-label="False alarms by group">
    <table>
      <thead>
        <tr><th class="words" scope="col">Group</th><th scope="col">Held out</th><th scope="col">Rows</th><th scope="col">Flagged</th><th scope="col">Expected</th></tr>
      </thead>
      <tbody>
        ${lines
          .filter(({ own }, index) => index > 0 || own.rows > 0)
          .map(
            ({ group, own }) =>
              html`<tr><th class="words" scope="row">${group.group}</th><td>${count(group.rows)}</td><td>${count(own.rows)}</td><td>${count(own.flagged)}</td><td>${number(own.expected, 3)}${own.low === undefined ? "" : html` <span class="quiet">${count(own.low)} to ${count(own.high)}</span>`}</td></tr>`,
          )}
      </tbody>
    </table>
  </div>`;
}

function codeFor({ api, state }) {
  const { model, alpha } = state.get();
  const n = model.calibration.entries[0].n;
  const k = Math.max(1, rankOf(alpha, n));
  const read = hasImages(model) ? { pythonImports: "", define: "", rows: 'rows = ["first.png", "second.png"]' } : csvInPython(model, state.get().rows?.dialect);
  return {
    api,
    method: "GET",
    path: pathOf(model, "calibration"),
    define: read.define,
    pythonImports: `${read.pythonImports}from scipy.stats import betabinom\n`,
    python: `${read.rows}
found = client.elbo(rows, alpha=${alpha}, log_evidence=False, model="${model.name}", version=${model.version})
normal = betabinom(len(rows), ${k}, ${n} + 1 - ${k})  # ${n} held-out rows
print(found.is_anomaly.sum(), "flagged; false alarms:", normal.mean(), normal.interval(0.95))`,
    javascript: `const { calibration } = await client.model("${model.name}", { version: ${model.version} });
console.log(calibration.entries[0].n, "held-out rows;", calibration.entries[0].thresholds);`,
  };
}
