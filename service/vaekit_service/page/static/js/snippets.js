/** Shows the curl, Python and JavaScript of a request, with a button that copies each. */

import { keptKey } from "./key_dialog.js";
import { html } from "./lit.js";

const KEY = '-H "authorization: Bearer $VAE_API_KEY"'; // the Python and JavaScript clients read the variable themselves
const PACKAGE = "// The package comes from a checkout of vaekit: npm install --install-links CHECKOUT/clients/javascript";
const LANGUAGES = [
  ["curl", "curl"],
  ["python", "Python"],
  ["javascript", "JavaScript"],
];

/**
 * @typedef {object} Shown
 * @property {{ base: URL }} api
 * @property {string} path of the request, below the address of the service
 * @property {string} [method] GET or POST
 * @property {Record<string, unknown>} [query]
 * @property {unknown} [body] JSON; or text: the arguments of curl that send the body
 * @property {string} python what follows `with Client(...) as client:`
 * @property {string} javascript what follows `const client = new Client(...)`
 * @property {string} [pythonImports] lines before the Python
 * @property {string} [define] Python between the imports and the request
 * @property {string} [javascriptImports] lines before the JavaScript
 */

/**
 * The code of a request, folded away.
 *
 * @param {Shown} shown
 */
export function snippets(shown) {
  const code = codeOf(shown);
  return html`<details class="snippets">
    <summary>Do this in code</summary>
    ${LANGUAGES.map(
      ([language, title]) => html`<div class="row"><h3>${title}</h3><button class="plain" @click=${copier(code[language])}>Copy</button></div>
        <pre tabindex="0" data-language=${language}><code>${code[language]}</code></pre>`,
    )}
  </details>`;
}

/**
 * The code in each language, as text.
 *
 * @param {Shown} shown
 */
export function codeOf({ api, path, method = "POST", query = {}, body, python, javascript, pythonImports = "", define = "", javascriptImports = "" }) {
  const address = new URL(path, api.base);
  for (const [name, value] of Object.entries(query)) address.searchParams.set(name, String(value));
  const root = api.base.href.replace(/\/$/, "");
  const imports = pythonImports === "" ? "" : `${pythonImports}\n`;
  return {
    curl: ["curl -s", ...(keptKey() === null ? [] : [KEY]), ...bodyOf(method, body), `'${address.href}'`].join(" "),
    python: `${imports}from vaekit import Client\n\n${define === "" ? "" : `\n${define}\n\n`}with Client("${root}") as client:\n${indented(python)}`,
    javascript: `${PACKAGE}\n${javascriptImports === "" ? "" : `${javascriptImports}\n`}import { Client } from "vaekit";\n\nconst client = new Client("${root}");\n${javascript}`,
  };
}

function bodyOf(method, body) {
  if (method === "GET") return [];
  if (typeof body === "string") return [body];
  return ["-H 'content-type: application/json'", `-d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`];
}

const indented = (code) => code.split("\n").map((line) => (line === "" ? "" : `    ${line}`)).join("\n");

function copier(text) {
  return async ({ currentTarget: button }) => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select and copy";
      getSelection().selectAllChildren(button.parentElement.nextElementSibling);
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  };
}
