/** The page opens with a model: its facts are shown, the picker changes the model, the key dialog opens and closes. */
import { expect } from "../harness.mjs";

const FALSE_ALARMS = {
  digits: "False alarms at alpha 0.05 7.8 % of 180 test images",
  "breast-cancer": "False alarms at alpha 0.05 5.6 % of 71 test rows",
};

export default async function ({ page, check, shot, given }) {
  await page.goto(`${given.url}/?model=${given.model}#model`);
  await page.locator("#facts dl").waitFor();
  await check("model");
  const facts = await page.locator("#facts dl").innerText();
  expect(!facts.includes("–"), `a fact has no value: ${facts}`);
  expect(facts.includes("AUROC on labelled rows") === (given.model === "breast-cancer"), `the AUROC is said without labels, or not with them: ${facts}`);
  expect(!FALSE_ALARMS[given.model] || facts.replace(/\s+/g, " ").includes(FALSE_ALARMS[given.model]), `false alarms: ${facts}`);
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
