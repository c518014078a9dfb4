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
  expect((await first.locator("canvas").count()) === 3, "image, reconstruction and heatmap are not all there");
  await check("images, scored");
  await shot("images-digits");
  await first.getByRole("button").press("Enter");
  await page.locator("#latent-map .map-details h3", { hasText: "sample 5, shuffled" }).waitFor();
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
  await choose(page, [file("colour.png", png(28, 2))]);
  await page.locator("#images .refused", { hasText: "colour.png: 28 × 28 pixels, the model's images have 8 × 8; in colour" }).waitFor();
  expect((await page.locator(".image-card").count()) === 0, "the results of another file stay");
  await page.getByRole("button", { name: "Convert to grey and scale to 8 × 8, and score" }).click();
  await page.locator(".image-card h3", { hasText: "colour.png" }).waitFor();
  await page.getByText("1 image converted to grey by this page. 1 image scaled to 8 × 8 pixels.").waitFor();
  await check("images, converted");
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

const file = (name, buffer) => ({ name, mimeType: "image/png", buffer });

async function choose(page, files) {
  await page.locator("#images input[type=file]").setInputFiles(files);
}

/** A PNG of n x n pixels with a white bar: grey (type 0) or in colour (type 2). */
function png(n, type = 0) {
  const rows = Buffer.concat(Array.from({ length: n }, () => bar(n, type === 2 ? 3 : 1)));
  const head = Buffer.alloc(13);
  head.writeUInt32BE(n, 0);
  head.writeUInt32BE(n, 4);
  head[8] = 8; // bits of a channel
  head[9] = type;
  return Buffer.concat([Buffer.from("89504e470d0a1a0a", "hex"), chunk("IHDR", head), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))]);
}

/** One line of the image, after the byte that says that it is not filtered. */
const bar = (n, channels) => Buffer.from([0, ...Array.from({ length: n * channels }, (_, i) => (i >= n * channels * 0.4 && i < n * channels * 0.6 ? 255 : 0))]);

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
