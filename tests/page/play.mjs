/**
 * Plays a scenario in each of its cases and prints the problems and what the scenario returned as JSON.
 *   node play.mjs SCENARIO.mjs '[{"url": "http://127.0.0.1:8000", "width": 390, "scheme": "light", ...}, ...]'
 * A scenario exports a default function that gets { page, check, shot, given, browser }.
 */
import { pathToFileURL } from "node:url";
import { launch, open } from "./harness.mjs";

const [, , scenario, cases] = process.argv;
const { default: play } = await import(pathToFileURL(scenario));
const browser = await launch();
const found = [];
const returned = [];
for (const given of JSON.parse(cases)) {
  const opened = await open(browser, given);
  const name = `${given.model ?? ""} ${given.width} px ${given.scheme}`.trim();
  try {
    returned.push(await play({ ...opened, given, browser }));
  } catch (error) {
    opened.problems.push(`scenario: ${error.stack ?? error}`);
    if (given.shots) await opened.shot(`failed-${given.model ?? "page"}`).catch(() => {});
  }
  found.push(...opened.problems.map((problem) => `${name}: ${problem}`));
  await opened.close();
}
await browser.close();
console.log(JSON.stringify({ problems: found, returned }));
