/** What kind of rows a model takes. */

/** Whether the rows of a model are images. @param {object} model */
export const hasImages = (model) => model.input.kind === "image";

/** What the page calls an input of a model, and the same with its article. @param {object} model */
export const thingOf = (model) => (hasImages(model) ? "image" : "row");
export const aThingOf = (model) => (hasImages(model) ? "an image" : "a row");

/** Whether the model has held-out scores, and so p-values. @param {object} model */
export const isCalibrated = (model) => (model.calibration?.entries.length ?? 0) > 0;

/**
 * Use the number of a field if it is allowed; otherwise say what is, and change nothing.
 *
 * @param {{ whole?: boolean, least?: number, most?: number }} allowed
 * @param {(value: number) => void} use
 * @param {(said: string) => void} [refuse] says what is allowed; by default the field does, as browsers do
 * @returns {(event: Event) => void} a listener
 */
export function numberField({ whole = true, least = 0, most = 2 ** 53 - 1 }, use, refuse) {
  return ({ target }) => {
    const value = Number(target.value);
    const isAllowed = target.value !== "" && value >= least && value <= most && (!whole || Number.isInteger(value));
    const range = most < 2 ** 53 - 1 ? `from ${least} to ${most}` : `of at least ${least}`;
    const said = `Enter a ${whole ? "whole " : ""}number ${range}.`;
    if (isAllowed) use(value);
    if (refuse !== undefined) {
      if (!isAllowed) refuse(said);
      return;
    }
    target.setCustomValidity(isAllowed ? "" : said);
    target.setAttribute("aria-invalid", String(!isAllowed));
    if (!isAllowed) target.reportValidity();
  };
}
