package ai.onnxruntime;

/** An error of ONNX Runtime. */
public class OrtException extends Exception {
    public OrtException(String message) {
        super(message);
    }
}
