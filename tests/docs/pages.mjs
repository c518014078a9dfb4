/** Pages of the docs site: accessible, no wider than the window, no file from another host, and a search that answers. */
import { expect } from "../page/harness.mjs";

export default async function ({ page, check, shot, given }) {
  for (const name of given.pages) {
    await page.goto(`${given.url}/${name}`);
    await page.locator("h1").waitFor();
    await check(name);
    await shot(name.replaceAll("/", "-").replace(".html", ""));
  }
  await page.goto(`${given.url}/search.html?q=tolerance`);
  await page.locator("#search-results li a").first().waitFor();
  const found = await page.locator("#search-results li a").allTextContents();
  expect(found.some((title) => /tolerate/i.test(title)), `the search finds ${found}`);
}
