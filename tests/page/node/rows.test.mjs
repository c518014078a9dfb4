/** CSV, rows, results and their order, without a page. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

const JS = new URL("../../../service/vaekit_service/page/static/js/", import.meta.url);
const load = (name) => import(pathToFileURL(fileURLToPath(new URL(name, JS))));
const { cellsOf, recordOf, recordsOf } = await load("rows/csv.js");
const { Rows, objectOf, areSteps } = await load("rows/rows.js");
const { textOf } = await load("rows/file_text.js");
const { queryOf, wordsOf } = await load("rows/dialect.js");
const { scoredCsv } = await load("table/downloads.js");
globalThis.document = { createComment: () => ({}), createTreeWalker: () => ({}) }; // that lit asks for when it is loaded
const { columnsOf } = await load("table/view.js");
const { comparison } = await load("table/marks.js");
const { mostAnomalous } = await load("latent/map/pointer.js");
const { Results } = await load("rows/results.js");
const { pythonDict } = await load("python_code.js");
const { problemOf } = await load("problems.js");

const MODEL = {
  input: { columns: [{ name: "a", kind: "real" }, { name: "b", kind: "category" }], window: undefined },
};

test("cells with quotes, commas, line ends and blanks are read and written", () => {
  const text = '\ufeffa,"b ""c""",d\r\n1,"x, y",\r\n\r\n"two\nlines",,3\n';
  const records = recordsOf(text);
  assert.deepEqual(records.map((record) => cellsOf(record)), [
    ["a", 'b "c"', "d"],
    ["1", "x, y", ""],
    ["two\nlines", "", "3"],
  ]);
  assert.deepEqual(cellsOf(',"",a,""""'), ["", "", "a", '"']);
  for (const record of records) assert.deepEqual(cellsOf(recordOf(cellsOf(record))), cellsOf(record));
});

test("files without rows are refused with what was expected", () => {
  for (const [text, said] of [["", "empty"], ["a,b", "one line"]]) {
    assert.throws(() => Rows.ofCsv(text, "rows.csv"), (error) => error.message.includes(said) && error.message.includes("rows.csv"));
  }
});

test("a file whose first line has numbers in place of names is refused with what was expected", () => {
  const named = (text) => () => Rows.ofCsv(text, "rows.csv", { model: MODEL });
  assert.throws(named("2.5,x\n1,y\n"), /first line of rows.csv must have the names of the columns, such as a, b. It has 2.5,x\.$/);
  assert.throws(named("r0;2,5;x;7\nr1;1,5;y;8\n"), /It has r0;2,5;x;7/);
  for (const text of ["a,2020\n1,2\n", "x,y\n1,2\n"]) assert.equal(named(text)().length, 1);
});

const fileOf = (bytes) => Object.assign(new Blob([Uint8Array.from(bytes)]), { name: "rows.csv" });
const ascii = (text) => [...Buffer.from(text, "latin1")];

test("files are read as UTF-8, or as UTF-16 by their byte order mark", async () => {
  assert.equal(await textOf(fileOf([0xef, 0xbb, 0xbf, ...Buffer.from("Müller")])), "Müller");
  assert.equal(await textOf(fileOf([0xff, 0xfe, ...Buffer.from("Müller", "utf16le")])), "Müller");
  assert.equal(await textOf(fileOf([0xfe, 0xff, ...Buffer.from("Müller", "utf16le").swap16()])), "Müller");
});

for (const [name, bytes, said] of [
  ["in Latin-1", ascii("name,a\r\nMeier,1\r\nM\xfcller,2\r\n"), "rows.csv: line 3 is not UTF-8 text. Save the file as CSV (UTF-8)."],
  ["of Excel", ascii("PK\x03\x04 [Content_Types].xml xl/workbook.xml"), "rows.csv is an Excel workbook: save it as CSV (UTF-8)."],
  ["of an old Excel", ascii("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "rows.csv is an Excel workbook: save it as CSV (UTF-8)."],
]) {
  test(`a file ${name} is refused`, () => assert.rejects(textOf(fileOf(bytes)), { message: said }));
}

test("a quote that is never closed is refused with its line", () => {
  const refused = () => Rows.ofCsv('a,b\n1,"x\ny"\n2,"z\n3,w\n', "rows.csv");
  assert.throws(refused, /Line 4 has a quote \("\) that is never closed/);
});

test("lines that end with a carriage return alone are lines", () => {
  assert.deepEqual(Rows.ofCsv("a,b\r1,x\r2,y\r", "rows.csv").cells(1), ["2", "y"]);
});

test("a row is a literal of Python, also with text that looks like JSON", () => {
  assert.equal(pythonDict({ a: 1.5, 'b "c"': null, d: 'x:null,"y' }), '{"a": 1.5, "b \\"c\\"": None, "d": "x:null,\\"y"}');
});

for (const [name, text, dialect, words, query] of [
  ["commas", "a,b\n1.5,x", { delimiter: ",", decimal: "." }, "cells separated by commas", {}],
  ["semicolons and decimal commas", "b;a\nx;1,5\ny;2", { delimiter: ";", decimal: "," }, "cells separated by ;, decimal comma", { delimiter: ";", decimal: "," }],
  ["semicolons and points", "b;a\n1,5;1.5", { delimiter: ";", decimal: "." }, "cells separated by ;, decimal point", { delimiter: ";" }],
  ["tabs", "a\tb\n-1,5e3\tx", { delimiter: "\t", decimal: "," }, "cells separated by tabs, decimal comma", { delimiter: "tab", decimal: "," }],
  ["bars, with commas in a name", '"x,y,z"|a|b\n1|2|u', { delimiter: "|", decimal: "." }, "cells separated by |, decimal point", { delimiter: "|" }],
  ["one column", "a\n1", { delimiter: ",", decimal: "." }, "cells separated by commas", {}],
]) {
  test(`a file with ${name} is recognised`, () => {
    const rows = Rows.ofCsv(text, "rows.csv", { model: MODEL });
    assert.deepEqual(rows.dialect, dialect);
    assert.equal(wordsOf(rows.dialect), words);
    assert.deepEqual(queryOf(rows.dialect), query);
  });
}

test("rows with semicolons and decimal commas stay as they are written, and are numbers in JSON", () => {
  const rows = Rows.ofCsv('b;a;id\n"x;y";1.234,5;r0\nu;-2,5;r1\n', "rows.csv", { model: MODEL });
  assert.deepEqual(rows.cells(1), ["u", "-2,5", "r1"]);
  assert.deepEqual(rows.object(1, MODEL), { a: -2.5, b: "u" });
  assert.deepEqual(rows.object(0, MODEL), { a: "1.234,5", b: "x;y" });
  assert.equal(rows.csv([0]), 'b;a;id\n"x;y";1.234,5;r0\n');
  assert.equal(rows.idColumn(MODEL), "id");
  const asChosen = Rows.ofCsv("b;a\nu;2,5\n", "rows.csv", { model: MODEL, dialect: { delimiter: ",", decimal: "." } });
  assert.deepEqual(asChosen.names, ["b;a"]);
});

test("scored rows are saved in the dialect of their file", () => {
  const rows = Rows.ofCsv("b;a\nu;2,5\n", "rows.csv", { model: MODEL });
  const results = new Results(1);
  results.add(0, [{ score: 1.5, p_value: 0.25, novel: ["b", "a"] }], new Headers());
  const [head, line] = scoredCsv(rows, results, 0.3).split("\n");
  assert.equal(head, "b;a;elbo;log_likelihood;kl;score;p_value;p_value_tail;is_anomaly;novel");
  assert.equal(line, "u;2,5;;;;1,5;0,25;;true;b, a");
});

test("a row is an object of numbers, names and missing cells", () => {
  const rows = Rows.ofCsv("b,id,a\nx,r1,2.5\n,r2,\ny,r3,n/a\n", "rows.csv");
  assert.deepEqual(rows.object(0, MODEL), { a: 2.5, b: "x" });
  assert.deepEqual(rows.object(1, MODEL), { a: null, b: null });
  assert.deepEqual(rows.object(2, MODEL), { a: "n/a", b: "y" });
  assert.equal(rows.idColumn(MODEL), "id");
  assert.equal(Rows.ofCsv("a,id\n1,r1\n2,r1", "rows.csv").idColumn(MODEL), null);
  assert.deepEqual(objectOf(MODEL, () => "1"), { a: 1, b: "1" });
});

test("time steps of a model of windows are told from windows", () => {
  const columns = ["a[t-1]", "a[t]"].map((name) => ({ name, kind: "real" }));
  const model = { input: { columns, window: { columns: ["a"], series: null, time: null } } };
  assert.equal(areSteps(Rows.ofCsv("a\n1", "x"), model), true);
  assert.equal(areSteps(Rows.ofCsv("a[t-1],a[t]\n1,2", "x"), model), false);
});

test("the most anomalous rows come first, novel ones before others, invalid ones last", () => {
  const results = new Results(6);
  const lines = [
    { score: 1, p_value: 0.5, novel: [] },
    { error: { row: 1, column: "a", reason: "not a number", value: "x" } },
    { score: 9, p_value: 0.1, novel: [] },
    { score: null, p_value: 0.1, novel: ["b"] },
    { score: 12, p_value: 0.1, novel: [], tolerated: ["a"] },
    { score: null, p_value: null, novel: [] },
  ];
  results.add(0, lines, new Headers({ "x-request-id": "one", "vae-alpha": "0.05", "vae-ignored-columns": '["id"]' }));
  assert.deepEqual(results.order(), [3, 4, 2, 0, 1, 5]);
  assert.deepEqual([2, 3, 4].map((index) => results.isFlagged(index, 0.1)), [true, true, false]);
  assert.deepEqual(results.invalid, [{ index: 1, column: "a", reason: "not a number", value: "x" }]);
  assert.equal(results.copy().order().length, 6);
  assert.deepEqual(results.remarks, ["The model does not use the column id."]);
});

test("a row is found in the request that scored it", () => {
  const results = new Results(3);
  results.add(0, [{ score: 1 }, { score: 2 }], new Headers({ "x-request-id": "one" }));
  results.add(2, [{ score: 3 }], new Headers({ "x-request-id": "two" }));
  assert.deepEqual(results.requestOf(1), { requestId: "one", row: 1 });
  assert.deepEqual(results.requestOf(2), { requestId: "two", row: 0 });
});

test("problems become sentences with what to do", async () => {
  const reply = (status, body, headers = {}) => new Response(body, { status, headers });
  const busy = await problemOf(reply(429, '{"title": "Overloaded", "detail": "too many rows wait"}', { "retry-after": "2" }));
  assert.equal(busy.message, "Too many rows wait. Try again in 2 s.");
  assert.equal(busy.mayPass, true);
  const scope = await problemOf(reply(403, '{"detail": "the key lacks it"}', { "www-authenticate": 'Bearer scope="infer"' }));
  assert.equal(scope.message, "The key lacks it. Enter a key with the scope infer.");
  const garbage = await problemOf(reply(500, "<html>"));
  assert.equal(garbage.message, "The service answered with status 500.");
});

test("columns come in the order of the file, after the one that identifies rows", () => {
  const columns = ["a", "b", "c"].map((name) => ({ name, kind: "real" }));
  const rows = Rows.ofCsv("c,note,a,id,b\n1,-,2,r0,3\n", "rows.csv");
  const named = (idColumn) => columnsOf({ rows, results: { idColumn }, model: { input: { columns } } });
  assert.deepEqual(named("id").map(({ name }) => name), ["id", "c", "note", "a", "b"]);
  assert.deepEqual(named(null).map(({ name, isOwn }) => [name, isOwn]), [["c", true], ["note", false], ["a", true], ["id", false], ["b", true]]);
});

test("marks are compared with the verdicts at alpha", () => {
  const results = new Results(4);
  results.add(0, [{ p_value: 0.01 }, { p_value: 0.03 }, { p_value: 0.5 }, { p_value: null }], new Headers());
  const entries = [[0, "anomaly"], [1, "normal"], [2, "anomaly"], [3, "anomaly"]];
  assert.equal(comparison(entries, results, 0.05), "Flagged at alpha 0.05: 1 of 2 rows marked as anomalies; 1 of 1 row marked as normal.");
  assert.equal(comparison(entries, results, 0.02), "Flagged at alpha 0.02: 1 of 2 rows marked as anomalies; 0 of 1 row marked as normal.");
  assert.equal(comparison(entries.slice(3), results, 0.05), "");
});

test("the map goes to the row that the table has first", () => {
  const cloud = { pValue: [0.5, 0.01, 0.01, 0.01, null], score: [1, 90, 5, 7, 99] };
  assert.equal(mostAnomalous({ ...cloud, isNovel: () => false }), 1);
  assert.equal(mostAnomalous({ ...cloud, isNovel: (point) => point === 2 || point === 3 }), 3);
  assert.equal(mostAnomalous({ pValue: [null, null], score: [1, 2], isNovel: () => false }), 1);
});
