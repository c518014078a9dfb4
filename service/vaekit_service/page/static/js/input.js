/** What kind of rows a model takes. */

/** Whether the rows of a model are images. @param {object} model */
export const hasImages = (model) => model.input.kind === "image";

/** Whether the model has held-out scores, and so p-values. @param {object} model */
export const isCalibrated = (model) => (model.calibration?.entries.length ?? 0) > 0;
