/**
 * How many of N normal rows a conformal threshold flags.
 *
 * With n held-out rows and k = floor(alpha (n + 1)), a normal row is flagged with probability P ~ Beta(k, n + 1 - k) over
 * the draws of the held-out rows. So the number of flagged rows is beta-binomial: N, k, n + 1 - k.
 */

const SHARE = 0.95; // of the interval

/**
 * @param {number} rows N
 * @param {number} heldOut n
 * @param {number} alpha
 * @returns {{ expected: number, low: number, high: number }} mean and central 95 % interval of the number of flagged rows
 */
export function falseAlarms(rows, heldOut, alpha) {
  const k = rankOf(alpha, heldOut);
  if (k === 0 || rows === 0) return { expected: 0, low: 0, high: 0 };
  if (k > heldOut) return { expected: rows, low: rows, high: rows };
  const expected = (rows * k) / (heldOut + 1);
  const tail = (1 - SHARE) / 2;
  const [low, high] = quantiles(rows, k, heldOut + 1 - k, [tail, 1 - tail]);
  return { expected, low, high };
}

/**
 * How many of N normal rows score above every held-out row: those with the smallest p-value, 1 / (n + 1).
 *
 * One of the N rows does with probability P ~ Beta(1, n), so the number of them is beta-binomial: N, 1, n. With F folds
 * the p-value is the median over the folds, so such a row is among the smallest in at least (F + 1) / 2 of them, and the
 * numbers of the folds give a bound.
 *
 * @param {number} rows N
 * @param {{ rows: number, smallest_alpha: number, fold_rows: number[] | null }} calibration n, and n of each fold
 * @param {number} [surprise] the probability of more than `high`
 * @returns {{ expected: number, high: number }} the mean, or with folds a bound on it; and a quantile, or a bound on it
 */
export function aboveAll(rows, { rows: heldOut, smallest_alpha: smallest, fold_rows: folds }, surprise = (1 - SHARE) / 2) {
  if (rows === 0) return { expected: 0, high: 0 };
  const parts = folds ?? [heldOut];
  const factor = folds ? 2 / (folds.length + 1) : 1;
  const found = parts.map((n) => {
    const k = Math.max(1, rankOf(smallest, n));
    if (k > n) return { expected: rows, high: rows };
    return { expected: (rows * k) / (n + 1), high: quantiles(rows, k, n + 1 - k, [1 - surprise / parts.length])[0] };
  });
  const sum = (name) => factor * found.reduce((total, one) => total + one[name], 0);
  return { expected: sum("expected"), high: sum("high") };
}

/** k, the number of p-values k / (n + 1) that are at most alpha. @param {number} alpha @param {number} heldOut n */
export function rankOf(alpha, heldOut) {
  let k = Math.floor(alpha * (heldOut + 1));
  while (k / (heldOut + 1) > alpha) k -= 1; // the product is rounded; the service compares the quotient
  while ((k + 1) / (heldOut + 1) <= alpha) k += 1;
  return k;
}

/**
 * Quantiles of the beta-binomial distribution: the smallest x with P(X <= x) >= q.
 *
 * @param {number} rows N
 * @param {number} a
 * @param {number} b
 * @param {number[]} shares q, ascending
 */
export function quantiles(rows, a, b, shares) {
  const found = [];
  // log P(X = 0) = log B(a, b + N) - log B(a, b); then P(x + 1) / P(x) = (N - x) (a + x) / ((x + 1) (b + N - x - 1))
  let logP = logBeta(a, b + rows) - logBeta(a, b);
  let below = 0;
  for (let x = 0; x <= rows; x += 1) {
    below += Math.exp(logP);
    while (found.length < shares.length && below >= shares[found.length]) found.push(x);
    if (found.length === shares.length) return found;
    logP += Math.log(((rows - x) * (a + x)) / ((x + 1) * (b + rows - x - 1)));
  }
  while (found.length < shares.length) found.push(rows); // the sum stayed below the share by rounding
  return found;
}

const logBeta = (a, b) => logGamma(a) + logGamma(b) - logGamma(a + b);

/** log Gamma(x), x > 0, by Stirling's series above 10. */
export function logGamma(x) {
  let shift = 0;
  let y = x;
  while (y < 10) {
    shift += Math.log(y);
    y += 1;
  }
  const z = 1 / (y * y);
  const series = (1 / 12 - z * (1 / 360 - z * (1 / 1260 - z * (1 / 1680 - z / 1188)))) / y;
  return (y - 0.5) * Math.log(y) - y + 0.5 * Math.log(2 * Math.PI) + series - shift;
}
