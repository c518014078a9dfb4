/** Asks for the key of the service. It is kept in this tab only, until the tab is closed. */

import { html, nothing, render } from "./lit.js";

const KEPT = "vaekit-key";

const NO_KEY = "This is not a key: keys are letters, digits, - and _. Copy it again.";

/** Whether a text can be sent as a key. The service makes keys of letters, digits, - and _. @param {string} text */
export const canBeKey = (text) => /^[!-~]+$/.test(text);

/** The key that was entered in this tab. */
export function keptKey() {
  const kept = sessionStorage.getItem(KEPT);
  return kept !== null && canBeKey(kept) ? kept : null;
}

/**
 * @param {HTMLElement} root
 * @param {import("./state.js").Store} state
 * @returns {(problem?: import("./problems.js").Problem) => void} opens the dialog, with the reason if there is one
 */
export function makeKeyDialog(root, state) {
  let problem = null; // what to say: one sentence

  function keep(key) {
    if (key) sessionStorage.setItem(KEPT, key);
    else sessionStorage.removeItem(KEPT);
    root.querySelector("dialog").close();
    state.set({ key: key || null });
  }

  const submit = (event) => {
    event.preventDefault();
    const key = root.querySelector("input").value.trim();
    if (key !== "" && !canBeKey(key)) {
      problem = NO_KEY;
      draw();
      root.querySelector("input").focus();
      return;
    }
    keep(key);
  };

  function draw() {
    const { key } = state.get();
    render(
      html`<dialog aria-labelledby="key-title">
        <form class="stack" @submit=${submit}>
          <h2 id="key-title">Key of the service</h2>
          ${problem === null ? "" : html`<p class="message" id="key-problem" role="alert">${problem}</p>`}
          <p class="quiet small">
            The page needs the scopes <code>read</code> and <code>infer</code>. The key stays in this tab and is forgotten
            when you close it.
          </p>
          <label class="field">Key <input type="password" name="key" autocomplete="off" spellcheck="false" aria-invalid=${problem === NO_KEY ? "true" : nothing} aria-describedby=${problem === null ? nothing : "key-problem"} .value=${key ?? ""} /></label>
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
    problem = reason === null ? null : reason.message;
    draw();
    const dialog = root.querySelector("dialog");
    if (!dialog.open) dialog.showModal();
  };
}
