/** Which model the page shows, and what it says while there is none. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { makeLoader } from "../../../service/vaekit_service/page/static/js/models.js";
import { Problem } from "../../../service/vaekit_service/page/static/js/problems.js";
import { makeState } from "../../../service/vaekit_service/page/static/js/state.js";

/** A service that answers each look at /models with the next of these lists, and then with the last. */
function service(...lists) {
  const asked = [];
  const getJson = async (path) => {
    asked.push(path);
    if (path !== "models") return { name: path.split("/")[1], version: 1 };
    const next = lists.length > 1 ? lists.shift() : lists[0];
    if (next instanceof Error) throw next;
    return next;
  };
  return { api: { getJson }, asked };
}

const model = (name, state = "ready", reason = null) => ({ name, state, reason });

test("the model that was asked for is shown, else the default one, else one that is ready", async () => {
  const models = [model("a", "failed", "broken"), model("b"), model("c")];
  for (const [listed, name, expected] of [
    [{ models, default: "c" }, "b", "b"],
    [{ models, default: "c" }, "gone", "c"],
    [{ models, default: null }, undefined, "b"],
  ]) {
    const state = makeState();
    await makeLoader(service(listed).api, state).load(name);
    assert.equal(state.get().model.name, expected);
    assert.equal(state.get().problem, null);
  }
});

test("the model that was asked for is shown once there is a key", async () => {
  const refused = new Problem({ title: "Unauthorized", detail: "this needs a key", status: 401 });
  const state = makeState();
  const loader = makeLoader(service(refused, { models: [model("a"), model("b")], default: null }).api, state);
  await loader.load("b");
  assert.equal(state.get().problem.status, 401);
  await loader.load();
  assert.equal(state.get().model.name, "b");
});

test("a model that failed to load is named with the reason, and the page does not ask again", async () => {
  const state = makeState();
  await makeLoader(service({ models: [model("a", "failed", "elbo.onnx is damaged")], default: null }).api, state).load();
  assert.match(state.get().problem.message, /a could not be loaded: elbo.onnx is damaged/);
  assert.equal(state.get().problem.mayPass, false);
  assert.equal(state.get().models.length, 1);
});

test("while a model loads, the service has none, or does not answer, the page asks again", { timeout: 30_000 }, async () => {
  const loading = { models: [model("a", "loading")], default: null };
  const down = new Problem({ title: "No connection", detail: "The service does not answer.", status: 0 });
  const { api } = service(loading, { models: [], default: null }, down, { models: [model("a")], default: null });
  const state = makeState();
  const said = [];
  state.watch(["problem"], ({ problem }) => problem && said.push(problem.title));
  await makeLoader(api, state).load();
  await new Promise((resolve) => state.watch(["model"], ({ model: shown }) => shown && resolve()));
  assert.deepEqual(said, ["Loading", "No model", "No connection"]);
});

test("the first model brings the alpha of the service, and later ones leave the visitor's", async () => {
  const models = [model("a"), model("b")];
  const { api } = service({ models, default: "a" });
  const withAlpha = { getJson: async (path) => ({ ...(await api.getJson(path)), ...(path === "models" ? {} : { default_alpha: 0.01 }) }) };
  const state = makeState();
  const loader = makeLoader(withAlpha, state);
  await loader.load();
  assert.equal(state.get().alpha, 0.01);
  state.set({ alpha: 0.2 });
  await loader.load("b");
  assert.equal(state.get().alpha, 0.2);
});
