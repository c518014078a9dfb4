// The local scorer on the two committed bundles: golden rows, refusals, forms of input.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { test } from "node:test";

import * as web from "onnxruntime-web";
import { Bundle } from "vaekit/local";

const MODELS = fileURLToPath(new URL("../../../models", import.meta.url));
const TABLE = join(MODELS, "breast-cancer", "1");
const IMAGES = join(MODELS, "digits", "1");

async function opened(t, source, options) {
  const bundle = await Bundle.open(source, options);
  t.after(() => bundle.close());
  return bundle;
}

/** A copy of the committed table model, changed by `change(folder)`. */
function copy(t, change) {
  const folder = mkdtempSync(join(tmpdir(), "vaekit-"));
  t.after(() => rmSync(folder, { recursive: true }));
  cpSync(TABLE, folder, { recursive: true });
  change(folder);
  return folder;
}

function changeManifest(folder, change) {
  const file = join(folder, "manifest.json");
  const manifest = JSON.parse(readFileSync(file, "utf8"));
  change(manifest);
  writeFileSync(file, JSON.stringify(manifest));
}

for (const folder of [TABLE, IMAGES]) {
  for (const [label, onnxruntime] of Object.entries({ "onnxruntime-node": undefined, "onnxruntime-web": web })) {
    test(`every graph of ${folder.slice(MODELS.length)} reproduces its golden rows on ${label}`, async (t) => {
      await (await opened(t, folder, { onnxruntime })).replay();
    });
  }
}

test("a flipped byte, a missing file and a newer format are refused, and the message says what is wrong", async (t) => {
  const flipped = copy(t, (folder) => {
    const bytes = readFileSync(join(folder, "elbo.onnx"));
    bytes[100] ^= 1;
    writeFileSync(join(folder, "elbo.onnx"), bytes);
  });
  await assert.rejects(Bundle.open(flipped), { name: "IntegrityError", message: /elbo\.onnx: sha256 is .*restore it/ });
  const without = copy(t, (folder) => rmSync(join(folder, "noise.npy")));
  await assert.rejects(Bundle.open(without), { name: "IntegrityError", message: /noise\.npy cannot be read/ });
  const newer = copy(t, (folder) => changeManifest(folder, (m) => (m.format = "2.0")));
  await assert.rejects(Bundle.open(newer), {
    name: "FormatError",
    message: /"2.0"; this version reads formats 1.0 to 1.x/,
  });
  const empty = copy(t, (folder) => rmSync(join(folder, "manifest.json")));
  await assert.rejects(Bundle.open(empty), { name: "FormatError", message: /no manifest.json/ });
});

test("a newer minor format with unknown fields is read", async (t) => {
  const folder = copy(t, (folder) => changeManifest(folder, (m) => Object.assign(m, { format: "1.99", later: {} })));
  await opened(t, folder);
});

test("other columns than its window's, and an unknown rule, prior or file name are refused", async (t) => {
  const window = { steps: 2, columns: ["load"] };
  const changes = [
    (m) => (m.input.window = window),
    (m) => (m.draws.rule = "other"),
    (m) => (m.prior.name = "other"),
    (m) => (m.draws.file = "../noise.npy"),
  ];
  for (const change of changes) {
    const folder = copy(t, (folder) => changeManifest(folder, change));
    await assert.rejects(Bundle.open(folder), { name: "FormatError" });
  }
});

test("a graph with an operator of another domain or with external data is refused before it is loaded", async (t) => {
  // fields of onnx.proto3: ModelProto.graph = 7, GraphProto.node = 1, NodeProto.domain = 7; GraphProto.tensor = 5
  const part = (field, bytes) => [field * 8 + 2, bytes.length, ...bytes];
  const foreign = part(7, part(1, part(7, [...Buffer.from("com.microsoft")])));
  const external = part(7, part(5, [14 * 8, 1]));
  for (const [bytes, message] of [
    [foreign, /domain 'com.microsoft'/],
    [external, /external data/],
    [[7], /not an ONNX/],
  ]) {
    const folder = copy(t, (folder) => {
      writeFileSync(join(folder, "elbo.onnx"), Buffer.from(bytes));
      const sha256 = createHash("sha256").update(Buffer.from(bytes)).digest("hex");
      changeManifest(folder, (m) => (m.operations.elbo.sha256 = sha256));
    });
    await assert.rejects(Bundle.open(folder), { name: "ForbiddenGraph", message });
  }
});

