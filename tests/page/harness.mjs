/**
 * Opens the page in Chromium and watches it: console errors, page errors, violations of the content security policy and
 * of axe's rules, requests to other hosts, and sideways scrolling are problems.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.VAEKIT_PAGE_TOOLS, "package.json"));
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf-8");

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run"];
const QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** Start the browser. */
export const launch = () => chromium.launch({ executablePath: process.env.VAEKIT_CHROMIUM, args: [...FLAGS, ...QUIET] });

/**
 * @typedef {object} Case
 * @property {string} url address of the service
 * @property {number} width of the window, in pixels
 * @property {"light" | "dark"} scheme
 * @property {string} [shots] folder for screenshots
 * @property {string[]} [allow] patterns of console messages that are expected
 */

/**
 * Open a page in a window of its own, watched.
 *
 * @param {import("playwright-core").Browser} browser
 * @param {Case} given
 */
export async function open(browser, { url, width, scheme, shots, allow = [] }) {
  const window = await browser.newContext({
    viewport: { width, height: width < 600 ? 844 : 900 },
    colorScheme: scheme,
    reducedMotion: "reduce",
    hasTouch: width < 600,
    acceptDownloads: true,
  });
  const page = await window.newPage();
  page.setDefaultTimeout(20_000);
  const problems = [];
  const expected = allow.map((pattern) => new RegExp(pattern));
  const note = (kind, text) => expected.some((pattern) => pattern.test(text)) || problems.push(`${kind}: ${text}`);
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
  });
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) note("console", `${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => note("page error", String(error.stack ?? error)));
  page.on("request", (request) => {
    const asked = new URL(request.url());
    if (/^https?:$/.test(asked.protocol) && asked.origin !== new URL(url).origin) note("other host", request.url());
  });

  /** Check accessibility and width as the page is now. */
  async function check(what) {
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    for (const { id, help, nodes } of violations) {
      note("axe", `${what}: ${id}: ${help}: ${nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`);
    }
    const beyond = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (beyond > 0) note("width", `${what}: the page scrolls sideways by ${beyond} px`);
  }

  /** Write a screenshot of the page, or of an element, if screenshots are wanted. */
  async function shot(name, selector = null) {
    if (!shots) return;
    mkdirSync(shots, { recursive: true });
    const path = join(shots, `${name}-${width}-${scheme}.png`);
    if (selector === null) await page.screenshot({ path, fullPage: true });
    else await page.locator(selector).screenshot({ path });
  }

  return { page, problems, check, shot, close: () => window.close() };
}

/** Fail with a message unless something holds. */
export function expect(holds, message) {
  if (!holds) throw new Error(message);
}
