/** The page notices that the service is gone, back, or has other models, and keeps rows by model. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { makeApi } from "../../../service/vaekit_service/page/static/js/api.js";
import { makeConnection, whenBack } from "../../../service/vaekit_service/page/static/js/service/connection.js";
import { Problem } from "../../../service/vaekit_service/page/static/js/problems.js";
import { makeState } from "../../../service/vaekit_service/page/static/js/state.js";
import { makeVisits } from "../../../service/vaekit_service/page/static/js/service/visits.js";

const gone = new Problem({ title: "No connection", detail: "The service does not answer.", status: 0 });
const model = (name, version = 1, state = "ready") => ({ name, version, state });

/** A page that shows version 1 of the model a, of a service whose list of models is `answers.next`. */
function page() {
  const answers = { next: [model("a"), model("b")] };
  const api = {
    getJson: async () => {
      if (answers.next instanceof Error) throw answers.next;
      return { models: answers.next };
    },
  };
  const state = makeState({ models: answers.next, model: { name: "a", version: 1 } });
  const shown = [];
  const connection = makeConnection(api, state, { show: (name) => shown.push(name), hidden: () => false });
  const look = async (next) => {
    answers.next = next;
    connection.failed(gone);
    await new Promise((resolve) => setTimeout(resolve, 10));
  };
  return { state, shown, look, answers, connection };
}

test("a request that fails while the service answers is no outage; one that fails without is, until it answers", { timeout: 20_000 }, async (t) => {
  t.after(() => connection.end());
  const { state, look, answers, connection } = page();
  let retries = 0;
  whenBack(state, () => gone, () => (retries += 1));
  await look([model("a"), model("b")]);
  assert.equal(state.get().down, false);
  await look(gone);
  assert.equal(state.get().down, true);
  answers.next = [model("a", 1, "loading")];
  await new Promise((resolve) => setTimeout(resolve, 2500));
  assert.equal(state.get().down, true); // not before the model is loaded
  answers.next = [model("a"), model("b")];
  await new Promise((resolve) => state.watch(["down"], resolve));
  assert.equal(state.get().down, false);
  assert.equal(retries, 1);
});

test("a new version is offered, and a removed model is left with a sentence", async (t) => {
  const { state, shown, look, connection } = page();
  t.after(() => connection.end());
  await look([model("a", 2), model("b")]);
  assert.match(state.get().notice.text, /^Version 2 of a is now served/);
  state.get().notice.act();
  assert.deepEqual(shown, ["a"]);
  await look([model("b")]);
  assert.equal(state.get().notice.text, "a: no longer served.");
  assert.deepEqual(shown, ["a", undefined]);
  assert.deepEqual(state.get().models.map(({ name }) => name), ["b"]);
});

test("rows are kept by model, and those of another version are scored again", () => {
  const state = makeState({ model: { name: "a", version: 1 }, rows: "rows", results: "results" });
  const visits = makeVisits(state);
  const visit = (name, version) => {
    visits.leave();
    assert.equal(state.get().rows, null);
    state.set({ model: { name, version } });
    visits.enter();
  };
  visit("b", 1);
  assert.equal(state.get().rows, null);
  visit("a", 1);
  assert.deepEqual([state.get().rows, state.get().results], ["rows", "results"]);
  visit("a", 2);
  assert.deepEqual([state.get().rows, state.get().results], ["rows", null]);
});

test("requests that are not to be recorded say so, and do not count as scored", async () => {
  const sent = [];
  const fetch = async (address, { headers }) => {
    sent.push(headers["vae-record"]);
    return new Response('{"score": 1}\n{"score": 2}\n');
  };
  const api = makeApi({ base: new URL("http://x/"), key: () => null, fetch });
  await api.postLines("elbo", { body: "a\n1\n2\n", type: "text/csv", record: false });
  assert.equal(api.scoredRows("elbo"), 0);
  await api.postLines("elbo", { body: "a\n1\n2\n", type: "text/csv" });
  assert.equal(api.scoredRows("elbo"), 2);
  assert.deepEqual(sent, ["false", undefined]);
});
