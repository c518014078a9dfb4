/** Collects the code that every panel shows, by panel and language. */
import { expect } from "../harness.mjs";

export default async function ({ page, given }) {
  await page.goto(`${given.url}/?model=${given.model}`);
  await page.locator("nav[aria-label=Views] a").first().waitFor();
  const found = {};
  for (const view of await page.locator("nav[aria-label=Views] a").evaluateAll((links) => links.map((link) => link.hash))) {
    await page.goto(`${given.url}/?model=${given.model}${view}`);
    await page.locator(`[data-view="${view.slice(1)}"] .panel`).first().waitFor();
    if ((await page.locator("#data").count()) > 0 && view === "#score") {
      await page.getByRole("button", { name: "Use generated rows" }).click();
      await page.locator("#rows tbody tr button").first().click();
      await page.locator("#editor .outcome").waitFor();
    }
    await page.locator(`[data-view="${view.slice(1)}"] .snippets`).first().waitFor({ state: "attached" });
    await page.waitForTimeout(500);
    for (const panel of await page.locator(`[data-view="${view.slice(1)}"] .panel`).all()) {
      const code = await panel.locator("[data-language]").evaluateAll((all) =>
        Object.fromEntries(all.map((one) => [one.dataset.language, one.textContent])),
      );
      if (Object.keys(code).length > 0) found[await panel.getAttribute("id")] = code;
    }
  }
  expect(Object.keys(found).length >= 5, `only ${Object.keys(found)} show code`);
  return found;
}
