/** Finds the level of a category that a cell names. */

/** @typedef {import("./manifest.js").Column} Column */
/** @typedef {string | number | bigint | boolean | null | undefined} Cell */

const BLANK = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"; // as in Python
const OUTER_BLANKS = new RegExp(`^[${BLANK}]+|[${BLANK}]+$`, "g");
const NUMBER = /^(?:[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|[-+]?(?:inf(?:inity)?|nan))$/i;
const DIGITS = /^[-+]?\d+$/;
const MOMENT = /^(\d{4}-\d\d-\d\d)(?:[ T](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?(Z|[-+]\d\d(?::?\d\d)?)?)?$/;
const TIME_OF_DAY = /^(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?$/;
/** @type {Map<string, string[]>} */
const BOOLEAN_SPELLINGS = new Map([
  ["true", ["true", "True", "TRUE"]],
  ["false", ["false", "False", "FALSE"]],
]);
const SHOWN = 10; // levels that a message lists

/** A text without blanks at its ends. */
export function stripped(/** @type {string} */ text) {
  return text.replace(OUTER_BLANKS, "");
}

/** The number in a text, with or without blanks around it; undefined if it is not a number, like 1_0 or 0x10. */
export function numberIn(/** @type {string} */ text) {
  const found = stripped(text);
  if (!NUMBER.test(found)) return undefined;
  if (/inf/i.test(found)) return found.startsWith("-") ? -Infinity : Infinity;
  return Number(found); // NaN for the text nan
}

/**
 * A whole number of any size as a key: a number where float64 holds it, otherwise a bigint.
 *
 * @param {bigint} whole
 * @returns {number | bigint}
 */
function wholeKey(whole) {
  const near = Number(whole);
  return Number.isFinite(near) && BigInt(near) === whole ? near : whole;
}

/** The finite number in a text, as a key; undefined if there is none. */
function exactNumberIn(/** @type {string} */ text) {
  const number = numberIn(text);
  if (number === undefined || !Number.isFinite(number)) return undefined;
  const found = stripped(text);
  return DIGITS.test(found) ? wholeKey(BigInt(found.replace(/^\+/, ""))) : number;
}

/** The level that training makes of a cell: '1' for 1 and 1.0, 'true' for true, text unchanged. */
export function levelText(/** @type {string | number | bigint | boolean} */ cell) {
  return typeof cell === "number" && Number.isInteger(cell) ? BigInt(cell).toString() : String(cell);
}

/**
 * @typedef {{ known: Map<string | number | bigint, number>, hasLong: boolean }} LevelIndex
 * @type {WeakMap<Column, LevelIndex>}
 */
const cache = new WeakMap();

/** The index of each level by its text, and also by its number or moment if its text is a number or a time. */
function levelIndices(/** @type {Column} */ column) {
  const cached = cache.get(column);
  if (cached) return cached;
  const levels = column.levels ?? [];
  /** @type {LevelIndex["known"]} */
  const known = new Map();
  const addIfNew = (/** @type {string} */ key, /** @type {number} */ i) => known.has(key) || known.set(key, i);
  let hasLong = false; // whether some level is a whole number that float64 does not hold
  levels.forEach((level, i) => {
    const number = exactNumberIn(level);
    hasLong ||= typeof number === "bigint";
    if (number !== undefined && (!known.has(number) || level === levelText(number))) known.set(number, i);
    const moment = level.includes(":") ? momentOf(level) : undefined; // a date without a time is a day
    if (moment !== undefined) addIfNew(moment, i);
    for (const spelling of BOOLEAN_SPELLINGS.get(level.toLowerCase()) ?? []) addIfNew(spelling, i);
  });
  levels.forEach((level, i) => known.set(level, i));
  const found = { known, hasLong };
  cache.set(column, found);
  return found;
}

/**
 * The index of the level that a cell names; undefined if it names none.
 *
 * A cell names the level with exactly its text. If there is none, a number, or text that is a number, names the level
 * of equal value, and a time names the level that is the same moment.
 *
 * @param {Cell} cell
 * @param {Column} column a category
 */
export function levelIndex(cell, column) {
  if (cell === null || cell === undefined) return undefined;
  if (typeof cell !== "string" && !Number.isFinite(Number(cell))) return undefined;
  const { known, hasLong } = levelIndices(column);
  const own = known.get(levelText(cell));
  if (own !== undefined || typeof cell === "boolean") return own;
  let number = typeof cell === "string" ? exactNumberIn(cell) : typeof cell === "bigint" ? wholeKey(cell) : cell;
  if (typeof number === "bigint" && !known.has(number) && !hasLong) number = Number(number);
  const byNumber = number === undefined ? undefined : known.get(number);
  if (byNumber !== undefined) return byNumber;
  const moment = typeof cell === "string" ? momentOf(cell) : undefined;
  return moment === undefined ? undefined : known.get(moment);
}

/** What is wrong with a cell that names no level, for messages. */
export function notALevel(/** @type {Column} */ column) {
  const levels = column.levels ?? [];
  const some = levels.slice(0, SHOWN).map((level) => `'${level}'`);
  return `not one of its ${levels.length} levels (${some.join(", ")}${levels.length > SHOWN ? ", ..." : ""})`;
}

/** The ISO time or time of day that a text is, in UTC and normalised; undefined if it is neither. */
export function momentOf(/** @type {string} */ text) {
  const given = stripped(text);
  const ofDay = TIME_OF_DAY.exec(given);
  if (ofDay) return `${ofDay[1]}.${(ofDay[2] ?? "").padEnd(9, "0")}`;
  const found = MOMENT.exec(given);
  if (!found) return undefined;
  const [, date, hour = "00", minute = "00", second = "00", fraction = "", zone = ""] = found;
  return `${inUtc(`${date}T${hour}:${minute}:${second}`, zone)}.${fraction.padEnd(9, "0")}`;
}

/** A time without a zone is in UTC. */
function inUtc(/** @type {string} */ moment, /** @type {string} */ zone) {
  if (zone === "" || zone === "Z") return moment;
  const [year, month, day, hour, minute, second] = moment.split(/[-T:]/).map(Number);
  const local = new Date(0);
  local.setUTCFullYear(year, month - 1, day);
  local.setUTCHours(hour, minute, second);
  // a date that does not exist, such as the 31st of June, moves to another one
  if (year < 1 || local.toISOString().slice(0, 19) !== moment) return `${moment}${zone}`;
  const minutes = Number(zone.slice(1, 3)) * 60 + (zone.length > 3 ? Number(zone.slice(-2)) : 0);
  const utc = new Date(local.getTime() + (zone[0] === "-" ? 1 : -1) * minutes * 60_000);
  const shown = utc.toISOString();
  const inRange = utc.getUTCFullYear() >= 1 && utc.getUTCFullYear() <= 9999;
  return inRange ? shown.slice(0, 19) : `${moment}${zone}`;
}
