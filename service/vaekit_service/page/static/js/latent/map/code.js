/** The code that encodes rows, as the latent map does. */

import { pathOf } from "../../api.js";
import { queryOf } from "../../rows/dialect.js";
import { csvInPython } from "../../python_code.js";
import { snippets } from "../../snippets.js";

const FILES = 'import { readFile } from "node:fs/promises";';

/** @param {{ api: { base: URL }, state: import("../../state.js").Store }} context @param {object} model */
export function mapCode({ api, state }, model) {
  const dialect = state.get().rows?.dialect;
  const name = JSON.stringify(model.name);
  const image = model.input.kind === "image";
  const read = image ? { pythonImports: "", define: "", rows: "" } : csvInPython(model, dialect);
  return snippets({
    api,
    path: pathOf(model, "encode"),
    query: dialect ? queryOf(dialect) : {},
    body: image ? "-F 'images=@first.png' -F 'images=@second.png'" : "-T rows.csv -H 'content-type: text/csv'",
    pythonImports: read.pythonImports,
    define: read.define,
    python: image
      ? `mu = client.encode(["first.png", "second.png"], model=${name}).mu  # one latent vector per image\nprint(mu)`
      : `${read.rows}\nmu = client.encode(rows, model=${name}).mu  # one latent vector per row\nprint(mu)`,
    javascriptImports: image ? FILES : "",
    javascript: image
      ? `const images = await Promise.all([readFile("first.png"), readFile("second.png")]);
const { mu } = await client.encode(images, { model: ${name} }); // one latent vector per image
console.log(mu);`
      : `const { samples: rows } = await client.sample(3, { model: ${name}, observe: true }); // or your rows
const { mu } = await client.encode(rows, { model: ${name} }); // one latent vector per row
console.log(mu);`,
  });
}
