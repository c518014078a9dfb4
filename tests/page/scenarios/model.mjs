/** The page opens with a model: its facts are shown, the picker changes the model, the key dialog opens and closes. */
import { expect } from "../harness.mjs";

export default async function ({ page, check, shot, given }) {
  await page.goto(`${given.url}/?model=${given.model}#model`);
  await page.locator("#facts dl").waitFor();
  await check("model");
  await shot(`model-${given.model}`);
  await page.locator("#facts summary").click();
  expect((await page.locator("#facts pre").count()) === 3, "there are not three snippets");
  await check("snippets");
  await page.goto(`${given.url}/?model=${given.model}#toString`); // no view: the first one is shown
  await page.locator('nav a[aria-current="page"]', { hasText: "Score" }).waitFor();
  const other = given.model === "digits" ? "breast-cancer" : "digits";
  await page.getByRole("combobox", { name: "Model" }).selectOption(other);
  await page.waitForFunction((name) => document.title.startsWith(name), other);
}
