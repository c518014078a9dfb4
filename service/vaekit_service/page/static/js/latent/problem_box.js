/** Shows what went wrong in a panel, with a way to try again. */

import { html } from "../lit.js";

/**
 * @param {Error | null} problem
 * @param {() => void} [again]
 */
export function problemBox(problem, again) {
  if (!problem) return "";
  return html`<div class="message" role="alert">
    <p>${problem.title ? html`<b>${problem.title}.</b> ` : ""}${problem.message}</p>
    ${again ? html`<p><button @click=${again}>Try again</button></p>` : ""}
  </div>`;
}
