package ai.onnxruntime;

/** A value that a graph takes or gives. */
public interface OnnxValue extends AutoCloseable {
    @Override
    void close();
}
