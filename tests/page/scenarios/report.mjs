/** A training report: it opens with the answer, links open the folded diagnostics, and nothing scrolls sideways. */
import { expect } from "../harness.mjs";

export default async function ({ page, check, shot, given }) {
  await page.goto(given.url);
  const lead = page.locator("#answer .lead");
  const { y } = await lead.boundingBox();
  expect(y < 400, `the answer begins ${y} px below the top`);
  await check("as it opens");
  await shot(`report-${given.model}`);
  for (const summary of await page.locator("details.section > summary").all()) {
    await summary.focus();
    await page.keyboard.press("Enter");
  }
  expect((await page.locator("details.section:not([open])").count()) === 0, "a section is still folded");
  await check("with all sections open");
  const small = await page.evaluate(() =>
    [...document.querySelectorAll("p, li, td, figcaption, small, dt, span")]
      .filter((one) => one.textContent.trim() && one.getClientRects().length && parseFloat(getComputedStyle(one).fontSize) < 12)
      .map((one) => one.textContent.slice(0, 40)),
  );
  expect(small.length === 0, `text below 12 px: ${small.slice(0, 3).join("; ")}`);
  return (await lead.textContent()).trim();
}
