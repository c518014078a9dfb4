/** The latent dimensions of a model: their names, their ranges, and which matter most. */

/**
 * @typedef {object} Dimension
 * @property {number} index in the latent vector
 * @property {string} name such as "z3", or the column that it stands for
 * @property {boolean} discrete true if only whole numbers mean something
 * @property {string[] | null} levels names of 0, 1, 2, ... if the dimension stands for a category
 * @property {number | null} column index of the column that it stands for
 */

/**
 * The dimensions of a model's latent vector. With a kernel prior the latent vector is the standardised row, so each
 * dimension has a column.
 *
 * @param {object} model manifest
 * @returns {Dimension[]}
 */
export function dimensionsOf(model) {
  const columns = latentColumns(model);
  return Array.from({ length: model.latent_dim }, (_, index) => {
    const column = columns?.[index];
    if (!column) return { index, name: `z${index + 1}`, discrete: false, levels: null, column: null };
    const levels = column.kind === "category" ? column.levels : column.kind === "binary" ? ["0", "1"] : null;
    return { index, name: column.name, discrete: levels !== null, levels, column: model.input.columns.indexOf(column) };
  });
}

/** True if the latent vector is the standardised row. */
export function isRowItself(model) {
  return latentColumns(model) !== null;
}

/**
 * The centre of latent space: zeros, and in dimensions that stand for a category the level that most samples have.
 *
 * @param {Dimension[]} dimensions
 * @param {number[][]} mu of samples, (N, Z)
 * @returns {number[]} (Z)
 */
export function centreOf(dimensions, mu) {
  return dimensions.map(({ index, levels }) => (levels === null ? 0 : mostFrequent(mu.map((row) => Math.round(row[index])), levels.length)));
}

/** The most frequent of 0, 1, ..., n - 1; the first of equally frequent ones. */
function mostFrequent(values, n) {
  const counts = new Array(n).fill(0);
  for (const value of values) if (value in counts) counts[value] += 1;
  return counts.indexOf(Math.max(...counts));
}

function latentColumns(model) {
  const columns = model.input.columns;
  if (model.prior?.name !== "kernel" || !columns) return null;
  if (columns.length === model.latent_dim) return columns;
  const varying = columns.filter((column) => column.constant === null || column.constant === undefined);
  return varying.length === model.latent_dim ? varying : null;
}

/**
 * How much each dimension says, the most first: its mean KL to N(0, 1) in nats if that is the prior, otherwise the
 * standard deviation of mu.
 *
 * @param {number[][]} mu (N, Z)
 * @param {number[][] | null} sigma (N, Z)
 * @param {object} model manifest
 * @returns {{unit: string, value: number[], order: number[]}} value of each dimension, and their indices in order
 */
export function importance(mu, sigma, model) {
  const normal = model.prior?.name === "normal" && sigma;
  const value = Array.from({ length: model.latent_dim }, (_, d) =>
    normal ? average(mu.map((row, n) => klOf(row[d], sigma[n][d]))) : deviation(mu.map((row) => row[d])),
  );
  const order = value.map((_, d) => d).sort((a, b) => value[b] - value[a] || a - b);
  return { unit: normal ? "nats of KL" : "standard deviation", value, order };
}

/** KL( N(mu, sigma^2) || N(0, 1) ) in nats. */
function klOf(mu, sigma) {
  return 0.5 * (mu * mu + sigma * sigma - 1) - Math.log(sigma);
}

/**
 * The range of a slider: at least -3..3 for a normal prior, and always wide enough for the given rows.
 *
 * @param {Dimension} dimension
 * @param {number[]} values of mu in this dimension
 * @param {number} [now] value that must be inside
 * @returns {{min: number, max: number, step: number}}
 */
export function sliderRange(dimension, values, now = 0) {
  if (dimension.levels) return { min: 0, max: dimension.levels.length - 1, step: 1 };
  const sorted = [...values].filter(Number.isFinite).sort((a, b) => a - b);
  const low = sorted.length ? quantile(sorted, 0.005) : -3;
  const high = sorted.length ? quantile(sorted, 0.995) : 3;
  const edge = (value) => Math.sign(value) * Math.ceil(Math.abs(value) * 2) / 2;
  return { min: edge(Math.min(-3, low, now)), max: edge(Math.max(3, high, now)), step: 0.01 };
}

/** Linear interpolation between sorted values. */
export function quantile(sorted, share) {
  if (!sorted.length) return NaN;
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

function average(values) {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : 0;
}

function deviation(values) {
  const mean = average(values);
  return Math.sqrt(average(values.map((value) => (value - mean) ** 2)));
}
