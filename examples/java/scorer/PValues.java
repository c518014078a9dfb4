import java.util.Arrays;
import java.util.Map;

/** Compares scores with those of held-out rows. Higher scores are more anomalous, lower p-values are. */
final class PValues {
    private static final double TOLERANCE = 1e-5; // relative to scores above 1 nat, absolute below

    private PValues() {}

    /**
     * The p-value of a row: with several scores, by fold models, the median of one p-value for each.
     *
     * @param array the name of the held-out scores; those of fold f have _fold and f at the end
     * @param scores NaN for a novel row that has no score
     */
    static double of(String array, Map<String, Npy> heldOut, double[] scores, boolean isNovel) {
        boolean byFold = !heldOut.containsKey(array) && !heldOut.containsKey(array + "_novel");
        double[] found = new double[scores.length];
        for (int f = 0; f < scores.length; f++) {
            String name = byFold ? array + "_fold" + f : array;
            found[f] = one(valuesOf(heldOut, name), valuesOf(heldOut, name + "_novel"), scores[f], isNovel);
        }
        Arrays.sort(found);
        return found[found.length / 2];
    }

    /** p = (1 + number of held-out scores at least as high) / (1 + n); novel rows rank above all others. */
    private static double one(double[] usual, double[] novel, double score, boolean isNovel) {
        double relative = Math.min(score * (1 - TOLERANCE), score * (1 + TOLERANCE));
        double floor = Math.min(relative, score - TOLERANCE); // s - 1e-5 max(1, |s|)
        long higher = Arrays.stream(isNovel ? novel : usual).filter(each -> each >= floor).count();
        long novelAbove = isNovel ? 0 : novel.length;
        return (1.0 + higher + novelAbove) / (1.0 + usual.length + novel.length);
    }

    private static double[] valuesOf(Map<String, Npy> arrays, String name) {
        return arrays.containsKey(name) ? arrays.get(name).values() : new double[0];
    }
}
