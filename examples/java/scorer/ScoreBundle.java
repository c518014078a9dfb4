import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;

/**
 * Scores rows with a vaekit bundle on ONNX Runtime: score, p-value and verdict, by docs/reference/bundle-reader.md.
 *
 * <p>Usage: {@code java -cp CLASSPATH ScoreBundle models/breast-cancer/1 examples/rows.json [ALPHA]}, with Gson and
 * ONNX Runtime's library for Java in the class path. Calibration by group and tolerance rules are not supported, and
 * refused. Levels that are times are found by their text alone, and whole numbers beyond 2^53 as float64. The operators of graphs are not checked: trust who made
 * the bundle.
 */
public final class ScoreBundle {
    private static final List<String> RULES = List.of("first-k-centred-unit-moment", "first-k-whitened");

    private final OrtEnvironment environment = OrtEnvironment.getEnvironment();
    private final Map<String, OrtSession> sessions = new HashMap<>();
    private final Map<String, byte[]> files = new HashMap<>();
    private final JsonObject manifest;
    private final Rows rows;
    private final float[] eps; // (K, Z) row by row
    private final int draws; // K

    /** The score of a row in nats, -ELBO, and its p-value; NaN for the score of a novel row that has none. */
    public record Scored(double score, double pValue, boolean isNovel) {}

    public static void main(String[] arguments) throws Exception {
        if (arguments.length < 2) {
            throw new IllegalArgumentException("usage: ScoreBundle BUNDLE_FOLDER ROWS.json [ALPHA]");
        }
        double alpha = arguments.length > 2 ? Double.parseDouble(arguments[2]) : 0.05;
        String body = Files.readString(Path.of(arguments[1]));
        JsonArray inputs = JsonParser.parseString(body).getAsJsonObject().getAsJsonArray("inputs");
        for (Scored row : new ScoreBundle(Path.of(arguments[0])).score(inputs)) {
            System.out.println(row.score() + " " + row.pValue() + " " + (row.pValue() <= alpha) + " " + row.isNovel());
        }
    }

    /** Reads a version's folder, verifies its files, and replays the golden rows of the graphs that score. */
    public ScoreBundle(Path folder) throws Exception {
        manifest = JsonParser.parseString(Files.readString(folder.resolve("manifest.json"))).getAsJsonObject();
        if (!manifest.get("format").getAsString().matches("1\\.\\d+")) {
            throw new IOException("format " + manifest.get("format") + ": this program reads formats 1.0 to 1.x");
        }
        refuseWhatIsMissingHere();
        for (JsonObject part : signedParts()) {
            readVerified(folder, part);
        }
        rows = new Rows(manifest);
        draws = drawsFile().get("default").getAsInt();
        eps = Draws.of(Npy.read(file("draws")).values(), draws, manifest.get("latent_dim").getAsInt(), rule());
        open(scoringGraph());
        if (takesObserved("surprise")) {
            open("surprise");
        }
    }

    /** Score, p-value and novelty of each row: a list of cells or an object by column name, or an image H x W x C. */
    public List<Scored> score(JsonArray inputs) throws Exception {
        JsonObject entry = calibrationEntry();
        Map<String, Npy> heldOut = Npy.readArchive(file("calibration"));
        String array = entry.get("array").getAsString();
        int folds = present(entry, "folds") ? entry.getAsJsonArray("folds").size() : 0;
        List<Scored> found = new ArrayList<>();
        for (JsonElement input : inputs) {
            double[] x = rows.read(input);
            double[] scores = scoresOf(x, folds);
            double[] compared = folds > 0 ? Arrays.copyOfRange(scores, 1, scores.length) : scores;
            boolean novel = rows.isNovel(x);
            found.add(new Scored(scores[0], PValues.of(array, heldOut, compared, novel), novel));
        }
        return found;
    }

