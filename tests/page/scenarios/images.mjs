/** Images are scored: samples of the model, files of the right and of another size, and files that are no images. */
import { deflateSync } from "node:zlib";
import { expect } from "../harness.mjs";

export default async function ({ page, check, shot, given }) {
  await page.goto(`${given.url}/?model=digits#score`);
  await page.locator("#images").waitFor();
  await check("images, empty");
  await page.getByRole("button", { name: "Try samples of the model" }).press("Enter");
  await page.locator(".image-card").nth(5).waitFor();
  const first = page.locator(".image-card").first();
  expect((await first.innerText()).includes("anomalous"), "the shuffled image is not anomalous");
  expect((await page.locator(".image-card").last().innerText()).includes("not flagged"), "a usual image has no verdict");
  await page.getByText("One has its pixels shuffled").waitFor();
  const scores = await page.locator("#scores").innerText();
  expect(scores.includes("Images flagged") && !/\brows?\b/i.test(scores), `images are called rows: ${scores}`);
  expect((await first.locator("canvas").count()) === 3, "image, reconstruction and heatmap are not all there");
  await check("images, scored");
  await shot("images-digits");
  await flaggedOnly(page);
  await ownScales({ page, check, shot });
  await first.getByRole("button").press("Enter");
  await page.locator("#latent-map .map-details h3", { hasText: "sample 5 with its pixels shuffled" }).waitFor();
  await page.getByRole("link", { name: "Score" }).click();

  const [small, large] = [png(8), png(20)];
  await choose(page, [file("eight.png", small), file("twenty.png", large), file("none.png", Buffer.from("no image"))]);
  await page.locator("#images .refused", { hasText: "twenty.png: 20 × 20 pixels, the model's images have 8 × 8" }).waitFor();
  await page.locator(".image-card h3", { hasText: "eight.png" }).waitFor();
  expect((await page.locator(".image-card").count()) === 1, "the image of the right size is not scored");
  expect((await page.locator("#images .refused").innerText()).includes("not a readable PNG"), "no reason for the file that is no image");
  await check("images, refused");
  await shot("images-refused");
  await page.getByRole("button", { name: "Scale to 8 × 8 and score" }).click();
  await page.locator(".image-card").nth(1).waitFor();
  await page.getByText("1 image scaled to 8 × 8 pixels").waitFor();
  await choose(page, [file("eight.png", small)]);
  await page.locator(".image-card h3", { hasText: "eight.png" }).waitFor();
  await choose(page, [file("colour.png", png(28, { type: 2 }))]);
  await page.locator("#images .refused", { hasText: "colour.png: 28 × 28 pixels, the model's images have 8 × 8; in colour" }).waitFor();
  expect((await page.locator(".image-card").count()) === 0, "the results of another file stay");
  await page.getByRole("button", { name: "Convert to grey and scale to 8 × 8, and score" }).click();
  await page.locator(".image-card h3", { hasText: "colour.png" }).waitFor();
  await page.getByText("1 image converted to grey by this page. 1 image scaled to 8 × 8 pixels.").waitFor();
  await check("images, converted");
  expect((await page.getByLabel("Heatmap scale").inputValue()) === "own", "the scale of heatmaps is not kept");
  await refusedByThePage({ page, check, shot });
  await choose(page, [file("eight.png", small), file("twenty.png", large)]);
  await page.getByRole("button", { name: "Scale to 8 × 8 and score" }).click();
  await page.locator(".image-card").nth(1).waitFor();

  await page.getByRole("link", { name: "Latent space" }).click();
  await page.locator("[data-map=source] option", { hasText: "my images" }).waitFor({ state: "attached" });
  await page.locator("#latent-map [data-map-caption]:not(:empty)").waitFor();
  await page.getByRole("application", { name: "Latent map" }).focus();
  await page.keyboard.press("Home");
  await page.locator("#latent-map .map-details h3", { hasText: ".png" }).waitFor();
}

/** The number of flagged images follows alpha, and the others can be hidden. */
async function flaggedOnly(page) {
  const said = page.locator("#images [data-flagged]");
  const count = async () => Number((await said.innerText()).split(" ")[0]);
  expect(/^\d of 6 images flagged at alpha 0.05$/.test(await said.innerText()), `said of the images: ${await said.innerText()}`);
  const before = await count();
  await page.locator("#images").getByLabel("Show").selectOption("flagged");
  expect((await page.locator(".image-card").count()) === before && before >= 1 && before < 6, "not only flagged images are shown");
  await alphaTo(page, "0.99");
  expect((await count()) > before && (await page.locator(".image-card").count()) === (await count()), "the images do not follow alpha");
  await alphaTo(page, "0.05");
  await page.locator("#images").getByLabel("Show").selectOption("all");
  expect((await page.locator(".image-card").count()) === 6, "not all images are shown");
}

