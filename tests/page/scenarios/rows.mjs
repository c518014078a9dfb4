/**
 * Rows are given in three ways and scored: the table, the histogram with its slider, and the editor follow. Invalid rows,
 * reasons, marks and both downloads are there.
 */
import { readFileSync } from "node:fs";
import { expect } from "../harness.mjs";

export default async function ({ page, check, shot, given }) {
  await page.goto(`${given.url}/?model=${given.model}`);
  await page.locator("#data .drop").waitFor();
  await page.locator("#scores .plot canvas").waitFor();
  await check("without rows");
  await shot(`start-${given.model}`);

  await page.getByRole("button", { name: "Use generated rows" }).click();
  await page.locator("#rows tbody tr .reasons span").first().waitFor();
  await page.getByText("200 rows", { exact: true }).first().waitFor();
  await check("generated rows");
  if (given.model === "machines") {
    await stopped({ page, check, shot });
    await fromFile({ page, check, shot, given });
  }
  await alpha({ page, given });
  await editor({ page, check });
  await shot(`score-${given.model}`);
  for (const id of ["data", "scores", "rows", "editor"]) await shot(`${id}-${given.model}`, `#${id}`);
  for (const summary of await page.locator("[data-view=score] .snippets > summary").all()) await summary.click();
  await check("snippets");
}

/** A large file is scored in part: Stop keeps what is scored. */
async function stopped({ page, check, shot }) {
  const text = `pressure,flow,starts,valve,site\n${"100,2.7,3,open,north\n".repeat(50_001)}`;
  let batches = 0;
  await page.route("**/elbo?*", async (route) => {
    batches += 1;
    if (batches > 2) await new Promise((resolve) => setTimeout(resolve, 3000));
    await route.continue().catch(() => {}); // the page has given it up
  });
  await page.locator("#data input[type=file]").setInputFiles({ name: "large.csv", mimeType: "text/csv", buffer: Buffer.from(text) });
  await page.getByText("For files of this size").waitFor();
  await page.locator("#data progress").waitFor();
  await page.getByText("200 of 50,001 rows scored").waitFor();
  await check("scoring");
  await shot("progress", "#data");
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByText(/^Stopped: the first (200|2,200) are scored\.$/).waitFor();
  expect((await page.getByRole("button", { name: "Score all rows" }).count()) === 1, "scoring cannot go on");
  await page.locator("#rows .pager span", { hasText: /of (200|2,200)$/ }).waitFor();
  await shot("stopped", "#data");
  await page.unroute("**/elbo?*");
}

/** Choose files that are no CSV, and one with rows that are spoilt in known ways. */
async function fromFile({ page, check, given }) {
  for (const [text, said] of [["name\nM\xfcller", "line 2 is not UTF-8 text"], ["PK\x03\x04 xl/", "is an Excel workbook"], ["1,2\n3,4", "first line of rows.csv must have the names"]]) {
    await page.locator("#data input[type=file]").setInputFiles({ name: "rows.csv", mimeType: "text/csv", buffer: Buffer.from(text, "latin1") });
    await page.locator("#data .message", { hasText: said }).waitFor();
  }
  await page.locator("#data input[type=file]").setInputFiles(given.file);
  await page.locator("#data .small code", { hasText: "machine" }).first().waitFor();
  await page.locator("#rows tbody tr").first().waitFor();
  const invalid = await page.locator("#data .message li").innerText();
  expect(invalid.includes("Row 2,") && invalid.includes("pressure") && invalid.includes("n/a?"), `invalid row: ${invalid}`);
  await page.waitForFunction(() => document.querySelector('[data-row="3"] .reasons')?.textContent.includes("starts"));
  expect((await page.locator('[data-row="3"] td.odd').count()) > 0, "the anomalous cell is not highlighted");
  expect((await page.locator('[data-row="1"] .novel[title*="no training row has"]').count()) === 1, "the unseen level is not called novel");
  expect((await page.locator("#rows").innerText()).includes("Novel rows come"), "it is not said where novel rows stand");
  const why = await page.locator('[data-row="1"] .reasons span').first().innerText();
  expect(why === "valve stuck, not seen in training", `reason of the novel row: ${why}`);
  const columns = (await page.locator("#rows thead th").allInnerTexts()).slice(6);
  expect(columns.join() === "machine,pressure,flow,starts,valve,site", `columns: ${columns}`);
  await page.locator('[data-row="1"] button').first().click();
  await page.locator("#editor .outcome .badge.anomaly").waitFor();
  const texts = async (selector) => (await page.locator(selector).allInnerTexts()).map((text) => text.trim()).sort().join();
  const [marked, named] = [await texts("#editor .cell.odd label"), await texts('[data-row="1"] .reasons b')];
  expect(named.split(",").every((name) => marked.includes(name)), `the editor marks ${marked}, the table names ${named}`);
  expect((await page.locator("#editor .cell.odd").count()) === named.split(",").length, `the editor marks more cells than ${named}`);
  await check("file");

  await page.getByLabel("Mark row 3 as anomaly").click();
  await page.getByLabel("Mark row 0 as normal").click();
  const compared = page.locator("#rows [data-comparison]");
  const said = await compared.innerText();
  expect(said === "Flagged at alpha 0.05: 1 of 1 row marked as anomalies; 1 of 1 row marked as normal.", `marks and verdicts: ${said}`);
  const marks = await downloaded(page, "Download marks");
  expect(marks === "machine,label\nm0,normal\nm3,anomaly\n", `marks: ${marks}`);
  const scored = (await downloaded(page, "Download scored CSV")).trimEnd().split("\n");
  expect(scored[0].startsWith("machine,pressure,flow,starts,valve,site,elbo,"), `columns: ${scored[0]}`);
  expect(scored.length === 301, `${scored.length} lines`);

  await page.getByLabel("Search").fill("m17,");
  expect((await page.locator("#rows tbody tr").count()) === 1, "the search does not find one row");
  await page.getByLabel("Search").fill("");
}

