/** A list to choose from, with its title. */

import { html, live } from "./lit.js";

/** @param {string} title @param {Record<string, string>} options text by value @param {string} value @param {(value: string) => void} use */
export function choice(title, options, value, use) {
  return html`<label class="field"
    >${title}
    <select @change=${({ target }) => use(target.value)} .value=${live(value)}>
      ${Object.entries(options).map(([id, text]) => html`<option value=${id} ?selected=${id === value}>${text}</option>`)}
    </select></label
  >`;
}
