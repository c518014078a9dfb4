/** The page behind a service that is slow, busy, broken or gone says what is wrong, and goes on by itself where it can. */
import { expect, open } from "../harness.mjs";
import { startProxy } from "../proxy.mjs";

const EXPECTED = ["Failed to load resource", "status of \\d+"]; // what Chromium writes about the failures

export default async function ({ browser, given, problems: outer }) {
  for (const [name, play] of Object.entries({ slow, start, busy, failing, reasons, gone })) {
    const proxy = await startProxy(given.url);
    const opened = await open(browser, { ...given, url: proxy.url, allow: EXPECTED });
    try {
      await play({ ...opened, proxy, home: `${proxy.url}/?model=${given.model}` });
      await opened.check(name);
    } catch (error) {
      opened.problems.push(error.stack ?? String(error));
      await opened.shot(`failed-trouble-${name}`);
    }
    outer.push(...opened.problems.map((problem) => `${name}: ${problem}`));
    await opened.close();
    proxy.close();
  }
}

const generate = (page) => page.getByRole("button", { name: "Use generated rows" }).click();
const alert = (page, panel) => page.locator(`#${panel} [role=alert]`).first();

/** Every answer takes its time: the page loads, says that it does, and a later edit replaces an earlier one. */
async function slow({ page, proxy, home }) {
  proxy.slow(400);
  await page.goto(home);
  await page.getByText("Loading").first().waitFor();
  await generate(page);
  await page.locator("#rows tbody tr button").first().click();
  await page.locator("#editor .outcome").waitFor();
  const field = page.locator("#editor input").first();
  for (const text of ["1", "10", "100", "99999"]) {
    await field.fill(text);
    await page.waitForTimeout(200); // longer than the pause after which the page asks
  }
  await page.locator("#editor .outcome .badge.anomaly").waitFor();
}

/** The service is not there at first, then not ready, then ready. */
async function start({ page, proxy, home }) {
  proxy.fail(503, /^\/models/);
  await page.goto(home);
  await page.getByText("The service is shutting down.").waitFor();
  proxy.fail("broken", /^\/models/);
  await page.getByText("The service does not answer.").waitFor();
  proxy.fail("garbage", /^\/models/);
  await page.getByText("not from this service").waitFor();
  proxy.fail(null);
  await page.reload();
  await page.locator("#data .drop").waitFor();
}

/** A full queue delays the rows, and they are scored in the end. */
async function busy({ page, proxy, home }) {
  await page.goto(home);
  await page.locator("#data .drop").waitFor();
  proxy.fail(429, /elbo.*errors=report&alpha/, 1);
  await generate(page);
  await page.locator("#rows tbody tr").first().waitFor();
}

/** Errors of the first request after a click are shown in the panel, and the next click works. */
async function failing({ page, proxy, home }) {
  await page.goto(home);
  await page.locator("#data .drop").waitFor();
  for (const [mode, said] of [[500, "The reason is in the service's log."], [413, "33,554,432 bytes"], ["broken", "does not answer"], ["garbage", "not from this service"]]) {
    proxy.fail(mode, /elbo/);
    await generate(page);
    await alert(page, "data").waitFor();
    await page.locator("#data [role=alert]", { hasText: said }).waitFor();
  }
  proxy.fail(null);
  await generate(page);
  await page.locator("#rows tbody tr").first().waitFor();
  expect((await page.locator("#data [role=alert]").count()) === 0, "the message stays after success");
}

/** Rows without reasons and a histogram that does not load: the rest works, and the panel tries again when told to. */
async function reasons({ page, proxy, home }) {
  proxy.fail(500, /explain|calibration/);
  await page.goto(home);
  await alert(page, "scores").waitFor();
  await generate(page);
  await page.locator("#rows tbody tr").first().waitFor();
  await page.locator("#rows [role=alert]", { hasText: "No reasons" }).waitFor();
  proxy.fail(null);
  await page.getByRole("button", { name: "Try again" }).click();
  await page.locator("#scores .plot canvas").waitFor();
}

/** The service ends while rows are shown: the rows stay, one banner says so, and all goes on once it answers. */
async function gone({ page, proxy, home, check }) {
  await page.goto(home);
  await page.locator("#data .drop").waitFor();
  await generate(page);
  await page.locator("#rows tbody tr button").first().click();
  await page.locator("#editor .outcome").waitFor();
  proxy.fail("broken");
  await page.locator("#editor input").first().fill("7");
  await page.locator("#banner", { hasText: "does not answer" }).waitFor();
  await generate(page);
  await page.locator("#data [data-gone]").waitFor({ state: "attached" });
  expect((await page.locator("#rows tbody tr").count()) > 5, "the rows are gone");
  await page.getByRole("link", { name: "Latent space" }).click();
  await page.locator("#samples [data-gone]").waitFor({ state: "attached" });
  expect((await page.getByRole("button", { name: "Try again" }).filter({ visible: true }).count()) === 0, "panels ask to try again");
  expect((await page.getByText("does not answer").filter({ visible: true }).count()) === 1, "the outage is said more than once");
  await check("gone, latent space");
  proxy.fail(null);
  await page.locator("#banner .message").waitFor({ state: "detached" });
  await page.locator("#samples tbody tr").first().waitFor();
  await page.locator("#latent-sliders .sliders").waitFor();
  await page.getByRole("link", { name: "Score" }).click();
  await page.locator("#data [data-gone]").waitFor({ state: "detached" });
  await page.locator("#rows tbody tr").first().waitFor();
}