async function downloaded(page, name) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name }).click()]);
  return readFileSync(await download.path(), "utf-8");
}

/** The slider moves the number of flagged rows. */
async function alpha({ page }) {
  const flagged = async () => Number((await page.locator("#scores .large span").innerText()).replace(",", ""));
  const before = await flagged();
  const slider = page.getByRole("slider");
  await slider.focus();
  for (let press = 0; press < 3; press += 1) await slider.press("PageUp");
  expect((await flagged()) > before, "a larger alpha flags no more rows");
  await slider.press("Home");
  const field = page.getByRole("spinbutton", { name: "alpha" });
  for (const text of ["0.0001", "0.05"]) {
    await field.fill(text);
    await field.press("Enter");
    const says = (await page.locator("#scores .figures").innerText()).includes("can be flagged at alpha 0.0001");
    expect(says === (text === "0.0001"), `alpha ${text}: whether a row can be flagged`);
  }
  for (const text of ["0", "", "1"]) {
    await field.fill(text);
    await field.press("Enter");
    await page.locator("#scores [role=alert]", { hasText: "above 0 and below 1" }).waitFor();
    expect((await field.inputValue()) === "0.05", `after "${text}" the field shows ${await field.inputValue()}`);
    await field.fill("0.06");
    await field.press("Enter");
    expect((await page.locator("#scores [role=alert]").count()) === 0, "the refusal stays");
    await field.fill("0.05");
    await field.press("Enter");
  }
  expect((await flagged()) === before, "alpha 0.05 does not flag what it flagged before");
}

/** An extreme cell in the editor turns a normal row into an anomaly, and undoing it turns it back. */
async function editor({ page, check }) {
  await page.getByLabel("Order").selectOption("normal");
  await page.locator("#rows tbody tr .badge.normal").first().waitFor();
  const row = page.locator("#rows tbody tr", { has: page.locator(".badge.normal") }).first();
  expect((await row.locator(".badge.normal").innerText()) === "not flagged", "the badge says more than that the row is not flagged");
  await row.locator("button").first().click();
  await page.locator("#editor .outcome .badge.normal").waitFor();
  const field = page.locator("#editor input").first();
  await field.fill("123456");
  await page.locator("#editor .outcome .badge.anomaly").waitFor();
  await page.locator("#editor .cell.odd").first().waitFor();
  await check("edited row");
  await field.fill("abc");
  await page.locator("#editor .editor-head .alarm-text").waitFor();
  await page.getByRole("button", { name: "Undo all changes" }).click();
  await page.locator("#editor .outcome .badge.normal").waitFor();
  await field.fill("123456");
  await page.locator("#editor .outcome .badge.anomaly").waitFor();
}
