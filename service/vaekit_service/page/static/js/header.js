/** The bar at the top: the model picker, the key, and the views. */

import { html, live, nothing, render } from "./lit.js";

/**
 * @param {HTMLElement} root
 * @param {{ state: import("./state.js").Store, views: Record<string, string>, view: string,
 *   choose: (name: string) => void, askKey: () => void }} given views: titles of those that the model has, by id
 */
export function drawHeader(root, { state, views, view, choose, askKey }) {
  const { models, chosen, key, needsKey } = state.get();
  render(
    html`<div class="bar">
      <h1 class="brand"><img src="page/icon.svg" alt="" />vaekit</h1>
      ${models.length === 0 ? "" : picker(models, chosen, choose)}
      ${needsKey || key !== null ? html`<button @click=${askKey} aria-label=${key === null ? "Enter a key" : "Change the key"}>Key</button>` : ""}
      <nav aria-label="Views">
        ${Object.entries(views).map(
          ([id, title]) => html`<a href=${`#${id}`} aria-current=${id === view ? "page" : nothing}>${title}</a>`,
        )}
      </nav>
    </div>`,
    root,
  );
}

function picker(models, chosen, choose) {
  return html`<label class="row small">
    <span class="quiet name">Model</span>
    <select aria-label="Model" @change=${({ target }) => choose(target.value)} .value=${live(chosen ?? "")}>
      ${models.map(
        ({ name, state }) => html`<option value=${name} ?selected=${name === chosen}>${name}${state === "ready" ? "" : ` (${state})`}</option>`,
      )}
    </select>
  </label>`;
}
