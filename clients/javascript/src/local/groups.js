/** Finds the calibration group of each row from the values of its group columns. Node 0 is the group of all rows. */

import { isOutside, missingCells } from "./cells.js";

/**
 * @typedef {import("./manifest.js").Column} Column
 * @typedef {import("../../types/local.js").GroupsEntry} GroupsEntry
 */

const OBSERVED_CELLS = "observed_cells"; // the pseudo-column: number of cells of a row that are not missing

export class Groups {
  /** @param {GroupsEntry} entry of the manifest; node i + 1 is groups[i] */
  constructor(entry) {
    this.entry = entry;
    /** @type {Map<string, number>} node by the values of a group */
    this.nodes = new Map([["[]", 0]]);
    entry.groups.forEach((group, i) => this.nodes.set(JSON.stringify(group.values), i + 1));
    /** The node of one column less, by node; 0 for node 0. */
    this.parents = [0, ...entry.groups.map((group) => this.nodes.get(JSON.stringify(group.values.slice(0, -1))) ?? 0)];
    /** The node whose held-out rows a row of each node is compared with. */
    this.compared = [0];
    entry.groups.forEach((group, i) => {
      this.compared.push(group.pooled ? this.compared[this.parents[i + 1]] : i + 1);
    });
    /** The names of all nodes, such as "site=a, line=3". */
    this.names = ["all rows", ...entry.groups.map((group) => nameOf(entry.by, group.values))];
    /** Whether a node has fewer values than there are group columns. */
    this.isLarger = [true, ...entry.groups.map((group) => group.values.length < entry.by.length)];
  }

  /** The nodes that are a node or parts of it. */
  inside(/** @type {number} */ node) {
    const found = new Set([node]);
    for (let child = 1; child < this.parents.length; child++) {
      if (found.has(this.parents[child])) found.add(child);
    }
    return found;
  }

  /**
   * The node of a checked row: the group of its values, or that of its first values if the group does not exist.
   *
   * @param {Float64Array} row (D,)
   * @param {Column[]} columns
   */
  node(row, columns) {
    let found = 0;
    /** @type {(string | number | null)[]} */
    const values = [];
    for (const name of this.entry.by) {
      const value = valueOf(name, row, columns);
      if (value === undefined) break;
      const next = this.nodes.get(JSON.stringify([...values, value]));
      if (next === undefined) break;
      values.push(value);
      found = next;
    }
    return found;
  }
}

/**
 * The value of a group column in a row: a level, a number, null if missing; undefined for a novel cell, in no group.
 *
 * @param {string} name @param {Float64Array} row @param {Column[]} columns
 */
function valueOf(name, row, columns) {
  const d = columns.findIndex((column) => column.name === name);
  if (d < 0 && name === OBSERVED_CELLS) return row.length - missingCells(row);
  if (d < 0) return undefined;
  if (Number.isNaN(row[d])) return null;
  if (isOutside(row[d], columns[d])) return undefined;
  return columns[d].levels ? columns[d].levels[row[d]] : row[d];
}

function nameOf(/** @type {string[]} */ by, /** @type {(string | number | null)[]} */ values) {
  return values.map((value, i) => (value === null ? `${by[i]} missing` : `${by[i]}=${value}`)).join(", ");
}
