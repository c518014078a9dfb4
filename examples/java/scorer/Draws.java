import java.util.Arrays;

/** The rule for draws: how eps (K, Z) follows from the base draws of a bundle. */
final class Draws {
    private static final int SWEEPS = 60;

    private Draws() {}

    /** The default draws, row by row, from the base draws (K_max, Z). */
    static float[] of(double[] base, int k, int z, String rule) {
        double[] eps = Arrays.copyOf(base, k * z);
        if (rule.equals("first-k-whitened") && k > z) {
            eps = whitened(centred(eps, k, z), k, z);
        }
        eps = centred(eps, k, z);
        float[] found = new float[k * z];
        for (int j = 0; j < z; j++) {
            double sum = 0;
            for (int i = 0; i < k; i++) {
                sum += eps[i * z + j] * eps[i * z + j];
            }
            for (int i = 0; i < k; i++) {
                found[i * z + j] = (float) (eps[i * z + j] / Math.sqrt(sum / k));
            }
        }
        return found;
    }

    private static double[] centred(double[] e, int k, int z) {
        double[] found = e.clone();
        for (int j = 0; j < z; j++) {
            double sum = 0;
            for (int i = 0; i < k; i++) {
                sum += e[i * z + j];
            }
            for (int i = 0; i < k; i++) {
                found[i * z + j] -= sum / k;
            }
        }
        return found;
    }

    /** e C^(-1/2) with C = (1/K) sum_k e_k e_k^T and its symmetric root. */
    private static double[] whitened(double[] e, int k, int z) {
        double[][] c = new double[z][z];
        for (int i = 0; i < k; i++) {
            for (int a = 0; a < z; a++) {
                for (int b = 0; b < z; b++) {
                    c[a][b] += e[i * z + a] * e[i * z + b] / k;
                }
            }
        }
        double[][] axes = eigenvectors(c); // c becomes diagonal
        double[] found = new double[k * z];
        for (int a = 0; a < z; a++) {
            for (int b = 0; b < z; b++) {
                double root = 0;
                for (int j = 0; j < z; j++) {
                    root += axes[a][j] * axes[b][j] / Math.sqrt(c[j][j]);
                }
                for (int i = 0; i < k; i++) {
                    found[i * z + b] += e[i * z + a] * root;
                }
            }
        }
        return found;
    }

    /** The eigenvectors of a symmetric matrix, as columns, by Jacobi's rotations, which make the matrix diagonal. */
    private static double[][] eigenvectors(double[][] a) {
        int z = a.length;
        double[][] axes = new double[z][z];
        for (int i = 0; i < z; i++) {
            axes[i][i] = 1;
        }
        for (int sweep = 0; sweep < SWEEPS; sweep++) {
            for (int p = 0; p < z - 1; p++) {
                for (int q = p + 1; q < z; q++) {
                    if (Math.abs(a[p][q]) > 1e-17 * Math.sqrt(Math.abs(a[p][p] * a[q][q]))) {
                        rotate(a, axes, p, q);
                    }
                }
            }
        }
        return axes;
    }

    private static void rotate(double[][] a, double[][] axes, int p, int q) {
        double theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        double t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        double cosine = 1 / Math.sqrt(t * t + 1);
        double sine = t * cosine;
        for (double[] row : a) {
            turn(row, p, q, cosine, sine);
        }
        for (double[] row : axes) {
            turn(row, p, q, cosine, sine);
        }
        for (int i = 0; i < a.length; i++) {
            double above = a[p][i];
            a[p][i] = cosine * above - sine * a[q][i];
            a[q][i] = sine * above + cosine * a[q][i];
        }
    }

    private static void turn(double[] row, int p, int q, double cosine, double sine) {
        double before = row[p];
        row[p] = cosine * before - sine * row[q];
        row[q] = sine * before + cosine * row[q];
    }
}
