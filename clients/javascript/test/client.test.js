// The HTTP client against a server that answers as it is told.
import assert from "node:assert/strict";
import { test } from "node:test";

import * as vaekit from "vaekit";
import { Client } from "vaekit";

import { elboReply, problem, serving } from "./fake.js";

const sent = (request) => JSON.parse(request.body.toString());

test("rows by name, missing cells and options are sent as the wire reference says", async (t) => {
  const { url, requests } = await serving(t, elboReply(2));
  const client = new Client(`${url}/prefix/`, { key: "secret" });
  const rows = [
    { load: NaN, site: "a", gone: undefined },
    { load: null, site: "b" },
  ];
  const found = await client.elbo(rows, { model: "mixed", version: 2, alpha: 0.05, explain: undefined });
  assert.deepEqual(found.elbo, [1, 1]);
  assert.equal(requests[0].method, "POST");
  assert.equal(requests[0].url, "/prefix/models/mixed/versions/2/elbo");
  assert.equal(requests[0].headers.authorization, "Bearer secret");
  const inputs = [
    { load: null, site: "a" },
    { load: null, site: "b" },
  ];
  assert.deepEqual(sent(requests[0]), { inputs, alpha: 0.05 });
});

test("a bigint keeps all its digits, in cells and in ids", async (t) => {
  const { url, requests } = await serving(t, elboReply());
  await new Client(url).elbo([[9007199254740993n, 1.5]], { ids: [9007199254740993n] });
  assert.equal(requests[0].body.toString(), '{"inputs":[[9007199254740993,1.5]],"ids":[9007199254740993]}');
});

test("images are sent as base64, from bytes and from blobs", async (t) => {
  const { url, requests } = await serving(t, elboReply(3));
  const bytes = new Uint8Array([137, 80, 78, 71, 255]);
  await new Client(url).elbo([bytes, bytes.buffer, new Blob([bytes])]);
  assert.deepEqual(sent(requests[0]).inputs, Array(3).fill(Buffer.from(bytes).toString("base64")));
});

test("a matrix is sent as npy, with the options in the query", async (t) => {
  const { url, requests } = await serving(t, elboReply(2));
  const data = new Float64Array([1, 2, 3, 4]);
  await new Client(url).elbo({ data, shape: [2, 2] }, { features: true, ignore: { a: { above: "any" } } });
  const { body, headers, url: target } = requests[0];
  assert.equal(headers["content-type"], "application/x-npy");
  assert.equal(new URL(target, url).searchParams.get("features"), "true");
  assert.equal(new URL(target, url).searchParams.get("ignore"), '{"a":{"above":"any"}}');
  const length = body.readUInt16LE(8);
  assert.equal((10 + length) % 64, 0);
  assert.match(
    body.subarray(10, 10 + length).toString(),
    /^\{'descr': '<f8', 'fortran_order': False, 'shape': \(2, 2\), \} *\n$/,
  );
  assert.equal(body.readDoubleLE(10 + length + 24), 4);
});

test("rows that cannot be sent are refused with their place, and nothing is sent", async (t) => {
  const { url, requests } = await serving(t, elboReply());
  const client = new Client(url);
  const refused = [
    [[[1], [Infinity]], "row 1, value 0: not finite: Infinity"],
    [[{ load: () => 1 }], "row 0, feature 'load': function cannot be sent as JSON"],
    ["rows", "inputs: expected a list of rows, or a matrix {data, shape}"],
    [[new Uint8Array(1), 7], "row 1: expected the bytes of an image, as in other rows"],
    [{ data: new Float64Array(3), shape: [2, 2] }, "inputs: shape (2, 2) of 3 values"],
    [{ data: new Float64Array(4), shape: [-2, -2] }, "inputs: shape (-2, -2) of 4 values"],
    [[new Map([["load", 1]])], "row 0: expected a list or an object"],
  ];
  for (const [rows, message] of refused) {
    await assert.rejects(client.elbo(rows), { name: "InputError", message });
  }
  await assert.rejects(client.elbo([[1]], { version: 1 }), { name: "InputError" });
  await assert.rejects(client.elbo([[1]], { model: "../keys" }), { name: "InputError" });
  assert.equal(requests.length, 0);
});

