/** Draws the rate of alarms with its interval against alpha. */

import { percent } from "../format.js";
import { svg } from "../lit.js";

const [WIDTH, HEIGHT, LEFT, RIGHT] = [320, 100, 14, 14];

/** @param {{ anomaly_rate: number, anomaly_rate_low: number, anomaly_rate_high: number, alpha: number }} health */
export function rateChart({ anomaly_rate: rate, anomaly_rate_low: low, anomaly_rate_high: high, alpha }) {
  const top = niceTop(Math.max(high, alpha * 2));
  const x = (share) => LEFT + (share / top) * (WIDTH - LEFT - RIGHT);
  const above = low > alpha;
  return svg`<svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Rate of alarms ${percent(rate)}, alpha ${percent(alpha)}">
    <line class="axis" x1=${LEFT} x2=${WIDTH - RIGHT} y1="66" y2="66"></line>
    ${[0, top / 2, top].map((share) => tick(x(share), share))}
    <line class="limit" x1=${x(alpha)} x2=${x(alpha)} y1="20" y2="66"></line>
    <text class="limit-name" x=${x(alpha)} y="13" text-anchor=${anchor(x(alpha))}>alpha ${percent(alpha)}</text>
    <rect class=${above ? "interval above" : "interval"} x=${x(low)} width=${Math.max(x(high) - x(low), 1)} y="38" height="10" rx="5"></rect>
    <circle class=${above ? "rate above" : "rate"} cx=${x(rate)} cy="43" r="6"></circle>
  </svg>`;
}

const tick = (x, share) => svg`<line class="axis" x1=${x} x2=${x} y1="66" y2="71"></line>
  <text x=${x} y="86" text-anchor=${anchor(x)}>${percent(share)}</text>`;

function anchor(x) {
  return x < 40 ? "start" : x > WIDTH - 40 ? "end" : "middle";
}

/** The next of 1, 2, 4, 10 ... per cent that is large enough, at most 1. */
export function niceTop(share) {
  return [0.01, 0.02, 0.04, 0.1, 0.2, 0.4, 0.6, 0.8].find((one) => one >= share) ?? 1;
}
