/** The evidence of a change at the looks since the page was opened. */

import { svg } from "../lit.js";

const MOST = 180; // looks that are kept: half an hour
const [WIDTH, HEIGHT, TOP, BOTTOM] = [320, 100, 18, 80];

/** @param {{ at: number, evidence: number }[]} looks @param {object} health @param {number} [at] */
export function addLook(looks, health, at = Date.now()) {
  if (health.log10_evidence === null || health.log10_evidence === undefined) return looks;
  return [...looks, { at, evidence: Math.max(health.log10_evidence, 0) }].slice(-MOST);
}

/** @param {{ at: number, evidence: number }[]} looks */
export function historyChart(looks) {
  const top = Math.max(4, ...looks.map(({ evidence }) => evidence));
  const y = (evidence) => BOTTOM - (evidence / top) * (BOTTOM - TOP);
  const x = (i) => 14 + (i / Math.max(looks.length - 1, 1)) * (WIDTH - 28);
  const points = looks.map(({ evidence }, i) => `${x(i).toFixed(1)},${y(evidence).toFixed(1)}`);
  const last = looks.length - 1;
  return svg`<svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label=${`Evidence of a change at ${looks.length} looks, limit 1,000 to 1`}>
    <line class="axis" x1="14" x2=${WIDTH - 14} y1=${BOTTOM} y2=${BOTTOM}></line>
    <line class="limit" x1="14" x2=${WIDTH - 14} y1=${y(3)} y2=${y(3)}></line>
    <text class="limit-name" x=${WIDTH - 14} y=${y(3) - 5} text-anchor="end">alert, 1,000 to 1</text>
    <polyline class="line" points=${points.join(" ")}></polyline>
    ${last >= 0 ? svg`<circle class=${looks[last].evidence >= 3 ? "rate above" : "rate"} cx=${x(last)} cy=${y(looks[last].evidence)} r="4"></circle>` : ""}
    <text x="14" y=${BOTTOM + 15}>since you opened this page</text>
  </svg>`;
}
