/** The evidence of a change at the looks since the page was opened. */

import { svg } from "../lit.js";

const MOST = 180; // looks that are kept: half an hour
const [WIDTH, HEIGHT, LEFT, TOP, BOTTOM] = [320, 112, 62, 12, 92];
const HIGHEST = 6; // decimal digits of evidence; more is drawn here
const TICKS = { 0: "1 to 1", 3: "1,000", [HIGHEST]: "1,000,000" };

/** @param {{ at: number, evidence: number }[]} looks @param {object} health @param {number} [at] */
export function addLook(looks, health, at = Date.now()) {
  if (health.log10_evidence === null || health.log10_evidence === undefined) return looks;
  return [...looks, { at, evidence: Math.max(health.log10_evidence, 0) }].slice(-MOST);
}

/** @param {{ at: number, evidence: number }[]} looks */
export function historyChart(looks) {
  const y = (evidence) => BOTTOM - (Math.min(evidence, HIGHEST) / HIGHEST) * (BOTTOM - TOP);
  const x = (i) => LEFT + 6 + (i / Math.max(looks.length - 1, 1)) * (WIDTH - LEFT - 20);
  const points = looks.map(({ evidence }, i) => `${x(i).toFixed(1)},${y(evidence).toFixed(1)}`);
  const last = looks.length - 1;
  return svg`<svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label=${`Evidence of a change at ${looks.length} looks, limit 1,000 to 1`}>
    ${Object.entries(TICKS).map(([at, name]) => svg`<line class="axis" x1=${LEFT} x2=${WIDTH - 14} y1=${y(at)} y2=${y(at)}></line><text x=${LEFT - 6} y=${y(at) + 4} text-anchor="end">${name}</text>`)}
    <line class="limit" x1=${LEFT} x2=${WIDTH - 14} y1=${y(3)} y2=${y(3)}></line>
    <text class="limit-name" x=${LEFT + 6} y=${y(3) - 5}>alert</text>
    <polyline class="line" points=${points.join(" ")}></polyline>
    ${last >= 0 ? svg`<circle class=${looks[last].evidence >= 3 ? "rate above" : "rate"} cx=${x(last)} cy=${y(looks[last].evidence)} r="4"></circle>` : ""}
    <text x=${LEFT} y=${BOTTOM + 15}>since you opened this page</text>
  </svg>`;
}