test("graphs that give other outputs than the golden ones are refused", async (t) => {
  const folder = copy(t, (folder) =>
    changeManifest(folder, (m) => {
      m.golden.tolerance.CPUExecutionProvider = { relative: 1e-30, absolute: 1e-30 };
    }),
  );
  await assert.rejects(Bundle.open(folder), { name: "GoldenMismatch", message: /elbo: .* golden/ });
});

test("rules of the bundle are in force unless the call has others, and need an alpha", async (t) => {
  const rules = { "mean area": { above: 1 } };
  const bundle = await opened(
    t,
    copy(t, (folder) => changeManifest(folder, (m) => (m.ignore = rules))),
  );
  const rows = [Array.from({ length: 30 }, () => 1)];
  const [own, none, without] = [{ alpha: 0.05 }, { alpha: 0.05, ignore: {} }, {}];
  const found = await Promise.all([own, none, without].map((options) => bundle.score(rows, options)));
  assert.deepEqual(
    found.map(({ is_anomaly, tolerated }) => [is_anomaly, tolerated]),
    [
      [[true], [[]]],
      [[true], null],
      [null, null],
    ],
  );
});

test("all forms of rows give the same scores", async (t) => {
  const bundle = await opened(t, TABLE);
  const names = bundle.manifest.input.columns.map((column) => column.name);
  const row = names.map((_, d) => d + 0.5);
  const matrix = { data: Float64Array.from(row), shape: [1, 30] };
  const named = Object.fromEntries(names.map((name, d) => [name, row[d]]));
  const forms = [[row], [Float64Array.from(row)], [named], matrix];
  const found = await Promise.all(forms.map((rows) => bundle.score(rows)));
  assert.equal(new Set(found.map(({ elbo }) => elbo[0])).size, 1);
  const other = await bundle.score([{ ...named, Unnamed: 1, "Unnamed: 0": 2, __index_level_0__: 3 }]);
  assert.deepEqual(other.ignored_columns, ["Unnamed"]);
});

test("calls at the same time give the scores of calls in turn, on both builds of ONNX Runtime", async (t) => {
  for (const onnxruntime of [undefined, web]) {
    const bundles = [await opened(t, TABLE, { onnxruntime }), await opened(t, IMAGES, { onnxruntime })];
    const rows = [[Array.from({ length: 30 }, () => 1)], [new Uint8Array(64)]];
    const alone = [await bundles[0].score(rows[0]), await bundles[1].score(rows[1])];
    const together = await Promise.all([0, 1, 0, 1, 0, 1].map((i) => bundles[i].score(rows[i])));
    together.forEach(({ elbo }, i) => assert.deepEqual(elbo, alone[i % 2].elbo));
  }
});

test("all forms of images give the same scores", async (t) => {
  const bundle = await opened(t, IMAGES);
  const flat = Uint8Array.from({ length: 64 }, (_, i) => (i * 37) % 256);
  const lines = Array.from({ length: 8 }, (_, h) => Array.from(flat.subarray(8 * h, 8 * h + 8)));
  const nested = lines.map((line) => line.map((v) => [v]));
  const forms = [[flat], [lines], [nested], { data: flat, shape: [1, 8, 8] }, { data: flat, shape: [1, 8, 8, 1] }];
  const found = await Promise.all(forms.map((rows) => bundle.score(rows)));
  assert.equal(new Set(found.map(({ elbo }) => elbo[0])).size, 1);
  assert.equal(found[0].novel, null);
});

