/** The health of the model: figures after rows were scored, looked at again when the page is shown again. */
import { expect } from "../harness.mjs";

export default async function ({ page, check, shot, given }) {
  let looks = 0;
  const thing = given.model === "digits" ? "image" : "row";
  await page.clock.install();
  page.on("request", (request) => (looks += request.url().endsWith("/health") ? 1 : 0));
  await page.goto(`${given.url}/?model=${given.model}#health`);
  await page.getByText("There is nothing to compare").or(page.getByText("Rate of alarms")).waitFor();
  await check("health");
  await page.route("**/health", (route) => route.fulfill({ json: { ...FIGURES, model: given.model } }));
  const before = looks;
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await page.getByText(`12 alarms in 200 ${thing}s`).waitFor();
  expect(looks === before + 1, "the page does not look again when it is shown");
  await check("health, with figures");
  await shot(`health-${given.model}`, "#health");
  await page.clock.fastForward(10_000);
  await until(() => looks === before + 2, "the page does not look again after 10 seconds");
  await page.evaluate(() => Object.defineProperty(document, "hidden", { value: true, configurable: true }));
  await page.clock.fastForward(10_000); // the look that is due, after which the page rests
  await page.clock.fastForward(60_000);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(looks <= before + 3, "a hidden page goes on looking");
  await page.evaluate(() => Object.defineProperty(document, "hidden", { value: false, configurable: true }));
  await page.route("**/health", (route) => route.fulfill({ json: { ...FIGURES, log10_evidence: 3.6, anomaly_rate: 0.2, anomaly_rate_low: 0.15, anomaly_rate_high: 0.26, reading: "the rows have changed" } }));
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await page.getByText(`The ${thing}s have changed`).first().waitFor();
  await check("health, changed");
  await shot(`health-changed-${given.model}`, "#health");
}

async function until(holds, message) {
  for (let i = 0; i < 60; i++) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(message);
}

const FIGURES = {
  version: 1,
  rows: 200,
  reading: "no drift beyond chance for this number of rows",
  seconds: 3600,
  alpha: 0.05,
  anomaly_rate: 0.06,
  anomaly_rate_low: 0.0347,
  anomaly_rate_high: 0.1018,
  anomaly_rate_p_value: 0.31,
  novel_rate: 0.005,
  ks: 0.081,
  ks_p_value: 0.34,
  psi: 0.11,
  psi_p_value: 0.42,
  log10_evidence: 0.4,
};
