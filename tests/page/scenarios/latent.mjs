/** The panels of latent space by keyboard: map, sliders, interpolation and samples, each redrawn from the service. */
import { expect } from "../harness.mjs";

export default async function ({ page, check, shot, given }) {
  const images = given.model === "digits";
  let first = null; // row of the table
  await page.goto(`${given.url}/?model=${given.model}#score`);
  await page.getByRole("button", { name: images ? "Try samples of the model" : "Use generated rows" }).click();
  await page.locator(images ? ".image-card" : "#rows tbody tr").nth(4).waitFor();
  if (!images) first = await page.locator("#rows tbody tr").first().getAttribute("data-row");
  await page.getByRole("link", { name: "Latent space" }).click();
  await page.locator("#latent-map [data-map-caption]:not(:empty)").waitFor();
  await page.locator(images ? "#samples .sample-grid" : "#samples .histograms").waitFor();
  await page.locator(images ? "#interpolation .strip" : "#interpolation .column-lines").waitFor();
  await check("latent space");
  await page.locator("#latent-map", { hasText: `Point at ${images ? "an image" : "a row"} to see it` }).waitFor();
  await page.locator("#latent-map .map-legend", { hasText: "not flagged" }).waitFor();
  await lookAndSelect(page, first);
  await moveSliders(page, images);
  await walk(page, images);
  await draw(page, images);
  await check("latent space, used");
  for (const id of ["latent-map", "latent-sliders", "interpolation", "samples"]) await shot(`${id}-${given.model}`, `#${id}`);
}

/** Home shows the most anomalous row, an arrow the next one, Enter decodes it. */
async function lookAndSelect(page, first) {
  const map = page.getByRole("application", { name: "Latent map" });
  await map.focus();
  await page.keyboard.press("Home");
  const title = page.locator("#latent-map .map-details h3");
  if (first !== null) await until(async () => (await title.textContent()) === `Row ${first}`, `Home does not go to row ${first}, the first of the table`);
  const seen = new Set([await title.textContent()]);
  for (const key of ["ArrowLeft", "ArrowDown", "ArrowRight", "ArrowUp"]) {
    await page.keyboard.press(key);
    seen.add(await title.textContent());
  }
  expect(seen.size > 1, "the arrow keys do not move");
  const chosen = await title.textContent();
  await page.keyboard.press("Enter");
  await page.locator("#latent-sliders [data-start]", { hasText: chosen }).waitFor();
  const colours = await map.evaluate((canvas) => {
    const { data } = canvas.previousElementSibling.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size;
  });
  expect(colours > 20, "the map is empty");
  await page.locator("[data-map=axes]").selectOption("pair");
  await page.locator("[data-map-caption]", { hasText: "of the variance" }).waitFor();
  expect((await page.locator("[data-map=x]").count()) === 1, "no axis can be chosen");
}

/** A slider redraws what is decoded; Reset goes back. */
async function moveSliders(page, images) {
  const decoded = () => (images ? pixels(page, "#latent-sliders canvas") : page.locator("#latent-sliders .decoded-cells").innerText());
  await page.locator("#latent-sliders [aria-busy=false]").waitFor(); // what is shown belongs to the sliders
  const before = await decoded();
  const slider = page.locator("#latent-sliders input[type=range]").first();
  await slider.focus();
  await page.keyboard.press((await slider.evaluate((input) => input.valueAsNumber >= Number(input.max))) ? "Home" : "End");
  await until(async () => (await decoded()) !== before, "the sliders redraw nothing");
  await page.locator("#latent-sliders").getByRole("button", { name: "Reset" }).click();
  await until(async () => (await decoded()) === before, "Reset does not go back");
  await page.getByRole("button", { name: "A new sample" }).click();
  await page.locator("#latent-sliders [data-start]", { hasText: "sample of seed 1" }).waitFor();
}

/** From a row to another one, then from the selected row to the centre. */
async function walk(page, images) {
  expect((await page.locator("[data-end=a]").inputValue()) === "row", "the walk does not begin with rows");
  const before = await page.getByLabel("Number of B").inputValue();
  await page.getByLabel("Number of B").fill("100000");
  await page.keyboard.press("Tab");
  await page.locator("#interpolation [role=alert]", { hasText: "Enter a whole number from 0 to" }).waitFor();
  expect((await page.getByLabel("Number of B").inputValue()) === before, "the field shows a number that is not in use");
  await page.getByLabel("Number of B").fill("3");
  await page.keyboard.press("Tab");
  await page.locator("#interpolation", { hasText: images ? "B is sample 3." : "B is Row 3." }).waitFor();
  await page.locator("[data-end=a]").selectOption("selected");
  await page.locator("[data-end=b]").selectOption("centre");
  await page.locator("#interpolation", { hasText: "B is the centre" }).waitFor();
  if (images) {
    expect((await page.locator("#interpolation .strip canvas").count()) === 9, "there are not nine steps");
    return;
  }
  await page.locator("#interpolation input[type=range]").focus();
  await page.keyboard.press("End");
  await page.locator("#interpolation label", { hasText: ": 1" }).waitFor();
}

/** New samples have the next seed; the download is a file. */
async function draw(page, images) {
  const samples = page.locator("#samples");
  const seen = () => (images ? pixels(page, "#samples canvas") : samples.locator("tbody").innerText());
  const before = await seen();
  await samples.getByRole("button", { name: "New samples" }).click();
  await until(async () => (await seen()) !== before, "New samples draws the same ones");
  const started = page.waitForEvent("download");
  await samples.getByRole("button", { name: /^Download/ }).click();
  const name = (await started).suggestedFilename();
  expect(name.endsWith(images ? "-2.png" : "-2.csv"), `the download is called ${name}`);
}

const pixels = (page, selector) => page.locator(selector).first().evaluate((canvas) => canvas.toDataURL());

async function until(holds, message) {
  for (let i = 0; i < 100; i++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(message);
}
