/** A file with another delimiter and decimal commas is understood, scored, explained, edited, encoded and saved as it is. */
import { readFileSync } from "node:fs";
import { expect } from "../harness.mjs";

export default async function ({ page, check, shot, given }) {
  await page.goto(`${given.url}/?model=machines`);
  await page.locator("#data .drop").waitFor();
  await page.locator("#data input[type=file]").setInputFiles(given.file);
  await page.locator("#rows tbody tr .reasons span").first().waitFor();
  const summary = page.locator("#data .dialect summary");
  expect((await summary.innerText()).includes(given.said), `said: ${await summary.innerText()}`);
  expect((await page.locator('[data-row="0"]').innerText()).includes("40,0"), "the cell is not as in the file");
  const expected = await page.locator("#rows tbody .reasons .quiet", { hasText: " to " }).first().innerText();
  expect(/^expected \d+(,\d+)? to \d+(,\d+)?$/.test(expected), `expected numbers are not written as in the file: ${expected}`);
  expect((await page.locator("#data .snippets [data-language=python]").textContent()).includes('float(text.replace(",", "."))'), "not in the code");

  await page.locator('[data-row="0"] td button').first().click();
  await page.locator("#editor .outcome .badge.anomaly").waitFor();
  await page.locator("#editor input").nth(1).fill("2,7"); // flow
  await page.locator("#editor .outcome small").waitFor();
  expect((await page.locator("#editor [role=alert]").count()) === 0, "the edited row is refused");
  await check("scored");
  await shot("dialect");

  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download scored CSV" }).click()]);
  const [head, line] = readFileSync(await download.path(), "utf-8").split("\n");
  const at = head.split(given.delimiter).indexOf("score");
  expect(/^\d+,\d+$/.test(line.split(given.delimiter)[at]), `saved: ${line}`);

  await page.getByRole("link", { name: "Latent space" }).click();
  await page.locator("#latent-map [data-map-caption]:not(:empty)").waitFor();
  expect((await page.locator("#latent-map [data-map-caption]").innerText()).includes("1 row cannot be read"), "more rows cannot be read");

  await page.getByRole("link", { name: "Score" }).click();
  await summary.focus();
  await page.keyboard.press("Enter");
  await page.getByLabel("Decimal").selectOption(".");
  await page.locator("#data .message", { hasText: "could not be read" }).waitFor();
  await summary.filter({ hasText: "decimal point" }).waitFor();
  await check("read in another way");
}
