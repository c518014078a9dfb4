// When the client sends a request again.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Client, ConnectionFailed, DeadlineExceeded, RequestRefused, ServiceUnavailable, TooBusy } from "vaekit";

import { pauseMs, retryAfterSeconds } from "../src/retries.js";
import { elboReply, problem, serving } from "./fake.js";

const state = { tries: 1, most: 3, longestWaitMs: 10_000, mayRepeat: true, random: () => 0.5 };
const busy = (retryAfter) => new TooBusy("full", { status: 429, retryAfter });
const unavailable = (retryAfter) => new ServiceUnavailable("loading", { status: 503, retryAfter });

test("the pause is the one that the service asks for and full jitter that doubles with each try", () => {
  assert.equal(pauseMs(busy(2), state), 2125);
  assert.equal(pauseMs(busy(undefined), { ...state, tries: 3 }), 500);
  assert.equal(pauseMs(busy(0), { ...state, tries: 3, random: () => 0 }), 0);
  assert.equal(pauseMs(busy(0), { ...state, tries: 99, most: 99 }), 4000);
});

test("a request that would fail again or may still run is not sent again", () => {
  assert.equal(pauseMs(unavailable(undefined), state), null);
  assert.equal(pauseMs(new RequestRefused("no", { status: 422 }), state), null);
  assert.equal(pauseMs(new DeadlineExceeded("late"), state), null);
  assert.equal(pauseMs(busy(11), state), null);
  assert.equal(pauseMs(busy(1), { ...state, tries: 4 }), null);
  assert.equal(pauseMs(new ConnectionFailed("gone"), { ...state, mayRepeat: false }), null);
  assert.equal(pauseMs(new ConnectionFailed("gone"), state), 125);
});

test("retry-after is whole seconds, or a date by the clock of the service", () => {
  const [sent, at] = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:50:07 GMT"];
  assert.equal(retryAfterSeconds("7", sent), 7);
  assert.equal(retryAfterSeconds(at, sent), 30);
  assert.equal(retryAfterSeconds(sent, at), 0);
  const soon = retryAfterSeconds(new Date(Date.now() + 20_000).toUTCString(), null);
  assert.ok(soon >= 18 && soon <= 20);
  for (const text of [null, "", "soon", "1.5", "-1"]) assert.equal(retryAfterSeconds(text, sent), undefined);
});

test("a refused request is sent again after retry-after, and then answered", async (t) => {
  const { url, requests } = await serving(t, problem(429, "full", { "retry-after": "0" }), elboReply());
  const started = performance.now();
  assert.deepEqual((await new Client(url, { retries: 2 }).elbo([[1]])).elbo, [1]);
  assert.equal(requests.length, 2);
  assert.ok(performance.now() - started < 2000);
});

test("without retries the first error is raised", async (t) => {
  const { url, requests } = await serving(t, problem(429, "full", { "retry-after": "0" }), elboReply());
  await assert.rejects(new Client(url, { retries: 0 }).elbo([[1]]), { name: "TooBusy", retryAfter: 0 });
  assert.equal(requests.length, 1);
});

test("a pause that would end after the timeout is not waited for", async (t) => {
  const { url, requests } = await serving(t, problem(429, "full", { "retry-after": "9" }));
  const started = performance.now();
  await assert.rejects(new Client(url, { timeoutMs: 5000 }).elbo([[1]]), { name: "TooBusy", retryAfter: 9 });
  assert.equal(requests.length, 1);
  assert.ok(performance.now() - started < 4000);
});

test("a broken connection is tried again only after an answer, and never for rows with ids", async (t) => {
  const { url, requests } = await serving(t, { cut: true }, elboReply(), { cut: true }, elboReply(), { cut: true });
  const client = new Client(url, { retries: 1 });
  await assert.rejects(client.elbo([[1]]), { name: "ConnectionFailed" });
  await client.elbo([[1]]);
  await client.elbo([[1]]); // cut, then answered
  assert.equal(requests.length, 4);
  await assert.rejects(client.elbo([[1]], { ids: ["a"] }), { name: "ConnectionFailed" });
  assert.equal(requests.length, 5);
});