    /** The score of a row; with folds also its score by each fold model. */
    private double[] scoresOf(double[] x, int folds) throws OrtException {
        boolean[] observed = rows.observed(x);
        boolean whole = IntStream.range(0, x.length).allMatch(d -> observed[d]);
        String graph = whole || takesObserved(scoringGraph()) ? scoringGraph() : "surprise";
        if (!whole && !takesObserved(graph)) {
            return DoubleStream.generate(() -> Double.NaN).limit(1 + folds).toArray(); // before format 1.3
        }
        Map<String, Npy> feeds = new HashMap<>();
        feeds.put("x", new Npy(rows.shape(), rows.withZeros(x, observed)));
        double[] mask = IntStream.range(0, x.length).mapToDouble(d -> observed[d] ? 1 : 0).toArray();
        feeds.put("observed", new Npy(rows.shape(), mask));
        long[] shape = {1, draws, eps.length / draws};
        feeds.put("eps", new Npy(shape, IntStream.range(0, eps.length).mapToDouble(i -> eps[i]).toArray()));
        Map<String, double[]> outputs = run(graph, feeds);
        double outside = rows.logOutside(x);
        if (folds == 0) {
            return new double[] {-(outputs.get("elbo")[0] + outside)};
        }
        DoubleStream ofFolds = Arrays.stream(outputs.get("fold_elbo"));
        DoubleStream all = DoubleStream.concat(DoubleStream.of(outputs.get("elbo")[0]), ofFolds);
        return all.map(elbo -> -(elbo + outside)).toArray();
    }

    private void refuseWhatIsMissingHere() throws IOException {
        if (present(manifest, "ignore") && manifest.getAsJsonObject("ignore").size() > 0) {
            throw new IOException("the bundle has tolerance rules, which this program does not apply");
        }
        if (present(manifest.getAsJsonObject("input"), "window")) {
            throw new IOException("the model scores windows of several rows");
        }
        String prior = manifest.getAsJsonObject("prior").get("name").getAsString();
        if (!List.of("normal", "aggregate", "kernel").contains(prior)) {
            throw new IOException("unknown prior: " + prior);
        }
        if (!RULES.contains(rule())) {
            throw new IOException("unknown rule for draws: " + rule());
        }
        if (present(manifest, "calibration") && present(calibrationEntry(), "groups")) {
            throw new IOException("the model is calibrated by group, which this program does not read");
        }
    }

    /** The parts of the manifest that name a file and its sha256. */
    private List<JsonObject> signedParts() {
        List<JsonObject> found = new ArrayList<>();
        List<JsonObject> owners = new ArrayList<>(List.of(manifest));
        if (present(manifest, "half")) {
            owners.add(manifest.getAsJsonObject("half"));
        }
        for (JsonObject owner : owners) {
            owner.getAsJsonObject("operations").asMap().values().forEach(each -> found.add(each.getAsJsonObject()));
            for (String name : List.of("draws", "golden", "calibration", "surprise", "exemplars")) {
                if (present(owner, name)) {
                    found.add(owner.getAsJsonObject(name));
                }
            }
        }
        return found;
    }

    private void readVerified(Path folder, JsonObject part) throws Exception {
        String name = part.get("file").getAsString();
        if (!name.matches("[a-z0-9][a-z0-9_.-]{0,63}")) {
            throw new IOException("file name " + name);
        }
        byte[] bytes = Files.readAllBytes(folder.resolve(name));
        String sha256 = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        if (!sha256.equals(part.get("sha256").getAsString())) {
            throw new IOException(name + ": the sha256 differs from the manifest's: the file has changed");
        }
        files.put(name, bytes);
    }

    /** Opens a graph, and compares its outputs for the golden inputs with the golden outputs. */
    private void open(String operation) throws Exception {
        JsonObject graph = manifest.getAsJsonObject("operations").getAsJsonObject(operation);
        sessions.put(operation, environment.createSession(files.get(graph.get("file").getAsString())));
        Map<String, Npy> golden = Npy.readArchive(file("golden"));
        Map<String, Npy> feeds = new HashMap<>();
        golden.forEach((name, array) -> feeds.put(name.replace(operation + ".in.", ""), array));
        Map<String, double[]> outputs = run(operation, feeds);
        JsonObject tolerance = manifest.getAsJsonObject("golden").getAsJsonObject("tolerance")
                .getAsJsonObject("CPUExecutionProvider");
        double absolute = tolerance.get("absolute").getAsDouble();
        double relative = tolerance.get("relative").getAsDouble();
        for (Map.Entry<String, double[]> output : outputs.entrySet()) {
            double[] want = golden.get(operation + ".out." + output.getKey()).values();
            Npy unit = golden.get(operation + ".unit." + output.getKey());
            for (int i = 0; i < want.length; i++) {
                double size = unit == null ? 1 : unit.values()[i % unit.values().length];
                double allowed = absolute * size + relative * Math.abs(want[i]);
                if (!(Math.abs(output.getValue()[i] - want[i]) <= allowed)) {
                    throw new IOException(operation + ": " + output.getKey() + ": this machine gives other results");
                }
            }
        }
    }

