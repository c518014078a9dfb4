// The HTTP client against a running service with the two committed models, at VAEKIT_URL.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Client, ModelNotFound, RequestRefused, Unauthorized } from "vaekit";
import { Bundle } from "vaekit/local";

const url = process.env.VAEKIT_URL;
const key = process.env.VAEKIT_KEY;
const skip = !url && "VAEKIT_URL is not set; make test-js sets it";
const client = url ? new Client(url, { key, retries: 2 }) : null;
const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAIklEQVR4nDXGsQ0AAAzCsCj//0wHqCcTSvLZZJNNtoZ8yAEhLwgHhdxIXQAAAABJRU5ErkJggg==";
const table = { model: "breast-cancer" };

test("the service is ready and lists its models", { skip }, async () => {
  assert.deepEqual([await client.health(), await client.ready()], [true, true]);
  const { models } = await client.models();
  assert.deepEqual(models.map(({ name }) => name).sort(), ["breast-cancer", "digits"]);
  const manifest = await client.model("breast-cancer", { version: 1 });
  assert.equal(manifest.input.columns.length, 30);
  assert.equal((await client.modelHealth("breast-cancer")).model, "breast-cancer");
});

test("rows, arrays and local scores agree", { skip }, async () => {
  const { input } = await client.model("breast-cancer");
  const { samples } = await client.sample(20, { ...table, seed: 7, observe: true });
  const named = samples.map((row) => Object.fromEntries(input.columns.map(({ name }, d) => [name, row[d]])));
  const matrix = { data: Float64Array.from(samples.flat()), shape: [20, 30] };
  const bundle = await Bundle.open(new URL("../../../models/breast-cancer/1", import.meta.url));
  const local = await bundle.score(samples, { alpha: 0.05 });
  await bundle.close();
  for (const inputs of [samples, named, matrix]) {
    const found = await client.elbo(inputs, { ...table, alpha: 0.05 });
    assert.deepEqual(found.p_value, local.p_value);
    assert.deepEqual(found.is_anomaly, local.is_anomaly);
    found.elbo.forEach((v, i) => assert.ok(Math.abs(v - local.elbo[i]) <= 1e-5 * Math.max(1, Math.abs(v))));
  }
});

test("encode, decode and sample give arrays of the model's sizes", { skip }, async () => {
  const { mu, sigma } = await client.encode([Array.from({ length: 30 }, () => 1)], table);
  assert.deepEqual([mu[0].length, sigma[0].length], [8, 8]);
  const { mean, scale } = await client.decode(mu, table);
  assert.deepEqual([mean[0].length, scale[0].length], [30, 30]);
  const drawn = await client.sample(3, { model: "digits", seed: 7 });
  assert.deepEqual([drawn.seed, drawn.samples.length, drawn.samples[0].length], [7, 3, 8]);
});

test("images are scored from the bytes of their files, with the cells that are most anomalous", { skip }, async () => {
  const bytes = Uint8Array.from(atob(PNG), (text) => text.charCodeAt(0));
  const found = await client.elbo([bytes, bytes], { model: "digits", explain: 2 });
  assert.equal(found.explanation[0].length, 2);
  assert.match(found.explanation[0][0].feature, /^pixel \(\d, \d\)$/);
});

test("an invalid row is reported in its place, and the others are scored", { skip }, async () => {
  const rows = [Array.from({ length: 30 }, () => 1), Array.from({ length: 30 }, () => "n/a")];
  const found = await client.elbo(rows, { ...table, errors: "report" });
  assert.equal(found.elbo[1], null);
  assert.ok(found.elbo[0] < 0);
  assert.deepEqual([found.errors[0].row, found.errors[0].column], [1, "mean radius"]);
});

test("a refused row, an unknown model and a wrong key are errors with the service's words", { skip }, async () => {
  const rows = [Array.from({ length: 30 }, (_, d) => (d === 3 ? "n/a" : 1))];
  await assert.rejects(client.elbo(rows, table), (error) => {
    assert.ok(error instanceof RequestRefused && error.requestId);
    return error.status === 422 && error.row === 0 && error.feature === "mean area";
  });
  await assert.rejects(client.elbo([[1]], { model: "nothing" }), ModelNotFound);
  await assert.rejects(new Client(url, { key: "vae_wrong" }).models(), Unauthorized);
});
