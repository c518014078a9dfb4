/** The panels of latent space with a service that fails, then is slow, then works: each says so and recovers. */
import { expect } from "../harness.mjs";

const PROBLEM = { type: "about:blank", title: "Internal error", status: 500, detail: "The reason is in the service's log." };

export default async function ({ page, check, shot, given }) {
  const images = given.model === "digits";
  let failing = true;
  let running = 0;
  let most = 0;
  await page.route(/\/(encode|decode|sample|elbo|health)$/, async (route) => {
    if (failing) return route.fulfill({ status: 500, contentType: "application/problem+json", json: PROBLEM });
    const decodes = route.request().url().endsWith("/decode") && route.request().postDataJSON().latents.length === 1;
    if (decodes) most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 150));
    await route.continue();
    if (decodes) running--;
  });
  await page.goto(`${given.url}/?model=${given.model}#latent`);
  for (const id of ["latent-map", "latent-sliders", "interpolation", "samples"]) {
    await page.locator(`#${id} [role=alert]`).waitFor();
    expect((await page.locator(`#${id} [role=alert]`).innerText()).includes("in the service's log"), `${id} does not say why`);
  }
  await check("latent space, failing");
  await shot(`latent-failing-${given.model}`);

  failing = false;
  for (const id of ["latent-map", "latent-sliders", "interpolation", "samples"]) {
    await page.locator(`#${id}`).getByRole("button", { name: "Try again" }).click();
    await page.locator(`#${id} [role=alert]`).waitFor({ state: "detached" });
  }
  await page.locator("#latent-sliders input[type=range]").first().waitFor();
  await page.locator(images ? "#latent-sliders canvas" : "#latent-sliders .decoded-cells").waitFor();
  const slider = page.locator("#latent-sliders input[type=range]").first();
  await slider.focus();
  for (let i = 0; i < 30; i++) await page.keyboard.press(i % 2 ? "ArrowLeft" : "PageUp");
  await page.waitForTimeout(600);
  expect(most === 1, `${most} requests of the sliders were in flight at once`);

  failing = true;
  await page.goto(`${given.url}/?model=${given.model}#health`);
  await page.locator("#health [role=alert]").waitFor();
  failing = false;
  await page.locator("#health").getByRole("button", { name: "Try again" }).click();
  await page.locator("#health [role=alert]").waitFor({ state: "detached" });
}
