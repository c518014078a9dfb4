/** Draws the pictures of the docs: rows with reasons, the histogram, the editor and a phone. */
import { join } from "node:path";

export default async function ({ page, given }) {
  const shot = (name, options = {}) => page.screenshot({ path: join(given.folder, `page-${name}-${given.scheme}.png`), ...options });
  await page.setViewportSize({ width: given.width, height: given.width < 600 ? 844 : 860 });
  await page.goto(`${given.url}/?model=${given.model}`);
  await page.locator("#data .drop").waitFor();
  await page.locator("#data input[type=file]").setInputFiles(given.file);
  await page.locator("#rows .reasons span").first().waitFor();
  await page.locator('[data-row="3"] td.odd').first().waitFor();
  await page.evaluate(() => document.activeElement.blur());
  if (given.width < 600) {
    await page.locator("#scores").scrollIntoViewIfNeeded();
    await page.evaluate(() => document.getElementById("scores").scrollIntoView());
    await shot("phone");
    return;
  }
  await overview(page, shot);
  await page.locator('[data-row="0"] td button').first().click();
  await page.locator("#editor .outcome").waitFor();
  await page.evaluate(() => document.activeElement.blur());
  await page.locator("#editor").screenshot({ path: join(given.folder, `page-editor-${given.scheme}.png`) });
  await page.setViewportSize({ width: given.width, height: 640 });
  await page.evaluate(() => document.getElementById("rows").scrollIntoView());
  await shot("rows");
}

/** Slider, histogram and the first flagged rows with their reasons in one picture, without what is folded, by group, or sorts rows. */
async function overview(page, shot) {
  await page.setViewportSize({ width: 1280, height: 1040 });
  const hidden = page.locator("#data .snippets, #scores .snippets, #scores .scroll, #scores label.row, #rows .tools");
  const hide = (elements, isHidden) => elements.forEach((element) => (element.hidden = isHidden));
  await hidden.evaluateAll(hide, true);
  await page.waitForTimeout(300); // the histogram takes its new width
  await shot("overview");
  await hidden.evaluateAll(hide, false);
}
