/** Asks for the key of the service. It is kept in this tab only, until the tab is closed. */

import { html, render } from "./lit.js";

const KEPT = "vaekit-key";

/** The key that was entered in this tab. */
export const keptKey = () => sessionStorage.getItem(KEPT);

/**
 * @param {HTMLElement} root
 * @param {import("./state.js").Store} state
 * @returns {(problem?: import("./problems.js").Problem) => void} opens the dialog, with the reason if there is one
 */
export function makeKeyDialog(root, state) {
  let problem = null;

  function keep(key) {
    if (key) sessionStorage.setItem(KEPT, key);
    else sessionStorage.removeItem(KEPT);
    root.querySelector("dialog").close();
    state.set({ key: key || null });
  }

  const submit = (event) => {
    event.preventDefault();
    keep(root.querySelector("input").value.trim());
  };

  function draw() {
    const { key } = state.get();
    render(
      html`<dialog aria-labelledby="key-title">
        <form class="stack" @submit=${submit}>
          <h2 id="key-title">Key of the service</h2>
          ${problem === null ? "" : html`<p class="message">${problem.message}</p>`}
          <p class="quiet small">
            The page needs the scopes <code>read</code> and <code>infer</code>. The key stays in this tab and is forgotten
            when you close it.
          </p>
          <label class="field">Key <input type="password" name="key" autocomplete="off" spellcheck="false" .value=${key ?? ""} /></label>
          <div class="row">
            <button class="primary" type="submit">Use this key</button>
            <button type="button" @click=${() => root.querySelector("dialog").close()}>Cancel</button>
            ${key === null ? "" : html`<button type="button" class="plain" @click=${() => keep("")}>Forget the key</button>`}
          </div>
        </form>
      </dialog>`,
      root,
    );
  }

  return (reason = null) => {
    problem = reason;
    draw();
    const dialog = root.querySelector("dialog");
    if (!dialog.open) dialog.showModal();
  };
}
