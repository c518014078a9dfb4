/** Draws the pictures of latent space, images and model health in the docs. */
import { join } from "node:path";

export default async function ({ page, given }) {
  await page.setViewportSize({ width: 1000, height: 800 });
  const shot = async (name, selector) => {
    await page.evaluate(() => document.activeElement.blur());
    await page.locator(`${selector} .snippets`).evaluate((code) => (code.hidden = true));
    const box = await page.locator(selector).boundingBox();
    const { y } = await page.evaluate(() => ({ y: scrollY }));
    const clip = { x: 0, y: box.y + y + 12, width: 1000, height: box.height - 4 };
    await page.screenshot({ path: join(given.folder, `${name}.png`), clip, fullPage: true });
  };
  await page.goto(`${given.url}/?model=breast-cancer#score`);
  await page.getByRole("button", { name: "Use generated rows" }).click();
  await page.locator("#rows .reasons span").first().waitFor();
  await page.getByRole("link", { name: "Latent space" }).click();
  await page.locator("#latent-map [data-map-caption]:not(:empty)").waitFor();
  await page.getByRole("application", { name: "Latent map" }).focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("Enter");
  await page.locator("#latent-map .decoded-cells").waitFor();
  await shot("latent-space-map", "#latent-map");

  await page.goto(`${given.url}/?model=digits#score`);
  await page.getByRole("button", { name: "Try samples of the model" }).click();
  await page.locator(".image-card").nth(5).waitFor();
  await shot("images-panel", "#images");
  await page.getByRole("link", { name: "Latent space" }).click();
  await page.locator("#interpolation .strip").waitFor();
  await page.locator("#latent-sliders [aria-busy=false]").waitFor();
  await shot("latent-space-sliders", "#latent-sliders");
  await shot("latent-space-walk", "#interpolation");
}
