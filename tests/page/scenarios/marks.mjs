/** Marks three anomalies and two normal rows of a file, and returns the saved marks and the command that reads them. */
import { readFileSync } from "node:fs";

export default async function ({ page, given }) {
  await page.goto(`${given.url}/?model=${given.model}`);
  await page.locator("#data .drop").waitFor();
  await page.locator("#data input[type=file]").setInputFiles(given.file);
  await page.locator("#rows tbody tr").first().waitFor();
  await page.locator("#rows .pager", { hasText: "of 250" }).waitFor();
  for (const row of [0, 1, 3]) await page.getByLabel(`Mark row ${row} as anomaly`).click();
  await page.getByLabel("Order").selectOption("normal");
  for (const at of [0, 1]) await page.locator("#rows .mark.normal").nth(at).click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download marks" }).click()]);
  return [readFileSync(await download.path(), "utf-8"), await page.locator(".marks-bar pre").innerText()];
}
