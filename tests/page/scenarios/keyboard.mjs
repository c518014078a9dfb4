/** Everything that the panels of rows do is done by keyboard: Tab, Enter, Space, arrow keys and text. */
import { expect } from "../harness.mjs";

const MOST_TABS = 400;

export default async function ({ page, given }) {
  await page.goto(`${given.url}/?model=machines`);
  await page.locator("#data .drop").waitFor();

  /** Press Tab until the focus is on what a selector names; the focus must be visible there. */
  async function tabTo(selector) {
    for (let tabs = 0; tabs < MOST_TABS; tabs += 1) {
      await page.keyboard.press("Tab");
      if (await page.evaluate((wanted) => document.activeElement.matches(wanted), selector)) {
        const outline = await page.evaluate(() => {
          const shown = document.activeElement.closest("label.button") ?? document.activeElement;
          return getComputedStyle(shown).outlineStyle;
        });
        expect(outline !== "none", `no focus ring on ${selector}`);
        return;
      }
    }
    throw new Error(`Tab does not reach ${selector}`);
  }

  await tabTo("#data .row > button");
  await page.keyboard.press("Enter");
  await page.locator("#rows tbody tr").first().waitFor();
  await tabTo("#scores input[type=range]");
  const before = await page.getByRole("spinbutton", { name: "alpha" }).inputValue();
  await page.keyboard.press("ArrowRight");
  expect((await page.getByRole("spinbutton", { name: "alpha" }).inputValue()) !== before, "the slider did not move");
  await tabTo("#rows input[type=search]");
  await page.keyboard.type("north");
  await tabTo("#rows .rows-scroll");
  await tabTo("#rows tbody button");
  await page.keyboard.press("Space");
  await page.locator("#editor .outcome").waitFor();
  await tabTo("#rows .mark.anomaly");
  await page.keyboard.press("Space");
  await page.getByText("1 mark").first().waitFor();
  await tabTo("#editor input");
  await page.keyboard.press("Control+A");
  await page.keyboard.type("123456");
  await page.locator("#editor .outcome .badge.anomaly").waitFor();
  expect(await page.evaluate(() => document.activeElement.matches("#editor input")), "the focus is lost after an edit");
  await tabTo("#editor .snippets summary");
  await page.keyboard.press("Enter");
  await page.locator("#editor .snippets pre").first().waitFor();
}
