/** Numbers and dates as text. */

const WHOLE = new Intl.NumberFormat("en");

/** A count with separators. @param {number} n */
export const count = (n) => WHOLE.format(n);

/** "1 row", "2 rows". @param {number} n @param {string} noun */
export const counted = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;

/** A text with a capital letter. @param {string} text */
export const capitalised = (text) => `${text[0].toUpperCase()}${text.slice(1)}`;

/** A number with some significant digits; "–" if there is none. @param {number | null | undefined} x */
export function number(x, digits = 4) {
  if (x === null || x === undefined || Number.isNaN(x)) return "–";
  if (typeof x !== "number") return String(x);
  const size = Math.abs(x);
  if (size !== 0 && (size >= 1e6 || size < 1e-4)) return x.toExponential(Math.max(0, digits - 2));
  if (Number.isInteger(x)) return WHOLE.format(x);
  return String(Number(x.toPrecision(digits)));
}

/** A share as percent. @param {number | null} share */
export function percent(share) {
  if (share === null || share === undefined) return "–";
  const value = 100 * share;
  return `${value >= 10 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : number(value, 2)} %`;
}

/** A date without its time. @param {string} iso */
export const day = (iso) => iso.slice(0, 10);

/** A text of at most some letters. @param {string} text @param {number} most */
export const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
