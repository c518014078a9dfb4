// Windows of series: which rows are time steps, where windows end, and what is refused.
import assert from "node:assert/strict";
import { test } from "node:test";

import { encodeWindows } from "../src/local/series.js";

const window = { steps: 2, columns: ["load", "temp"], series: "machine", time: "ts", time_is: "timestamp", gap: 60 };
const columns = ["load[t-1]", "temp[t-1]", "load[t]", "temp[t]"].map((name) => ({ name, kind: "real" }));
const manifest = { input: { kind: "vector", columns, window }, novelty: { rows: 9, most_missing: 0 } };
const numbered = {
  ...manifest,
  input: { ...manifest.input, window: { ...window, series: null, time_is: "number", gap: 2 } },
};
const step = (machine, ts, load) => ({ machine, ts, load, temp: -load });
const endsOf = (rows) => encodeWindows(rows, manifest, false).ends.at;

test("a window ends at each step that has an earlier step of its series without a gap", () => {
  const rows = [
    step("p", "2024-03-01T00:00:00", 1),
    step("q", "2024-03-01", 2),
    step("p", "2024-03-01 00:01", 3),
    step("q", "2024-03-01T01:01:00+01:00", 4),
    step("p", "2024-03-01T00:02:00.000001Z", 5), // a microsecond more than the gap
    step("p", new Date("2024-03-01T00:02:30Z"), 6),
  ];
  const { x, n, ends } = encodeWindows(rows, manifest, false);
  assert.deepEqual(ends.at, [2, 3, 5]);
  assert.deepEqual([...x], [1, -1, 3, -3, 2, -2, 4, -4, 5, -5, 6, -6]);
  assert.equal(n, 3);
  assert.equal(ends.reason, "3 of 6 time steps have no score: a window needs 2 consecutive time steps of one series");
});

test("a series is the same whether it is a number or its text, and times of a column of numbers are numbers", () => {
  const rows = [1, 2].map((minute) => step(minute === 1 ? 7 : "7", `2024-03-01T00:0${minute}`, minute));
  assert.deepEqual(endsOf(rows), [1]);
  const steps = [1, "3", 5.5].map((ts) => ({ ts, load: 1, temp: 2 }));
  assert.deepEqual(encodeWindows(steps, numbered, false).ends.at, [1]);
});

test("rows without names are the steps of one series, or windows, by their number of cells", () => {
  const steps = [
    [1, 2],
    [3, 4],
    [5, 6],
  ];
  const flat = { data: Float64Array.from(steps.flat()), shape: [3, 2] };
  for (const rows of [steps, flat]) {
    const { x, ends } = encodeWindows(rows, manifest, false);
    assert.deepEqual(
      [[...x], ends.at],
      [
        [1, 2, 3, 4, 3, 4, 5, 6],
        [1, 2],
      ],
    );
  }
  const data = Float64Array.of(1, 2, 3, 4);
  const named = { "load[t-1]": 1, "temp[t-1]": 2, "load[t]": 3, "temp[t]": 4 };
  for (const rows of [
    [[1, 2, 3, 4]],
    [
      [
        [1, 2],
        [3, 4],
      ],
    ],
    [named],
    { data, shape: [1, 4] },
    { data, shape: [1, 2, 2] },
  ]) {
    const { x, ends } = encodeWindows(rows, manifest, false);
    assert.deepEqual([[...x], ends], [[1, 2, 3, 4], null]);
  }
});

test("steps that are not in order, lack a column or have another width are refused with their place", () => {
  const first = step("p", "2024-03-01T00:01", 1);
  const refused = [
    [[first, { ...first }], /^row 1, column 'ts': the same time as the row before/],
    [[first, step("p", "2024-03-01T00:00", 1)], /^row 1, column 'ts': an earlier time/],
    [[first, step("p", "03/01/2024", 1)], /^row 1, column 'ts': '03\/01\/2024': not a date or an ISO 8601 time/],
    ...["2024-02-30", "2024-03-01T24:00", "2024-03-01T09:00+25:00", "0000-01-01", " 2024-03-02 "].map((ts) => [
      [first, step("p", ts, 1)],
      /^row 1, column 'ts': '.*': not a date or an ISO 8601 time/,
    ]),
    [[first, step("p", "12:30:00", 1)], /^row 1, column 'ts': '12:30:00': not a date/],
    [[first, step(" ", "2024-03-02", 1)], /^row 1, column 'machine': missing value/],
    [[{ load: 1, temp: 2, ts: "2024-03-01" }], /^row 0: the input lacks the column 'machine', of series/],
    [[first], /^inputs: 1 time steps, none of which can be scored: a window needs 2/],
    [[[1, 2, 3]], /^inputs: rows of 3 cells; expected time steps \(T, 2\) of load,temp, or windows \(N, 4\)/],
    [[[[1, 2], [3]]], /^window 0: expected/],
    [[first, { ...step("p", "2024-03-01T00:02", 1), load: "n/a" }], /^row 1, feature 'load': not a number/],
  ];
  for (const [rows, message] of refused) {
    assert.throws(() => encodeWindows(rows, manifest, false), { name: "InputError", message });
  }
});

test("other columns of steps are ignored and named, and strict refuses them and missing cells", () => {
  const rows = [0, 1].map((minute) => ({ ...step("p", `2024-03-01T00:0${minute}`, 1), note: "x" }));
  assert.deepEqual(encodeWindows(rows, manifest, false).ignored, ["note"]);
  assert.throws(() => encodeWindows(rows, manifest, true), { message: /^row 0: unknown feature 'note'/ });
  const gaps = [0, 1].map((minute) => step("p", `2024-03-01T00:0${minute}`, null));
  assert.throws(() => encodeWindows(gaps, manifest, true), { message: /^row 0, feature 'load': missing/ });
});