async function alphaTo(page, value) {
  await page.getByRole("spinbutton", { name: "alpha" }).fill(value);
  await page.getByRole("spinbutton", { name: "alpha" }).press("Enter");
}

/** With a scale of its own, the heatmap of a usual image is as bright as that of the anomaly, and its card says the range. */
async function ownScales({ page, check, shot }) {
  const last = page.locator(".image-card").last().locator("canvas").last();
  const brightest = () =>
    last.evaluate((canvas) => {
      const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
      copy.drawImage(canvas, 0, 0);
      const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
      return Math.max(...data.filter((_, at) => at % 4 === 1)); // green
    });
  const shared = await brightest();
  expect((await page.locator("#images [data-range]").count()) === 0, "ranges are said of one scale");
  await page.getByLabel("Heatmap scale").selectOption("own");
  expect((await brightest()) === 255 && shared < 255, `the heatmap keeps its scale: ${shared}`);
  expect((await page.locator("#images [data-range]").count()) === 6, "the cards do not say their ranges");
  await check("images, own scales");
  await shot("images-own-scales");
  await page.getByLabel("Heatmap scale").selectOption("shared");
  expect((await brightest()) === shared, "the heatmap does not go back to one scale");
  await page.getByLabel("Heatmap scale").selectOption("own");
}

/** What no change mends is said by the page, with the name of the file; nothing is sent. Grey stored in colour is grey. */
async function refusedByThePage({ page, check, shot }) {
  const asked = [];
  page.on("request", (request) => asked.push(request.postData() ?? ""));
  const given = [file("deep.png", png(8, { depth: 16 })), file("clear.png", png(8, { type: 6 })), file("none.png", Buffer.from("GIF89a"))];
  await choose(page, given);
  await page.locator("#images .refused li").nth(2).waitFor();
  const said = await page.locator("#images .refused").innerText();
  for (const sentence of ["deep.png: 16 bits per channel: save it with 8", "clear.png: has transparent pixels: save it on a background", "none.png: not a readable"]) {
    expect(said.includes(sentence), `refused: ${said}`);
  }
  expect((await page.getByRole("button", { name: "Convert to grey" }).count()) === 0, "transparency is offered for conversion");
  expect(!given.some(({ buffer }) => asked.some((body) => body.includes(buffer.toString("base64")))), "a file is sent before it is refused");
  await check("images, refused by the page");
  await shot("images-faults");
  await choose(page, [file("stored.png", png(8, { type: 2, isGrey: true }))]);
  await page.locator(".image-card h3", { hasText: "stored.png" }).waitFor();
}

const file = (name, buffer) => ({ name, mimeType: "image/png", buffer });

async function choose(page, files) {
  await page.locator("#images input[type=file]").setInputFiles(files);
}

/** A PNG of n x n pixels with a white bar: grey (type 0), in colour (2), or with a transparent bar (6). */
function png(n, { type = 0, depth = 8, isGrey = false } = {}) {
  const rows = Buffer.concat(Array.from({ length: n }, () => line(n, pixelOf(type, depth, isGrey))));
  const head = Buffer.alloc(13);
  head.writeUInt32BE(n, 0);
  head.writeUInt32BE(n, 4);
  head[8] = depth; // bits of a channel
  head[9] = type;
  return Buffer.concat([Buffer.from("89504e470d0a1a0a", "hex"), chunk("IHDR", head), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))]);
}

/** The bytes of a pixel inside or outside the bar. */
function pixelOf(type, depth, isGrey) {
  const channels = { 0: 1, 2: 3, 6: 4 }[type];
  return (inBar) => {
    const bytes = Array((channels * depth) / 8).fill(inBar ? 255 : 0);
    if (type === 2 && !isGrey && inBar) bytes[2] = 0; // yellow
    if (type === 6) bytes[3] = inBar ? 128 : 255;
    return bytes;
  };
}

/** One line of the image, after the byte that says that it is not filtered. */
const line = (n, bytes) => Buffer.from([0, ...Array.from({ length: n }, (_, x) => bytes(x >= n * 0.4 && x < n * 0.6)).flat()]);

function chunk(type, data) {
  const named = Buffer.concat([Buffer.from(type), data]);
  const [size, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  size.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(named));
  return Buffer.concat([size, named, sum]);
}

/** The CRC-32 of bytes, as PNG wants it. */
function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