test("invalid rows and options are refused with their place", async (t) => {
  const [bundle, digits] = [await opened(t, TABLE), await opened(t, IMAGES)];
  const row = Array.from({ length: 30 }, () => 1);
  const changed = (d, cell) => row.map((v, at) => (at === d ? cell : v));
  const refused = [
    [[row, changed(3, "n/a")], {}, "row 1, feature 'mean area': not a number: 'n/a'"],
    [[changed(0, Infinity)], {}, "row 0, feature 'mean radius': not finite: Infinity"],
    [[[1, 2]], {}, "row 0: 2 values, expected 30"],
    [[], {}, "inputs: no rows, expected at least 1"],
    [7, {}, "inputs: expected rows, not 7"],
    [[{ "mean radius": 1 }], {}, "row 0, feature 'mean texture': missing"],
    [[changed(0, null)], { strict: true }, "row 0, feature 'mean radius': missing"],
    [[row], { alpha: 1 }, "alpha: 1 is not between 0 and 1"],
    [[row], { num_samples: 257 }, "num_samples: 257 is not between 2 and 256"],
    [[row], { alpha: 0.1, ignore: { other: { above: 1 } } }, "ignore: column 'other' is not a column of the model"],
  ];
  for (const [rows, options, message] of refused) {
    await assert.rejects(bundle.score(rows, options), { name: "InputError", message });
  }
  await assert.rejects(digits.score([new Array(64).fill(256)]), {
    message: /^row 0, pixel \(0, 0, 0\): not an integer/,
  });
  await assert.rejects(digits.score([new Array(63).fill(1)]), { message: /^row 0: expected an image of 8 x 8 x 1/ });
});

test("without a calibration for K there is no p-value, and the reason is given", async (t) => {
  const found = await (
    await opened(t, TABLE)
  ).score([Array.from({ length: 30 }, () => 1)], { alpha: 0.05, num_samples: 8 });
  assert.deepEqual([found.p_value, found.is_anomaly, found.alpha], [null, null, null]);
  assert.equal(found.p_value_reason, "num_samples 8 has no calibration; calibrated: 16");
});

test("an alpha below the smallest p-value flags no row, and the reason is given", async (t) => {
  const found = await (await opened(t, TABLE)).score([Array.from({ length: 30 }, () => 1)], { alpha: 0.01 });
  assert.deepEqual(found.is_anomaly, [false]);
  assert.match(found.p_value_reason, /^alpha 0.01 is below the smallest possible p-value, 0.0137/);
});

test("a bundle is read from a file URL, over HTTP, and by a function", async (t) => {
  const server = createServer((request, response) => {
    response.end(readFileSync(join(TABLE, request.url.replace("/bundle/", ""))));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const sources = [
    pathToFileURL(TABLE),
    `http://127.0.0.1:${server.address().port}/bundle`,
    { read: async (name) => readFileSync(join(TABLE, name)) },
  ];
  for (const source of sources) assert.equal((await opened(t, source)).manifest.name, "breast-cancer");
  await assert.rejects(Bundle.open(7), { name: "InputError" });
  await assert.rejects(Bundle.open("http://127.0.0.1:1/nothing"), { name: "FormatError" });
});

test("close waits for the calls that run, and a closed bundle says so", async () => {
  const bundle = await Bundle.open(TABLE);
  const row = new Array(30).fill(1);
  const calls = Array.from({ length: 3 }, () => bundle.score([row]));
  await bundle.close();
  for (const { elbo } of await Promise.all(calls)) assert.equal(elbo.length, 1);
  await assert.rejects(bundle.score([row]), { name: "InputError", message: "breast-cancer: the bundle is closed" });
});

test("cells are the row's own members, and a Map or a Date is not a row", async (t) => {
  const bundle = await opened(t, TABLE);
  const { columns } = bundle.manifest.input;
  const row = Object.fromEntries(columns.map(({ name }) => [name, 1]));
  const without = Object.create(row); // all cells are inherited
  await assert.rejects(bundle.score([without]), { name: "InputError", message: /'mean radius': missing/ });
  for (const other of [new Map(Object.entries(row)), new Date()]) {
    await assert.rejects(bundle.score([other]), { name: "InputError", message: /not (?:Map|Date)$/ });
  }
});

test("the query of a URL is sent with each file, and no message shows it", async (t) => {
  const asked = [];
  const server = createServer((request, response) => {
    const { pathname, search } = new URL(`http://host${request.url}`);
    asked.push(search);
    response.statusCode = pathname.startsWith("//1/") ? 200 : 404;
    response.end(response.statusCode === 200 ? readFileSync(join(TABLE, pathname.slice(4))) : "");
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const host = `127.0.0.1:${server.address().port}`;
  await opened(t, `http://${host}//1?signature=secret`);
  assert.deepEqual(new Set(asked), new Set(["?signature=secret"]));
  for (const source of [`http://${host}/2?signature=secret`, `http://me:secret@${host}/1`]) {
    await assert.rejects(Bundle.open(source), (error) => !error.message.includes("secret"));
  }
});
