/** Composes the page: the store, the calls, the header, and the panels of the view that is shown. */

import { makeApi } from "./api.js";
import { drawBanner } from "./service/banner.js";
import { makeConnection } from "./service/connection.js";
import { drawHeader } from "./header.js";
import { keptKey, makeKeyDialog } from "./key_dialog.js";
import { html, render } from "./lit.js";
import { makeLoader } from "./models.js";
import { PANELS, VIEWS } from "./panels.js";
import { makeState } from "./state.js";
import { makeViews } from "./views.js";
import { makeVisits } from "./service/visits.js";

const element = (id) => document.getElementById(id);

const state = makeState({ key: keptKey() });
const askKey = makeKeyDialog(element("dialogs"), state);
const api = makeApi({ base: new URL("./", document.baseURI), key: () => state.get().key, onRefusal, onFailure });
const loader = makeLoader(api, state);
const connection = makeConnection(api, state, { show: (name) => choose(name) });
const visits = makeVisits(state);
const announce = (text) => (element("live").textContent = text);
const views = makeViews(element("main"), PANELS, { api, state, html, render, announce });

function onRefusal(problem) {
  state.set({ needsKey: true });
  askKey(problem);
}

function onFailure(problem) {
  connection.failed(problem);
}

function draw() {
  const titles = Object.fromEntries(Object.entries(VIEWS).filter(([id]) => views.has(id)));
  const wanted = location.hash.slice(1);
  const view = Object.hasOwn(titles, wanted) ? wanted : (Object.keys(titles)[0] ?? "");
  views.show(view);
  drawHeader(element("header"), { state, views: titles, view, choose, askKey: () => askKey() });
  document.title = state.get().model === null ? "vaekit" : `${state.get().model.name} · vaekit`;
}

/** Show a model, by default that of the service. @param {string} [name] */
function choose(name) {
  const address = new URL(location.href);
  if (name === undefined) address.searchParams.delete("model");
  else address.searchParams.set("model", name);
  history.replaceState(null, "", address);
  visits.leave();
  loader.load(name);
}

state.watch(["model", "problem"], () => {
  views.reset();
  visits.enter();
  draw();
});
state.watch(["models", "needsKey"], draw);
state.watch(["down", "notice", "model"], () => drawBanner(element("banner"), state));
state.watch(["key"], () => loader.load());
addEventListener("hashchange", draw);

draw();
loader.load(new URL(location.href).searchParams.get("model") ?? undefined);
connection.watch();