    /** Runs a graph; its outputs of float64 by name. */
    private Map<String, double[]> run(String operation, Map<String, Npy> feeds) throws OrtException {
        Map<String, OnnxTensor> tensors = new LinkedHashMap<>();
        JsonObject graph = manifest.getAsJsonObject("operations").getAsJsonObject(operation);
        for (JsonElement input : graph.getAsJsonArray("inputs")) {
            String name = input.getAsJsonObject().get("name").getAsString();
            tensors.put(name, tensor(feeds.get(name), input.getAsJsonObject().get("dtype").getAsString()));
        }
        Map<String, double[]> found = new LinkedHashMap<>();
        try (OrtSession.Result result = sessions.get(operation).run(tensors)) {
            for (JsonElement output : graph.getAsJsonArray("outputs")) {
                String name = output.getAsJsonObject().get("name").getAsString();
                if (output.getAsJsonObject().get("dtype").getAsString().equals("float64")) {
                    DoubleBuffer values = ((OnnxTensor) result.get(name).orElseThrow()).getDoubleBuffer();
                    found.put(name, new double[values.remaining()]);
                    values.get(found.get(name));
                }
            }
        } finally {
            tensors.values().forEach(OnnxTensor::close);
        }
        return found;
    }

    private OnnxTensor tensor(Npy array, String dtype) throws OrtException {
        double[] values = array.values();
        if (dtype.equals("float64")) {
            return OnnxTensor.createTensor(environment, DoubleBuffer.wrap(values), array.shape());
        }
        if (dtype.equals("float32")) {
            FloatBuffer floats = FloatBuffer.allocate(values.length);
            Arrays.stream(values).forEach(value -> floats.put((float) value));
            return OnnxTensor.createTensor(environment, floats.flip(), array.shape());
        }
        ByteBuffer bytes = ByteBuffer.allocate(values.length);
        Arrays.stream(values).forEach(value -> bytes.put((byte) (int) value));
        OnnxJavaType type = dtype.equals("bool") ? OnnxJavaType.BOOL : OnnxJavaType.UINT8;
        return OnnxTensor.createTensor(environment, bytes.flip(), array.shape(), type);
    }

    private String scoringGraph() {
        return manifest.getAsJsonObject("operations").has("bound") ? "bound" : "elbo";
    }

    private boolean takesObserved(String operation) {
        JsonObject graph = manifest.getAsJsonObject("operations").getAsJsonObject(operation);
        return graph != null && graph.getAsJsonArray("inputs").toString().contains("\"observed\"");
    }

    /** The calibration of the float32 graphs for the default K. */
    private JsonObject calibrationEntry() throws IOException {
        int k = drawsFile().get("default").getAsInt();
        for (JsonElement each : manifest.getAsJsonObject("calibration").getAsJsonArray("entries")) {
            JsonObject entry = each.getAsJsonObject();
            String precision = entry.has("precision") ? entry.get("precision").getAsString() : "float32";
            if (entry.get("num_samples").getAsInt() == k && precision.equals("float32")) {
                return entry;
            }
        }
        throw new IOException("no calibration for " + k + " draws");
    }

    private JsonObject drawsFile() {
        return manifest.getAsJsonObject("draws");
    }

    private String rule() {
        return drawsFile().has("rule") ? drawsFile().get("rule").getAsString() : RULES.get(0);
    }

    private byte[] file(String part) {
        return files.get(manifest.getAsJsonObject(part).get("file").getAsString());
    }

    static boolean present(JsonObject object, String name) {
        return object.has(name) && !object.get(name).isJsonNull();
    }
}
