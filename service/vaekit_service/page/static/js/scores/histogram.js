/** Draws the histogram: shares of rows by score, of the calibration and of the file, and the flagged ones of the file. */

const { uPlot } = globalThis;

const MORE_PX = 48; // between the labels "more" and the one before
const AXIS_PX = 60; // beside the plot
const MORE_BINS = 1; // as many bins beyond the calibration's as it has, for higher scores of the file
const HEIGHT = 210;

/**
 * The bins of the calibration, continued for the file's scores, with one for all lower and one for all higher ones.
 *
 * @param {{ edges: number[], counts: number[], above: number }} calibration
 * @param {number[]} scores of the file
 */
export function binsOf({ edges, counts, above }, scores) {
  const step = edges[1] - edges[0];
  const sorted = Float64Array.from(scores).sort();
  const wanted = sorted.length === 0 ? edges.at(-1) : sorted[Math.floor(0.97 * (sorted.length - 1))];
  const free = above > 0 ? 0 : Math.ceil(MORE_BINS * counts.length); // where held-out scores above lie is not known
  const more = Math.min(free, Math.max(0, Math.ceil((wanted - edges.at(-1)) / step)));
  const all = [...edges, ...Array.from({ length: more }, (_, index) => edges.at(-1) + (index + 1) * step)];
  const hasBelow = sorted.length > 0 && sorted[0] < all[0];
  const hasAbove = above > 0 || (sorted.length > 0 && sorted.at(-1) >= all.at(-1));
  const heldOut = [...(hasBelow ? [0] : []), ...counts, ...Array(more).fill(0), ...(hasAbove ? [above] : [])];
  return { edges: all, step, hasBelow, hasAbove, heldOut };
}

/** The index of the bin of a score. */
function binOf({ edges, step, hasBelow, hasAbove }, score) {
  if (score < edges[0]) return 0;
  const inner = Math.min(Math.floor((score - edges[0]) / step + 1e-9), edges.length - 1);
  return (hasBelow ? 1 : 0) + (hasAbove ? inner : Math.min(inner, edges.length - 2));
}

/**
 * Draw the histogram into an element, for its width.
 *
 * @param {HTMLElement} place
 * @param {object} calibration a group of the reply of /calibration
 * @param {{ scores: number[], flagged: boolean[] }} file
 * @returns {{ destroy: () => void }}
 */
export function drawHistogram(place, calibration, { scores, flagged }) {
  const bins = binsOf(calibration, scores);
  const all = bins.heldOut.map(() => 0);
  const alarms = bins.heldOut.map(() => 0);
  scores.forEach((score, index) => {
    const bin = binOf(bins, score);
    all[bin] += 1;
    if (flagged[index]) alarms[bin] += 1;
  });
  const share = (counts, n) => counts.map((x) => (n === 0 ? null : (100 * x) / n));
  const inBins = bins.heldOut.reduce((sum, x) => sum + x, 0);
  const data = [
    bins.heldOut.map((_, index) => index + 0.5),
    share(all, scores.length),
    share(alarms, scores.length),
    share(bins.heldOut, inBins),
  ];
  const plot = new uPlot(optionsOf(place, bins), data, place);
  const observer = new ResizeObserver(() => plot.setSize({ width: Math.max(120, place.clientWidth), height: HEIGHT }));
  observer.observe(place);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const recolour = () => plot.redraw();
  dark.addEventListener("change", recolour);
  return {
    destroy() {
      observer.disconnect();
      dark.removeEventListener("change", recolour);
      plot.destroy();
    },
  };
}

function optionsOf(place, bins) {
  const colour = (name) => () => getComputedStyle(place).getPropertyValue(name).trim();
  const bars = uPlot.paths.bars({ size: [0.86], align: 0 });
  const n = bins.heldOut.length;
  const axis = { stroke: colour("--quiet"), ticks: { show: false }, font: "12px system-ui, sans-serif" };
  return {
    width: Math.max(120, place.clientWidth),
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 18, 0, 0],
    scales: { x: { time: false, range: [0, n] }, y: { range: (_, __, highest) => [0, Math.max(1, highest * 1.08)] } },
    axes: [
      { ...axis, grid: { show: false }, label: "score, nats", labelFont: axis.font, labelSize: 20, size: 30, splits: () => splitsOf(bins, place.clientWidth), values: (_, at) => at.map((x) => textOf(bins, x)) },
      { ...axis, grid: { stroke: colour("--rule"), width: 1 }, size: 46, values: (_, at) => at.map((x) => `${x} %`) },
    ],
    series: [
      {},
      { paths: bars, points: { show: false }, fill: colour("--file-bar"), stroke: "transparent", width: 0 },
      { paths: bars, points: { show: false }, fill: colour("--c2"), stroke: "transparent", width: 0 },
      { paths: stepsOf(), points: { show: false }, fill: colour("--calibration-fill"), stroke: colour("--c1"), width: 2 },
    ],
  };
}

/** The outline of bins of width 1 around their centres. */
function stepsOf() {
  return (plot, series, from, to) => {
    const outline = new Path2D();
    const values = plot.data[series];
    const x = (at) => plot.valToPos(at, "x", true);
    const y = (share) => plot.valToPos(share, "y", true);
    outline.moveTo(x(from), y(0));
    for (let index = from; index <= to; index += 1) {
      outline.lineTo(x(index), y(values[index] ?? 0));
      outline.lineTo(x(index + 1), y(values[index] ?? 0));
    }
    outline.lineTo(x(to + 1), y(0));
    return { stroke: outline, fill: outline, clip: null, flags: 0 };
  };
}

/** The edges that get a label, as numbers of bins from the left. */
export function splitsOf({ edges, hasBelow, hasAbove, heldOut }, width) {
  const every = Math.max(1, Math.ceil(edges.length / Math.max(2, width / 70)));
  const first = hasBelow ? 1 : 0;
  const inner = edges.map((_, index) => index).filter((index) => index % every === 0 && (!hasAbove || index < edges.length - 1));
  const last = hasAbove ? [heldOut.length - 0.5] : [];
  const free = (MORE_PX * heldOut.length) / Math.max(1, width - AXIS_PX); // bins that "more" needs to its left
  return [...inner.map((index) => first + index).filter((at) => !hasAbove || at < heldOut.length - Math.max(1.5, 0.5 + free)), ...last];
}

function textOf({ edges, step, hasBelow }, at) {
  const index = at - (hasBelow ? 1 : 0);
  if (!Number.isInteger(index)) return "more";
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return edges[index].toFixed(Math.min(12, digits));
}
