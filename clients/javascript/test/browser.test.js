// The package can be bundled for browsers, and then needs nothing of Node.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const bundled = (contents, external = []) =>
  build({
    stdin: { contents, resolveDir: fileURLToPath(new URL(".", import.meta.url)) },
    bundle: true,
    write: false,
    minify: true,
    format: "esm",
    platform: "browser",
    logLevel: "silent",
    external,
  }).then(({ outputFiles }) => outputFiles[0].text);

test("the client is one small file without imports", async () => {
  const text = await bundled('export { Client } from "vaekit";');
  assert.ok(!/^\s*import\b|\bimport\(|\brequire\(/m.test(text)); // not assert.doesNotMatch, which shows all of the text
  assert.ok(text.length < 30_000);
});

test("the local scorer imports ONNX Runtime alone, and refuses paths of folders", async () => {
  const text = await bundled('export { Bundle } from "vaekit/local";', ["#onnxruntime"]);
  assert.deepEqual(
    [...text.matchAll(/\bimport\(["'`](.+?)["'`]\)/g)].map(([, name]) => name),
    ["#onnxruntime"],
  );
  assert.ok(!/["'`]node:/.test(text));
  const { Bundle } = await import(`data:text/javascript,${encodeURIComponent(text)}`);
  await assert.rejects(Bundle.open("models/digits/1"), {
    name: "InputError",
    message: /expected the http or https URL/,
  });
});

test("a bundle for browsers has onnxruntime-web, not onnxruntime-node", async () => {
  const text = await bundled('export { Bundle } from "vaekit/local";');
  assert.ok(text.includes("WebAssembly"));
  assert.ok(!text.includes("onnxruntime_binding"));
});
