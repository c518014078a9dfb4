/** Pointer and keyboard on the latent map. */

import { byAnomaly } from "../../rows/results.js";
import { nearest, neighbour } from "./layout.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @param {HTMLCanvasElement} canvas
 * @param {{ canvas: import("./canvas.js").MapCanvas, cloud: object, current: number, chosen: number,
 *   look: (point: number) => void, choose: (point: number) => void }} map
 */
export function makePointer(canvas, map) {
  let asked = 0; // at most one look per frame
  let last = null;

  const pointAt = ({ offsetX, offsetY }) => {
    const { layout } = map.canvas;
    if (!layout || !map.cloud) return -1;
    return nearest(layout, offsetX, offsetY, 16, map.cloud.mu.length); // the background behind them has no rows
  };
  canvas.addEventListener("pointermove", (event) => {
    last = { offsetX: event.offsetX, offsetY: event.offsetY };
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      map.look(pointAt(last));
    });
  });
  canvas.addEventListener("pointerleave", () => {
    cancelAnimationFrame(asked);
    asked = 0;
    map.look(-1);
  });
  canvas.addEventListener("click", (event) => {
    const point = pointAt(event);
    if (point >= 0) map.choose(point);
  });
  canvas.addEventListener("keydown", (event) => {
    if (!map.cloud?.mu.length || !map.canvas.layout) return;
    const from = map.current >= 0 ? map.current : map.chosen >= 0 ? map.chosen : mostAnomalous(map.cloud);
    if (event.key in ARROWS) {
      const start = map.current < 0 && map.chosen < 0;
      map.look(start ? from : neighbour(map.canvas.layout, from, ARROWS[event.key], map.cloud.mu.length));
    } else if (event.key === "Home") map.look(mostAnomalous(map.cloud));
    else if (event.key === "Enter" || event.key === " ") map.choose(from);
    else if (event.key === "Escape") map.look(-1);
    else return;
    event.preventDefault();
  });
  canvas.addEventListener("focus", () => {
    if (canvas.matches(":focus-visible") && map.cloud?.mu.length && map.current < 0) {
      map.look(map.chosen >= 0 ? map.chosen : mostAnomalous(map.cloud));
    }
  });
}

/** The point that the table of scored rows has first. @param {import("../cloud.js").Cloud} cloud */
export function mostAnomalous(cloud) {
  const compare = byAnomaly(cloud);
  return cloud.score.reduce((best, _, point) => (compare(point, best) < 0 ? point : best), 0);
}
