/** The bar at the top: the model picker, the key, and the views. */

import { html, live, render } from "./lit.js";

/**
 * @param {HTMLElement} root
 * @param {{ state: import("./state.js").Store, views: Record<string, string>, view: string,
 *   choose: (name: string) => void, askKey: () => void }} given views: titles of those that the model has, by id
 */
export function drawHeader(root, { state, views, view, choose, askKey }) {
  const { models, chosen, key } = state.get();
  render(
    html`<div class="bar">
      <h1 class="brand"><img src="page/icon.svg" alt="" />vaekit</h1>
      ${models.length === 0 ? "" : picker(models, chosen, choose)}
      <button @click=${askKey}>${key === null ? "Enter a key" : "Change the key"}</button>
      <nav aria-label="Views">
        ${Object.entries(views).map(
          ([id, title]) => html`<a href=${`#${id}`} aria-current=${id === view ? "page" : null}>${title}</a>`,
        )}
      </nav>
    </div>`,
    root,
  );
}

function picker(models, chosen, choose) {
  return html`<label class="row small">
    <span class="quiet">Model</span>
    <select @change=${({ target }) => choose(target.value)} .value=${live(chosen ?? "")}>
      ${models.map(
        ({ name, state }) => html`<option value=${name} ?selected=${name === chosen}>${name}${state === "ready" ? "" : ` (${state})`}</option>`,
      )}
    </select>
  </label>`;
}
