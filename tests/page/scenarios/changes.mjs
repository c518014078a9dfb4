/** Rows and their marks stay while another model is shown; new versions are offered and removed models are left, each with a sentence. */
import { expect } from "../harness.mjs";

export default async function ({ page, check, shot, given }) {
  await page.clock.install();
  await page.goto(`${given.url}/?model=breast-cancer`);
  await page.getByRole("button", { name: "Use generated rows" }).click();
  await page.locator("#rows tbody tr").first().waitFor();
  await page.getByRole("button", { name: /^Mark row \d+ as anomaly$/ }).first().click();
  await page.getByText("1 mark", { exact: true }).waitFor();
  const pick = (name) => page.getByRole("combobox", { name: "Model" }).selectOption(name);
  await pick("digits");
  await page.locator("#images .drop").waitFor();
  await pick("breast-cancer");
  await page.locator("#rows tbody tr").first().waitFor();
  expect((await page.locator("#data").innerText()).includes("200 rows"), "the panel does not say which rows are shown");
  await page.getByText("1 mark", { exact: true }).waitFor();

  const listed = await (await fetch(`${given.url}/models`)).json();
  const answer = (models) => page.route("**/models", (route) => route.fulfill({ json: { ...listed, models } }));
  await answer(listed.models.map((one) => (one.name === "breast-cancer" ? { ...one, version: 2, versions: [1, 2] } : one)));
  await page.clock.fastForward(10_000);
  await page.getByText("Version 2 of breast-cancer is now served").waitFor();
  await check("a new version");
  await shot("new-version");
  await page.getByRole("button", { name: "Show it" }).click();
  await page.locator("#rows tbody tr").first().waitFor();

  await answer(listed.models.filter(({ name }) => name !== "breast-cancer"));
  await page.clock.fastForward(10_000);
  await page.getByText("breast-cancer: no longer served.").waitFor();
  await page.locator("#images .drop, #data .drop").first().waitFor();
  expect((await page.getByRole("combobox", { name: "Model" }).innerText()).includes("breast-cancer") === false, "the removed model can still be chosen");
}