test("an option that JSON cannot hold is refused instead of sent as null, which means the default", async (t) => {
  const { url, requests } = await serving(t, elboReply());
  const client = new Client(url);
  const matrix = { data: new Float64Array(1), shape: [1, 1] };
  for (const rows of [[[1]], matrix]) {
    await assert.rejects(client.elbo(rows, { alpha: NaN }), { name: "InputError", message: "alpha: not finite: NaN" });
    await assert.rejects(client.elbo(rows, { ids: "a" }), { name: "InputError", message: /^ids: expected a list/ });
  }
  await assert.rejects(client.sample(Infinity), { name: "InputError", message: "n: not finite: Infinity" });
  assert.equal(requests.length, 0);
  await client.elbo(matrix, { ids: [9007199254740993n] });
  assert.equal(new URL(requests[0].url, url).searchParams.get("ids"), "[9007199254740993]");
});

test("a timeout longer than timers allow, or none, does not end the call", async (t) => {
  const { url } = await serving(t, elboReply());
  for (const timeoutMs of [2 ** 31, Infinity]) {
    assert.deepEqual((await new Client(url, { timeoutMs }).elbo([[1]])).elbo, [1]);
  }
});

test("a page instead of a reply does not keep its connection open", async (t) => {
  const page = { status: 502, text: "x".repeat(1_000_000), headers: { "content-type": "text/html" } };
  const { url, open } = await serving(t, page);
  const client = new Client(url);
  for (let i = 0; i < 5; i++) await assert.rejects(client.elbo([[1]]), { name: "ServiceFailed" });
  assert.ok((await open()) <= 2); // those that are kept for the next request
});

test("an address, a key or a number that cannot be used is refused, and the message does not show the key", () => {
  assert.throws(() => new Client("ftp://host"), { name: "InputError" });
  assert.throws(() => new Client("host"), { name: "InputError" });
  assert.throws(
    () => new Client("http://me:secret@host"),
    (error) => !error.message.includes("secret"),
  );
  assert.throws(
    () => new Client("http://host", { key: "secret\n" }),
    (error) => !error.message.includes("secret"),
  );
  assert.throws(() => new Client("http://host", { retries: -1 }), { name: "InputError" });
});

test("the key of VAE_API_KEY is sent unless key is null", async (t) => {
  const { url, requests } = await serving(t, { json: { models: [] } });
  process.env.VAE_API_KEY = "from-environment";
  t.after(() => delete process.env.VAE_API_KEY);
  await new Client(url).models();
  await new Client(url, { key: null }).models();
  assert.deepEqual(
    requests.map((request) => request.headers.authorization),
    ["Bearer from-environment", undefined],
  );
});

test("each status has its error, with the facts of the reply", async (t) => {
  const kinds = {
    400: "RequestRefused",
    401: "Unauthorized",
    403: "Unauthorized",
    404: "ModelNotFound",
    413: "RequestRefused",
  };
  Object.assign(kinds, { 422: "RequestRefused", 429: "TooBusy", 500: "ServiceFailed", 503: "ServiceUnavailable" });
  for (const [status, name] of Object.entries(kinds)) {
    const { url } = await serving(
      t,
      problem(Number(status), "what is wrong", { "retry-after": "77", "x-request-id": "r-1" }),
    );
    await assert.rejects(new Client(url).elbo([[1]]), (error) => {
      assert.equal(error.name, name);
      assert.ok(error instanceof vaekit[name] && error instanceof vaekit.ClientError);
      const { message, requestId, retryAfter } = error;
      assert.deepEqual(
        { message, requestId, retryAfter },
        { message: "what is wrong", requestId: "r-1", retryAfter: 77 },
      );
      assert.equal(error.problem.instance, "id-1");
      return error.status === Number(status);
    });
  }
  const { url } = await serving(t, problem(504, "too late"));
  await assert.rejects(new Client(url).elbo([[1]]), { name: "DeadlineExceeded", message: "too late" });
});

