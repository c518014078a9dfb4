// Runs in a browser: scores the rows of cases, calls the service, and reports what it found to the test.
import * as onnxruntime from "onnxruntime-web";
import { Client, ModelNotFound } from "vaekit";
import { Bundle } from "vaekit/local";

onnxruntime.env.wasm.wasmPaths = "/onnxruntime/";
onnxruntime.env.wasm.numThreads = 1;

async function scored(name) {
  const { parts } = await (await fetch(`/cases/${name}.json`)).json();
  const bundle = await Bundle.open(new URL(`/bundles/${name}`, location.href), { onnxruntime });
  return Promise.all(parts.map(({ rows }) => bundle.score(rows, { alpha: 0.05 })));
}

async function called({ service, key }) {
  const client = new Client(service, { key });
  const image = await (await fetch("/image.png")).blob();
  const { score } = await client.elbo([image], { model: "digits" });
  const error = await client.elbo([[1]], { model: "nothing" }).catch((refused) => refused);
  return { ready: await client.ready(), score, isNotFound: error instanceof ModelNotFound, requestId: error.requestId };
}

async function run() {
  const { names, ...service } = await (await fetch("/settings.json")).json();
  const scores = {};
  for (const name of names) scores[name] = await scored(name);
  return { scores, service: await called(service) };
}

const report = await run().catch((error) => ({ error: `${error.name}: ${error.message}` }));
await fetch("/report", { method: "POST", body: JSON.stringify(report) });
