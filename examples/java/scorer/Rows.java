import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** Reads rows as the graphs take them: numbers, the index of a level, NaN for a missing cell; or pixels. */
final class Rows {
    private static final Set<String> MISSING_TEXTS = Set.of(
            "NA", "N/A", "n/a", "#NA", "#N/A", "#N/A N/A", "NULL", "null", "-1.#IND", "1.#IND", "-1.#QNAN", "1.#QNAN");
    private static final String NUMBER = "[-+]?(\\d+\\.?\\d*|\\.\\d+)([eE][-+]?\\d+)?";
    private static final String NAN = "[-+]?(?i:nan)";

    private final List<JsonObject> columns = new ArrayList<>(); // empty for images
    private final long[] shape;
    private final int mostMissing;
    private final double logOutside; // nats, for each cell that is outside its column

    Rows(JsonObject manifest) {
        JsonObject input = manifest.getAsJsonObject("input");
        boolean isImage = input.get("kind").getAsString().equals("image");
        if (!isImage) {
            input.getAsJsonArray("columns").forEach(column -> columns.add(column.getAsJsonObject()));
        }
        shape = isImage
                ? new long[] {1, size(input, "height"), size(input, "width"), size(input, "channels")}
                : new long[] {1, columns.size()};
        boolean hasNovelty = ScoreBundle.present(manifest, "novelty");
        JsonObject novelty = hasNovelty ? manifest.getAsJsonObject("novelty") : new JsonObject();
        mostMissing = hasNovelty ? size(novelty, "most_missing") : mostMissingBefore13(manifest);
        logOutside = hasNovelty ? -Math.log1p(size(novelty, "rows")) : Double.NaN;
    }

    /** The most missing cells of a calibration row, which bundles before format 1.3 go by. */
    private int mostMissingBefore13(JsonObject manifest) {
        int least = columns.size();
        if (ScoreBundle.present(manifest, "calibration")) {
            for (JsonElement each : manifest.getAsJsonObject("calibration").getAsJsonArray("entries")) {
                if (ScoreBundle.present(each.getAsJsonObject(), "observed_counts")) {
                    for (JsonElement count : each.getAsJsonObject().getAsJsonArray("observed_counts")) {
                        least = Math.min(least, count.getAsInt());
                    }
                }
            }
        }
        return columns.size() - least;
    }

    private static int size(JsonObject object, String name) {
        return object.get(name).getAsInt();
    }

    /** The shape of one row as the graphs take it: (1, D) or (1, H, W, C). */
    long[] shape() {
        return shape;
    }

    /** The values of a row, (D): a list of cells, an object by column name, or nested lists of pixels. */
    double[] read(JsonElement row) {
        if (columns.isEmpty()) {
            List<Double> pixels = new ArrayList<>();
            flatten(row, pixels);
            return pixels.stream().mapToDouble(Double::doubleValue).toArray();
        }
        if (row.isJsonArray() && row.getAsJsonArray().size() != columns.size()) {
            throw new IllegalArgumentException(row.getAsJsonArray().size() + " values, expected " + columns.size());
        }
        double[] found = new double[columns.size()];
        for (int d = 0; d < found.length; d++) {
            JsonObject column = columns.get(d);
            String name = column.get("name").getAsString();
            JsonElement cell = row.isJsonArray() ? row.getAsJsonArray().get(d) : row.getAsJsonObject().get(name);
            if (cell == null && !isTrue(column, "may_be_missing")) {
                throw new IllegalArgumentException("feature '" + name + "': missing");
            }
            found[d] = value(cell == null ? JsonNull.INSTANCE : cell, column);
        }
        return found;
    }

    private void flatten(JsonElement pixels, List<Double> into) {
        if (pixels.isJsonArray()) {
            pixels.getAsJsonArray().forEach(each -> flatten(each, into));
        } else {
            into.add(pixels.getAsDouble());
        }
    }

    private static double value(JsonElement cell, JsonObject column) {
        if (kind(column).equals("category")) {
            return level(cell, column);
        }
        if (cell.isJsonNull() || standsForMissing(cell, column)) {
            return Double.NaN;
        }
        JsonPrimitive given = cell.getAsJsonPrimitive();
        if (given.isBoolean()) {
            return given.getAsBoolean() ? 1 : 0;
        }
        if (given.isString() || !Double.isFinite(given.getAsDouble())) {
            throw new IllegalArgumentException("feature '" + column.get("name").getAsString() + "': " + cell);
        }
        return given.getAsDouble();
    }

