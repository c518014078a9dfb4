/** Reads the text of a file: UTF-8, or UTF-16 with a byte order mark. Other files are refused by name. */

const ZIP = [0x50, 0x4b, 0x03, 0x04];
const OLD_OFFICE = [0xd0, 0xcf, 0x11, 0xe0];
const TAIL = 65_536; // bytes at the end of a ZIP file that name its parts

/**
 * @param {Blob & { name: string }} file
 * @returns {Promise<string>}
 * @throws {Error} it is a workbook, or not text
 */
export async function textOf(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (isWorkbook(bytes)) throw new Error(`${file.name} is an Excel workbook: save it as CSV (UTF-8).`);
  const utf16 = begins(bytes, [0xff, 0xfe]) ? "utf-16le" : begins(bytes, [0xfe, 0xff]) ? "utf-16be" : null;
  if (utf16 !== null) return new TextDecoder(utf16).decode(bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    const read = new TextDecoder().decode(bytes);
    const line = read.slice(0, read.indexOf("\ufffd")).split(/\r\n|\n|\r/).length;
    throw new Error(`${file.name}: line ${line} is not UTF-8 text. Save the file as CSV (UTF-8).`);
  }
}

const begins = (bytes, start) => start.every((byte, at) => bytes[at] === byte);

function isWorkbook(bytes) {
  if (begins(bytes, OLD_OFFICE)) return true;
  return begins(bytes, ZIP) && new TextDecoder("latin1").decode(bytes.subarray(-TAIL)).includes("xl/");
}
