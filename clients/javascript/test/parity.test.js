// Scores the rows of VAEKIT_CASES (see tests/javascript/scored_rows.py) and compares with what Python says about them.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";

import { Bundle } from "vaekit/local";

const RELATIVE = 1e-5; // of the ELBO and its terms, relative above 1 nat, absolute below; of the KL relative to the ELBO
const folder = process.env.VAEKIT_CASES && join(process.env.VAEKIT_CASES, "bundles");
const files = folder ? readdirSync(folder).filter((file) => file.endsWith(".json")) : [];
const runtimes = { "onnxruntime-node": "onnxruntime-node", "onnxruntime-web": "onnxruntime-web" };
const TERMS = ["elbo", "log_likelihood", "kl"];
const largest = {}; // by runtime and term: the difference, and the bundle

for (const [label, specifier] of Object.entries(runtimes)) {
  for (const file of files) {
    test(`${label}: ${file} has the scores, p-values and verdicts of Python`, async () => {
      const onnxruntime = await import(specifier);
      const { name, folder: bundleFolder, parts, ignore } = JSON.parse(readFileSync(join(folder, file), "utf8"));
      const bundle = await Bundle.open(bundleFolder, { onnxruntime });
      await bundle.replay();
      for (const { rows, expected } of parts) await compare(bundle, rows, expected, ignore, [label, name]);
      await bundle.close();
    });
  }
}

async function compare(bundle, rows, expected, ignore, where) {
  const withEvidence = await bundle.score(rows, { log_evidence: true });
  close(withEvidence.log_evidence, expected.log_evidence, where, "log_evidence");
  for (const [alpha, verdict] of Object.entries(expected.verdicts)) {
    const got = await bundle.score(rows, { alpha: Number(alpha), ignore: ignore ?? undefined });
    for (const term of TERMS) close(got[term], expected[term], where, term, term === "kl" ? expected.elbo : undefined);
    assert.deepEqual(got.novel, expected.novel);
    assert.deepEqual(got.p_value, expected.p_value);
    closeTail(got.p_value_tail, expected.p_value_tail);
    assert.deepEqual(got.group, expected.group);
    assert.deepEqual(got.group_pooled, expected.group_pooled);
    assert.deepEqual(got.is_anomaly, verdict.is_anomaly);
    assert.deepEqual(got.tolerated, verdict.tolerated);
  }
}

function close(got, want, [runtime, name], term, unit = want) {
  assert.equal(got.length, want.length);
  const key = `${runtime}, ${term}`;
  largest[key] ??= { difference: 0, name: "all bundles" };
  want.forEach((wanted, i) => {
    if (wanted === null || got[i] === null) return assert.equal(got[i], wanted, `${key}, ${name}: row ${i}`);
    const difference = Math.abs(got[i] - wanted) / Math.max(1, Math.abs(unit[i]));
    if (difference > largest[key].difference) largest[key] = { difference, name };
    assert.ok(difference <= RELATIVE, `${key}, ${name}: row ${i}: ${got[i]}, Python ${wanted}`);
  });
}

// The tail extrapolates from the score, so it moves with the last digits of the score.
function closeTail(got, want) {
  assert.equal(got === null, want === null);
  want?.forEach((wanted, i) => assert.ok(Math.abs(got[i] - wanted) <= 1e-4 * wanted, `p_value_tail, row ${i}`));
}

test("the cases of Python are there", { skip: !folder && "VAEKIT_CASES is not set; make test-js sets it" }, () => {
  assert.ok(files.length > 0);
});

after(() => {
  for (const [key, { difference, name }] of Object.entries(largest)) {
    console.log(`largest difference, ${key}: ${difference.toExponential(1)} (${name})`);
  }
});
