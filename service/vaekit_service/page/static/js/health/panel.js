/** The panel with the live health of the model: recent scores against the calibration. */

import { isSuperseded, pathOf } from "../api.js";
import { whenBack } from "../service/connection.js";
import { capitalised, counted, number } from "../format.js";
import { thingOf } from "../input.js";
import { problemBox } from "../latent/problem_box.js";
import { html, render } from "../lit.js";
import { snippets } from "../snippets.js";
import { alarmSentence, evidenceWords, named, ownRows, pWords, span, verdictOf } from "./words.js";
import { rateChart } from "./rate_chart.js";
import { addLook, historyChart } from "./history.js";

const EVERY_MS = 10_000; // as often as the service compares
const AFTER_FAILURE_MS = 20_000;
const NONE_YET = /^no row was scored yet/; // other reasons stay

/** @type {import("../panels.js").Panel} */
export const panel = {
  id: "health",
  title: "Model health",
  view: "health",
  about: (model) => `Whether the ${thingOf(model)}s that the service has scored lately are still like those it was calibrated on.`,
  accepts: () => true,
  mount(root, context) {
    const health = new Health(root, context);
    health.begin();
    return () => health.end();
  },
};

class Health {
  constructor(root, context) {
    const { model } = context.state.get();
    Object.assign(this, { root, context, model, figures: null, problem: null, looks: [], at: null });
    this.path = `models/${encodeURIComponent(model.name)}/versions/${model.version}/health`;
  }

  begin() {
    this.shown = () => (document.hidden ? clearTimeout(this.timer) : this.look());
    document.addEventListener("visibilitychange", this.shown);
    this.stop = whenBack(this.context.state, () => this.problem, () => this.look());
    this.draw();
    this.look();
  }

  end() {
    clearTimeout(this.timer);
    this.stop();
    this.abort?.abort();
    document.removeEventListener("visibilitychange", this.shown);
  }

  /** Ask for the figures, and again after a while unless the page is hidden. */
  async look() {
    clearTimeout(this.timer);
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    try {
      this.figures = await this.context.api.getJson(this.path, { signal: abort.signal });
      this.looks = addLook(this.looks, this.figures);
      this.at = new Date();
      this.problem = null;
    } catch (error) {
      if (abort.signal.aborted || isSuperseded(error)) return;
      this.problem = error;
    }
    this.draw();
    if (!document.hidden) this.timer = setTimeout(() => this.look(), this.problem ? AFTER_FAILURE_MS : EVERY_MS);
  }

  draw() {
    render(view(this), this.root);
  }
}

function view(health) {
  const { figures, problem, at, context, model, path } = health;
  const name = JSON.stringify(model.name);
  return html`<div class="stack">
    ${problemBox(problem, () => health.look())}
    ${figures ? body(health, ownRows(context.api.scoredRows(pathOf(model, "elbo")), thingOf(model))) : problem ? "" : html`<p class="quiet">Asking for the health of the model …</p>`}
    ${at ? html`<p class="quiet small">Last look at ${at.toLocaleTimeString("en-GB")}. The page looks every 10 seconds while it is visible.</p>` : ""}
    ${snippets({
      api: context.api,
      method: "GET",
      path,
      python: `health = client.model_health(${name}, ${model.version})\nprint(health.reading, health.anomaly_rate)`,
      javascript: `const health = await client.modelHealth(${name}, { version: ${model.version} });\nconsole.log(health.reading, health.anomaly_rate);`,
    })}
  </div>`;
}

function body({ figures, looks, model }, own) {
  const thing = thingOf(model);
  if (!figures.rows) {
    return html`<p class="message plain">There is nothing to compare: ${named(figures.reading, thing)}.${NONE_YET.test(figures.reading) ? ` Score some ${thing}s, and they appear here within seconds.` : ""}</p>`;
  }
  const changed = figures.log10_evidence >= 3;
  return html`<p class=${changed ? "message" : "message plain"}>${verdictOf(figures, thing)}</p>
    ${own ? html`<p class="small quiet" data-own>${own}</p>` : ""}
    <div class="health">
      <figure class="box">
        <h3>Rate of alarms</h3>
        ${rateChart(figures)}
        <figcaption>${alarmSentence(figures, thing)}</figcaption>
      </figure>
      <figure class="box">
        <h3>Evidence of a change</h3>
        ${historyChart(looks)}
        <figcaption>${evidenceWords(figures.log10_evidence)}. It stays valid however often you look.</figcaption>
      </figure>
    </div>
    <dl class="facts">
      ${fact(`${capitalised(thing)}s compared`, `${counted(figures.rows, thing)} in ${span(figures.seconds)}`)}
      ${fact("KS, largest difference of scores", `${number(figures.ks, 2)}, ${pWords(figures.ks_p_value)}`)}
      ${fact("PSI over ten bins", `${number(figures.psi, 2)}, ${pWords(figures.psi_p_value)}`)}
      ${fact("As many alarms by chance", pWords(figures.anomaly_rate_p_value))}
      ${fact(`Novel ${thing}s`, `${number(100 * figures.novel_rate, 2)} %`)}
    </dl>
    <p class="small quiet">Each p-value is that of one figure at one look; the verdict is that of the evidence, which counts all looks.</p>`;
}

const fact = (name, value) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
