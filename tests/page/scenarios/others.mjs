/** Models by folds, of windows, and of old formats: what the page supports works, and what it does not is said. */
import { expect } from "../harness.mjs";

export default async function ({ page, check, shot, given }) {
  await page.goto(`${given.url}/?model=${given.model}`);
  await page.locator("#data .drop").waitFor();
  await page.getByRole("button", { name: "Use generated rows" }).click();
  await page.locator("#rows tbody tr").first().waitFor();
  await page.locator("#rows tbody tr button").first().click();
  await page.locator("#editor .outcome").waitFor();
  await check("generated rows");
  await shot(`other-${given.model}`);
  if (given.said) expect((await page.locator("#scores").innerText()).includes(given.said), `"${given.said}" is not shown`);
  if (given.file) {
    await page.locator("#data input[type=file]").setInputFiles(given.file);
    await page.locator("#rows tbody tr", { has: page.locator(".badge") }).first().waitFor();
    await page.waitForTimeout(500);
    expect((await page.locator(given.badge).count()) > 0, `no row is ${given.badge}`);
    if (given.refused) expect((await page.locator("#editor").innerText()).includes(given.refused), `"${given.refused}" is not said`);
    await check("file");
  }
}