test("the row, the feature and the value that a problem names are fields of the error", async (t) => {
  const details = {
    "row 17, feature 'mean area': not a number: \"n/a\"": { row: 17, feature: "mean area", value: '"n/a"' },
    'row 0, feature "it\'s": missing': { row: 0, feature: "it's", value: undefined },
    "row 3: 2 values, expected 5": { row: 3, feature: undefined, value: undefined },
    "alpha: 2 is not between 0 and 1": { row: undefined, feature: undefined, value: undefined },
  };
  for (const [detail, expected] of Object.entries(details)) {
    const { url } = await serving(t, problem(422, detail));
    await assert.rejects(new Client(url).elbo([[1]]), ({ row, feature, value }) => {
      assert.deepEqual({ row, feature, value }, expected);
      return true;
    });
  }
});

test("a reply that is not one of this service is a ProtocolError", async (t) => {
  const replies = [
    { text: "<html>", headers: { "content-type": "text/html" } },
    { text: "{" },
    { json: { model: "m" } },
    elboReply(3),
    { json: { ...elboReply().json, elbo: 1 } },
    { status: 302, headers: { location: "/elsewhere" } },
  ];
  for (const reply of replies) {
    const { url } = await serving(t, reply);
    await assert.rejects(new Client(url).elbo([[1]]), { name: "ProtocolError" });
  }
  const { url } = await serving(t, { status: 404, text: "nothing here" });
  await assert.rejects(new Client(url).elbo([[1]]), { name: "RequestRefused" });
});

test("no reply in time is a DeadlineExceeded, and no connection a ConnectionFailed", async (t) => {
  const { url } = await serving(t, { never: true });
  await assert.rejects(new Client(url, { timeoutMs: 50 }).elbo([[1]]), { name: "DeadlineExceeded" });
  await assert.rejects(new Client(url).elbo([[1]], { timeoutMs: 50 }), { name: "DeadlineExceeded" });
  const client = new Client("http://127.0.0.1:1", { retries: 3 });
  await assert.rejects(client.elbo([[1]]), { name: "ConnectionFailed" });
  assert.equal(await client.health(), false);
  assert.equal(await client.ready(), false);
});

test("a connection that breaks while a large body is sent names its size, because fetch does not show a 413", async (t) => {
  const { url } = await serving(t, { cut: true });
  const client = new Client(url, { retries: 0 });
  const data = new Float64Array(2 ** 17 + 1);
  await assert.rejects(client.elbo({ data, shape: [1, data.length] }), {
    name: "ConnectionFailed",
    message: /; the body has 1048\d{3} bytes, which may be more than the service takes: send fewer rows$/,
  });
  await assert.rejects(client.elbo([[1]]), (error) => !error.message.includes("bytes"));
});

test("a signal cancels a call with its own reason, also while the client waits for the next try", async (t) => {
  const { url } = await serving(t, problem(503, "loading", { "retry-after": "20" }));
  const reason = new Error("the user left");
  const controller = new AbortController();
  const call = new Client(url, { retries: 1 }).elbo([[1]], { signal: controller.signal });
  setTimeout(() => controller.abort(reason), 50);
  await assert.rejects(call, (error) => error === reason);
  await assert.rejects(new Client(url).elbo([[1]], { signal: AbortSignal.abort(reason) }), (error) => error === reason);
});

test("ready is false while the service says that it is not", async (t) => {
  const { url } = await serving(t, problem(503, "loading", { "retry-after": "1" }), { json: { ready: ["m"] } });
  const client = new Client(url, { retries: 5 });
  assert.deepEqual([await client.ready(), await client.ready()], [false, true]);
});
