package ai.onnxruntime;

/** The types of tensors that the examples use, with their numbers in the C API. */
public enum OnnxJavaType {
    FLOAT(1),
    DOUBLE(11),
    INT64(7),
    UINT8(2),
    BOOL(9);

    final int number;

    OnnxJavaType(int number) {
        this.number = number;
    }
}
