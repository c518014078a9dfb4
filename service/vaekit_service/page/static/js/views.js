/** Shows one view at a time. The panels of a view are mounted when it is first shown, and stay until the model changes. */

import { html, render } from "./lit.js";

/**
 * @param {HTMLElement} root
 * @param {import("./panels.js").Panel[]} panels
 * @param {import("./panels.js").Context} context
 */
export function makeViews(root, panels, context) {
  const { state } = context;
  let mounted = new Map(); // by the id of a view: the functions that end its panels

  const accepted = () => {
    const { model } = state.get();
    return model === null ? [] : panels.filter((panel) => panel.accepts(model));
  };

  /** Whether the model has panels in a view. @param {string} view */
  const has = (view) => accepted().some((panel) => panel.view === view);

  /** End all panels. */
  function reset() {
    for (const ends of mounted.values()) for (const end of ends) end();
    if (mounted.size > 0) root.replaceChildren();
    mounted = new Map();
  }

  /** Show a view, or why there is none. @param {string} view */
  function show(view) {
    if (state.get().model === null) {
      showProblem(state.get().problem);
      return;
    }
    root.querySelector("[data-problem]")?.remove();
    for (const shown of root.children) shown.hidden = shown.dataset.view !== view;
    if (view === "" || mounted.has(view)) return;
    const section = document.createElement("div");
    section.dataset.view = view;
    section.className = "view";
    root.append(section);
    mounted.set(view, accepted().filter((panel) => panel.view === view).map((panel) => begin(panel, section)));
  }

  function begin(panel, section) {
    const frame = document.createElement("section");
    frame.className = "panel";
    frame.id = panel.id;
    frame.setAttribute("aria-labelledby", `${panel.id}-title`);
    section.append(frame);
    render(
      html`<h2 id=${`${panel.id}-title`}>${panel.title}</h2>
        ${panel.about ? html`<p class="about">${panel.about(state.get().model)}</p>` : ""}
        <div class="panel-body"></div>`,
      frame,
    );
    const body = frame.querySelector(".panel-body");
    try {
      return panel.mount(body, context);
    } catch (error) {
      console.error(error); // a bug of the panel; the others go on
      render(html`<p class="message" role="alert">This panel failed: ${error.message}</p>`, body);
      return () => {};
    }
  }

  function showProblem(problem) {
    const text = problem === null ? "" : `${problem.title}: ${problem.message}`;
    if (root.firstElementChild?.dataset.problem === text) return; // so that it is not read aloud again
    const box = waiting(problem);
    box.dataset.problem = text;
    root.replaceChildren(box);
  }

  return { has, reset, show };
}

const NO_KEY = html`<p class="quiet">Without a key there is nothing to show. Press <b>Key</b> at the top to enter one.</p>`;

function waiting(problem) {
  const box = document.createElement("div");
  box.className = "panel";
  const again = problem?.mayPass ? html`<p class="quiet">The page tries again by itself.</p>` : "";
  render(
    problem === null
      ? html`<p class="quiet">Loading …</p>`
      : problem.status === 401
        ? NO_KEY // the dialog says why
        : html`<div class="message" role="alert"><h2>${problem.title}</h2><p>${problem.message}</p>${again}</div>`,
    box,
  );
  return box;
}
