/** Turns the base draws of a bundle into the K default draws eps, by the rule that the manifest names. */

/**
 * The default draws, (K, Z): the first K base draws with mean 0 and mean square 1 in every dimension.
 *
 * Under "first-k-whitened" they are also uncorrelated if K > Z.
 *
 * @param {Float64Array} base quasi-random standard normals, (K_max, Z)
 * @param {number} k K
 * @param {number} z Z
 * @param {string} rule
 * @returns {Float32Array}
 */
export function defaultEps(base, k, z, rule) {
  let eps = base.slice(0, k * z);
  if (rule === "first-k-whitened" && k > z) eps = whitened(eps, k, z);
  return Float32Array.from(centredUnitMoment(eps, k, z));
}

/** e minus its mean over the K rows, (K, Z). */
function centred(/** @type {Float64Array} */ e, /** @type {number} */ k, /** @type {number} */ z) {
  const found = e.slice();
  for (let j = 0; j < z; j++) {
    let sum = 0;
    for (let i = 0; i < k; i++) sum += e[i * z + j];
    for (let i = 0; i < k; i++) found[i * z + j] -= sum / k;
  }
  return found;
}

function centredUnitMoment(/** @type {Float64Array} */ e, /** @type {number} */ k, /** @type {number} */ z) {
  const found = centred(e, k, z);
  for (let j = 0; j < z; j++) {
    let sum = 0;
    for (let i = 0; i < k; i++) sum += found[i * z + j] ** 2;
    for (let i = 0; i < k; i++) found[i * z + j] /= Math.sqrt(sum / k);
  }
  return found;
}

/** (e - mean) C^(-1/2), (K, Z), with C = (1/K) sum_k e_k e_k^T of the centred draws and its symmetric root. */
function whitened(/** @type {Float64Array} */ e, /** @type {number} */ k, /** @type {number} */ z) {
  const own = centred(e, k, z);
  const c = new Float64Array(z * z); // (Z, Z)
  for (let i = 0; i < k; i++) {
    for (let a = 0; a < z; a++) for (let b = 0; b < z; b++) c[a * z + b] += (own[i * z + a] * own[i * z + b]) / k;
  }
  const { variances, axes } = eigh(c, z);
  const root = new Float64Array(z * z); // C^(-1/2) = axes diag(1 / sqrt(variances)) axes^T
  for (let j = 0; j < z; j++) {
    for (let a = 0; a < z; a++) {
      for (let b = 0; b < z; b++) root[a * z + b] += (axes[a * z + j] * axes[b * z + j]) / Math.sqrt(variances[j]);
    }
  }
  const found = new Float64Array(k * z);
  for (let i = 0; i < k; i++) {
    for (let a = 0; a < z; a++) for (let b = 0; b < z; b++) found[i * z + b] += own[i * z + a] * root[a * z + b];
  }
  return found;
}

/**
 * Eigenvalues and eigenvectors (the columns of axes) of a symmetric matrix (z, z), by Jacobi's rotations.
 *
 * @param {Float64Array} matrix
 * @param {number} z
 */
function eigh(matrix, z) {
  const a = matrix.slice();
  const axes = new Float64Array(z * z);
  for (let i = 0; i < z; i++) axes[i * z + i] = 1;
  for (let sweep = 0; sweep < 60 && offDiagonal(a, z) > 0; sweep++) {
    for (let p = 0; p < z - 1; p++) for (let q = p + 1; q < z; q++) rotate(a, axes, z, p, q);
  }
  return { variances: Float64Array.from({ length: z }, (_, i) => a[i * z + i]), axes };
}

/** The largest size of an element beside the diagonal; 0 if it is below the rounding of the diagonal. */
function offDiagonal(/** @type {Float64Array} */ a, /** @type {number} */ z) {
  let [largest, scale] = [0, 0];
  for (let i = 0; i < z; i++) {
    scale = Math.max(scale, Math.abs(a[i * z + i]));
    for (let j = 0; j < i; j++) largest = Math.max(largest, Math.abs(a[i * z + j]));
  }
  return largest <= 1e-17 * scale ? 0 : largest;
}

/**
 * One rotation that makes a[p, q] 0.
 *
 * @param {Float64Array} a @param {Float64Array} axes @param {number} z @param {number} p @param {number} q
 */
function rotate(a, axes, z, p, q) {
  const apq = a[p * z + q];
  if (apq === 0) return;
  const theta = (a[q * z + q] - a[p * z + p]) / (2 * apq);
  const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
  const c = 1 / Math.sqrt(t * t + 1);
  const s = t * c;
  for (let i = 0; i < z; i++) turn(a, i * z + p, i * z + q, c, s); // columns p and q
  for (let i = 0; i < z; i++) turn(a, p * z + i, q * z + i, c, s); // rows p and q
  for (let i = 0; i < z; i++) turn(axes, i * z + p, i * z + q, c, s);
  a[p * z + q] = 0;
  a[q * z + p] = 0;
}

/** @param {Float64Array} v @param {number} i @param {number} j @param {number} c @param {number} s */
function turn(v, i, j, c, s) {
  const [vi, vj] = [v[i], v[j]];
  v[i] = c * vi - s * vj;
  v[j] = s * vi + c * vj;
}
