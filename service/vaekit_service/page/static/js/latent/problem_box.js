/** Shows what went wrong in a panel, with a way to try again. Hidden while the banner says that the service does not answer. */

import { isGone } from "../service/connection.js";
import { html, nothing } from "../lit.js";

/**
 * @param {Error | null} problem
 * @param {() => void} [again]
 */
export function problemBox(problem, again) {
  if (!problem) return "";
  return html`<div class="message" role="alert" data-gone=${isGone(problem) ? "" : nothing}>
    <p>${problem.title ? html`<b>${problem.title}.</b> ` : ""}${problem.message}</p>
    ${again ? html`<p><button @click=${again}>Try again</button></p>` : ""}
  </div>`;
}
