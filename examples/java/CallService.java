import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Scores the rows of a file through a running vaekit service, and prints score, p-value and verdict of each row.
 *
 * <p>Usage: {@code java -cp gson.jar CallService.java http://127.0.0.1:8000 breast-cancer examples/rows.json [ALPHA]}.
 * The file is the body of a request, {"inputs": [...]}. The key is read from VAE_API_KEY.
 */
public final class CallService {
    private static final int TRIES = 3;
    private static final Duration TIMEOUT = Duration.ofSeconds(30);
    private static final long LONGEST_WAIT = 60; // seconds

    // HTTP/1.1: by default, HttpClient asks every plain-text server to upgrade to HTTP/2
    private final HttpClient http =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(TIMEOUT).build();
    private final String url;
    private final String key;

    /** A reply with an error status; the message is the detail of the problem document. */
    static final class Refused extends IOException {
        private static final long serialVersionUID = 1L;
        final int status;

        Refused(int status, String detail) {
            super(detail);
            this.status = status;
        }
    }

    CallService(String url, String key) {
        this.url = url.replaceAll("/+$", "");
        this.key = key;
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length < 3) {
            throw new IllegalArgumentException("usage: CallService URL MODEL ROWS.json [ALPHA]");
        }
        CallService service = new CallService(arguments[0], System.getenv("VAE_API_KEY"));
        JsonObject body = JsonParser.parseString(Files.readString(Path.of(arguments[2]))).getAsJsonObject();
        body.addProperty("alpha", arguments.length > 3 ? Double.parseDouble(arguments[3]) : 0.05);
        try {
            print(service.elbo(arguments[1], body));
        } catch (Refused refused) {
            System.err.println(refused.status + ": " + refused.getMessage()); // names row, feature and value
            System.exit(1);
        }
    }

    private static void print(JsonObject reply) {
        JsonArray score = reply.getAsJsonArray("score");
        JsonArray pValue = reply.getAsJsonArray("p_value");
        JsonArray isAnomaly = reply.getAsJsonArray("is_anomaly");
        for (int row = 0; row < score.size(); row++) {
            System.out.println(score.get(row) + " " + pValue.get(row) + " " + isAnomaly.get(row));
        }
    }

    /**
     * The reply of /elbo. A request that the service refuses for the moment (429, or 503 with retry-after) is sent
     * again after the time that it asks for, and a random pause so that many callers do not return together.
     *
     * @throws Refused the service refused the request
     */
    JsonObject elbo(String model, JsonObject body) throws IOException, InterruptedException {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url + "/models/" + model + "/elbo"))
                .timeout(TIMEOUT)
                .header("content-type", "application/json")
                .header("accept", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body.toString()));
        if (key != null && !key.isEmpty()) {
            request.header("authorization", "Bearer " + key);
        }
        for (int tries = 1; ; tries++) {
            HttpResponse<String> response = http.send(request.build(), HttpResponse.BodyHandlers.ofString());
            if (response.statusCode() == 200) {
                return JsonParser.parseString(response.body()).getAsJsonObject();
            }
            long after = retryAfter(response);
            boolean isBusy = response.statusCode() == 429 || response.statusCode() == 503 && after >= 0;
            if (!isBusy || tries == TRIES || after > LONGEST_WAIT) {
                throw new Refused(response.statusCode(), detailOf(response));
            }
            Thread.sleep(1000 * Math.max(after, 0) + ThreadLocalRandom.current().nextLong(250L << tries));
        }
    }

    /** The seconds of retry-after, which is a number or a date; -1 if it is absent or neither. */
    private static long retryAfter(HttpResponse<String> response) {
        String text = response.headers().firstValue("retry-after").orElse("");
        if (text.matches("\\d{1,9}")) {
            return Long.parseLong(text);
        }
        try {
            ZonedDateTime at = ZonedDateTime.parse(text, DateTimeFormatter.RFC_1123_DATE_TIME);
            return Math.max(0, 1 + Duration.between(ZonedDateTime.now(), at).toSeconds());
        } catch (DateTimeParseException neither) {
            return -1;
        }
    }

    /** The detail of a problem document, or else the whole body. */
    private static String detailOf(HttpResponse<String> response) {
        String type = response.headers().firstValue("content-type").orElse("");
        return type.startsWith("application/problem+json")
                ? JsonParser.parseString(response.body()).getAsJsonObject().get("detail").getAsString()
                : response.body();
    }
}
