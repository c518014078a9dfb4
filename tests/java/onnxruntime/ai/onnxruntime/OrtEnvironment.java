package ai.onnxruntime;

import com.sun.jna.Pointer;

/** The environment of a process, which makes sessions. */
public final class OrtEnvironment implements AutoCloseable {
    private static OrtEnvironment only;
    private final Pointer handle;

    private OrtEnvironment() throws OrtException {
        handle = CApi.make(CApi.CREATE_ENV, 3, "examples"); // 3: log errors
    }

    public static synchronized OrtEnvironment getEnvironment() {
        try {
            only = only == null ? new OrtEnvironment() : only;
            return only;
        } catch (OrtException exc) {
            throw new IllegalStateException(exc);
        }
    }

    public OrtSession createSession(byte[] model) throws OrtException {
        Pointer options = CApi.make(CApi.CREATE_SESSION_OPTIONS);
        CApi.call(CApi.SET_INTRA_OP_NUM_THREADS, options, 1);
        return new OrtSession(CApi.make(CApi.CREATE_SESSION_FROM_ARRAY, handle, model, (long) model.length, options));
    }

    @Override
    public void close() {}
}