    /** The index of the level that a cell names, NaN if it is missing, the number of levels if it is an unseen one. */
    private static double level(JsonElement cell, JsonObject column) {
        JsonArray levels = column.getAsJsonArray("levels");
        if (cell.isJsonNull()) {
            return Double.NaN;
        }
        JsonPrimitive given = cell.getAsJsonPrimitive();
        String text = given.getAsString();
        boolean isNumber = !given.isBoolean() && text.strip().matches(NUMBER);
        double number = isNumber ? Double.parseDouble(text.strip()) : Double.NaN;
        String own = given.isNumber() && number == Math.rint(number) && Math.abs(number) < 1e15
                ? Long.toString((long) number)
                : text;
        int byNumber = -1;
        int byTruth = -1;
        for (int i = 0; i < levels.size(); i++) {
            String level = levels.get(i).getAsString();
            if (level.equals(own)) {
                return i;
            }
            boolean isTruth = List.of("true", "True", "TRUE", "false", "False", "FALSE").contains(own);
            byTruth = byTruth < 0 && isTruth && level.equalsIgnoreCase(own) ? i : byTruth;
            boolean isEqual = isNumber && level.strip().matches(NUMBER) && Double.parseDouble(level.strip()) == number;
            byNumber = isEqual && (byNumber < 0 || level.equals(Long.toString((long) number))) ? i : byNumber;
        }
        if (byTruth >= 0 || byNumber >= 0) {
            return byTruth >= 0 ? byTruth : byNumber;
        }
        boolean isEmpty = given.isString() && text.isBlank() || standsForMissing(cell, column);
        boolean spelled = given.isString() && (MISSING_TEXTS.contains(text.strip()) || text.strip().matches(NAN));
        return isEmpty || spelled && isTrue(column, "may_be_missing") ? Double.NaN : levels.size();
    }

    private static boolean standsForMissing(JsonElement cell, JsonObject column) {
        if (!column.has("missing_values") || cell.getAsJsonPrimitive().isBoolean()) {
            return false;
        }
        String text = cell.getAsString().strip();
        for (JsonElement each : column.getAsJsonArray("missing_values")) {
            boolean isNumber = each.getAsJsonPrimitive().isNumber();
            if (isNumber && text.matches(NUMBER)) {
                double number = Double.parseDouble(text);
                if (number == each.getAsDouble() || number == (float) each.getAsDouble()) {
                    return true;
                }
            } else if (!isNumber && cell.getAsJsonPrimitive().isString() && text.equals(each.getAsString())) {
                return true;
            }
        }
        return false;
    }

    private static String kind(JsonObject column) {
        return column.has("kind") ? column.get("kind").getAsString() : "real";
    }

    private static boolean isTrue(JsonObject column, String name) {
        return column.has(name) && column.get(name).getAsBoolean();
    }

    /** Whether a value is not of its column's kind, or an unseen level. NaN is not, and no pixel is. */
    private boolean isOutside(double v, int d) {
        if (columns.isEmpty() || Double.isNaN(v)) {
            return false;
        }
        JsonObject column = columns.get(d);
        return switch (kind(column)) {
            case "positive" -> !(v > 0);
            case "count" -> !(v >= 0 && v == Math.rint(v));
            case "fraction" -> !(v >= 0 && v <= 1);
            case "binary" -> v != 0 && v != 1;
            case "category" -> v >= column.getAsJsonArray("levels").size();
            default -> false;
        };
    }

    /** Which cells a graph can take: neither missing nor outside. */
    boolean[] observed(double[] x) {
        boolean[] found = new boolean[x.length];
        for (int d = 0; d < x.length; d++) {
            found[d] = !Double.isNaN(x[d]) && !isOutside(x[d], d);
        }
        return found;
    }

    /** The values, with 0 where a cell is not observed. */
    double[] withZeros(double[] x, boolean[] observed) {
        double[] found = x.clone();
        for (int d = 0; d < x.length; d++) {
            found[d] = observed[d] ? x[d] : 0;
        }
        return found;
    }

    /** What the cells that are outside add to the ELBO, nats. */
    double logOutside(double[] x) {
        double found = 0;
        for (int d = 0; d < x.length; d++) {
            found += isOutside(x[d], d) ? logOutside : 0;
        }
        return found;
    }

    /** Whether a row is unlike any training row: a cell is outside, or more cells are missing than in any of them. */
    boolean isNovel(double[] x) {
        int missing = 0;
        boolean anyOutside = false;
        for (int d = 0; d < x.length; d++) {
            missing += Double.isNaN(x[d]) ? 1 : 0;
            anyOutside |= isOutside(x[d], d);
        }
        return anyOutside || missing > mostMissing;
    }
}
