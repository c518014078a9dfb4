/** A service with keys: the page asks for one, names the scope that is missing, keeps it in the tab, and forgets it. */
import { expect } from "../harness.mjs";

export default async function ({ page, check, shot, given }) {
  const use = async (key) => {
    await page.locator("dialog input").fill(key);
    await page.getByRole("button", { name: "Use this key" }).click();
  };
  await page.goto(`${given.url}/?model=breast-cancer`);
  await page.locator("dialog[open]").waitFor();
  await check("dialog");
  await shot("key");
  const asked = "This service asks for a key. Enter the one you were given.";
  expect((await page.getByText(asked).count()) === 1, "the page does not ask for a key once");
  await use("schlüssel-\u{1F511}");
  await page.locator("dialog[open] .message", { hasText: "This is not a key: keys are letters, digits, - and _" }).waitFor();
  expect((await page.locator("dialog input").getAttribute("aria-invalid")) === "true", "the field is not marked as wrong");
  expect(await page.evaluate(() => sessionStorage.length === 0), "a text that is no key is kept");
  await check("no key");
  await use("vae_wrong");
  await page.locator("dialog .message").waitFor();
  await use(given.keys.infer);
  await page.locator("dialog .message", { hasText: "scope read" }).waitFor();
  await use(given.keys.read);
  await page.locator("#data .drop").waitFor();
  await page.getByRole("button", { name: "Use generated rows" }).click();
  await page.locator("dialog .message", { hasText: "scope infer" }).waitFor();
  await use(given.keys.all);
  await page.locator("#data .drop").waitFor();
  await page.getByRole("button", { name: "Use generated rows" }).click();
  await page.locator("#rows tbody tr").first().waitFor();
  await page.locator("#data .snippets summary").click();
  expect(!(await page.content()).includes(given.keys.all), "the key is in the page");
  expect((await page.locator("#data [data-language=curl]").innerText()).includes("$VAE_API_KEY"), "curl sends no key");
  await page.reload();
  await page.locator("#data .drop").waitFor();
  await page.getByRole("button", { name: "Change the key" }).click();
  await page.getByRole("button", { name: "Forget the key" }).click();
  await page.locator("dialog[open] .message", { hasText: "key" }).waitFor();
}
