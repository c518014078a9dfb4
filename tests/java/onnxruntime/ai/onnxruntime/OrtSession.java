package ai.onnxruntime;

import com.sun.jna.Pointer;
import com.sun.jna.StringArray;
import com.sun.jna.ptr.LongByReference;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/** A loaded graph. */
public final class OrtSession implements AutoCloseable {
    private final Pointer handle;
    private final String[] outputs;

    OrtSession(Pointer handle) throws OrtException {
        this.handle = handle;
        LongByReference count = new LongByReference();
        CApi.call(CApi.SESSION_GET_OUTPUT_COUNT, handle, count);
        Pointer allocator = CApi.make(CApi.GET_ALLOCATOR_WITH_DEFAULT_OPTIONS);
        outputs = new String[(int) count.getValue()];
        for (int i = 0; i < outputs.length; i++) {
            outputs[i] = CApi.make(CApi.SESSION_GET_OUTPUT_NAME, handle, (long) i, allocator).getString(0, "UTF-8");
        }
    }

    public Result run(Map<String, OnnxTensor> inputs) throws OrtException {
        Pointer[] given = inputs.values().stream().map(tensor -> tensor.handle).toArray(Pointer[]::new);
        Pointer[] found = new Pointer[outputs.length]; // null: ONNX Runtime makes the tensor
        StringArray names = new StringArray(inputs.keySet().toArray(String[]::new));
        CApi.call(CApi.RUN, handle, null, names, given, (long) given.length, new StringArray(outputs),
                (long) outputs.length, found);
        Map<String, OnnxValue> values = new LinkedHashMap<>();
        for (int i = 0; i < outputs.length; i++) {
            values.put(outputs[i], new OnnxTensor(found[i]));
        }
        return new Result(values);
    }

    @Override
    public void close() {}

    /** The outputs of a graph by name. */
    public static final class Result implements AutoCloseable, Iterable<Map.Entry<String, OnnxValue>> {
        private final Map<String, OnnxValue> values;

        Result(Map<String, OnnxValue> values) {
            this.values = values;
        }

        public Optional<OnnxValue> get(String name) {
            return Optional.ofNullable(values.get(name));
        }

        @Override
        public Iterator<Map.Entry<String, OnnxValue>> iterator() {
            return values.entrySet().iterator();
        }

        @Override
        public void close() {}
    }
}
