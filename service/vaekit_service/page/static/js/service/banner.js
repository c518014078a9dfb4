/** One line below the header: the service does not answer, or something has changed in it. */

import { html, render } from "../lit.js";

const DOWN = "The service does not answer. It may have stopped, or the connection is down. The page goes on by itself once it answers.";

/** @param {HTMLElement} root @param {import("../state.js").Store} state */
export function drawBanner(root, state) {
  const { down, notice, model } = state.get();
  document.body.toggleAttribute("data-down", down && model !== null);
  const close = () => state.set({ notice: null });
  const act = () => {
    close();
    notice.act();
  };
  render(
    html`${down && model !== null ? html`<p class="message" data-banner="down">${DOWN}</p>` : ""}
    ${notice === null
      ? ""
      : html`<p class="message plain row" data-banner="notice">
          <span>${notice.text}</span>
          ${notice.act ? html`<button @click=${act}>${notice.label}</button>` : ""}
          <button class="plain" @click=${close}>Close</button>
        </p>`}`,
    root,
  );
}
