/** The code that scores image files, as the panel does. */

import { pathOf } from "../api.js";
import { snippets } from "../snippets.js";

const FILES = 'import { readFile } from "node:fs/promises";';

/** @param {{ base: URL }} api @param {object} model */
export function imageCode(api, model) {
  const name = JSON.stringify(model.name);
  return snippets({
    api,
    path: pathOf(model, "elbo"),
    query: { features: true },
    body: "-F 'images=@first.png' -F 'images=@second.png'",
    python: `found = client.elbo(["first.png", "second.png"], model=${name}, features=True)
print(found.score, found.p_value, found.is_anomaly)
surprise = -found.feature_log_likelihood  # of each pixel, in nats`,
    javascriptImports: FILES,
    javascript: `const images = await Promise.all([readFile("first.png"), readFile("second.png")]);
const found = await client.elbo(images, { model: ${name}, features: true });
console.log(found.score, found.p_value, found.is_anomaly);`,
  });
}
