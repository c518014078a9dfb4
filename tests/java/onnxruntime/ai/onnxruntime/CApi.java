package ai.onnxruntime;

import com.sun.jna.Function;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.PointerByReference;

/**
 * The functions of ONNX Runtime's C library that this stand-in calls, by their places in the table OrtApi.
 *
 * <p>New versions of the library only append to the table. Memory is freed when the process ends.
 */
final class CApi {
    static final int CREATE_ENV = 3;
    static final int CREATE_SESSION_FROM_ARRAY = 8;
    static final int RUN = 9;
    static final int CREATE_SESSION_OPTIONS = 10;
    static final int SET_INTRA_OP_NUM_THREADS = 24;
    static final int SESSION_GET_OUTPUT_COUNT = 31;
    static final int SESSION_GET_OUTPUT_NAME = 37;
    static final int CREATE_TENSOR_WITH_DATA = 49;
    static final int GET_TENSOR_MUTABLE_DATA = 51;
    static final int GET_TENSOR_ELEMENT_TYPE = 60;
    static final int GET_TENSOR_SHAPE_ELEMENT_COUNT = 64;
    static final int GET_TENSOR_TYPE_AND_SHAPE = 65;
    static final int CREATE_CPU_MEMORY_INFO = 69;
    static final int GET_ALLOCATOR_WITH_DEFAULT_OPTIONS = 78;

    private static final int GET_ERROR_MESSAGE = 2;
    private static final int VERSION = 16; // of the table; every newer library has it
    // kept, because JNA unloads a library when its object is garbage
    private static final NativeLibrary LIBRARY = NativeLibrary.getInstance(System.getProperty("onnxruntime.library"));
    private static final Pointer TABLE = table();

    private CApi() {}

    /** The table of functions of the library. */
    private static Pointer table() {
        Pointer base = LIBRARY.getFunction("OrtGetApiBase").invokePointer(new Object[0]);
        return Function.getFunction(base.getPointer(0)).invokePointer(new Object[] {VERSION});
    }

    private static Function function(int place) {
        return Function.getFunction(TABLE.getPointer((long) place * Native.POINTER_SIZE));
    }

    /** Calls a function that returns a status, which is null if all went well. */
    static void call(int place, Object... arguments) throws OrtException {
        Pointer status = function(place).invokePointer(arguments);
        if (status != null) {
            throw new OrtException(function(GET_ERROR_MESSAGE).invokePointer(new Object[] {status}).getString(0));
        }
    }

    /** Calls a function whose last argument is the place for a pointer, and returns that pointer. */
    static Pointer make(int place, Object... arguments) throws OrtException {
        PointerByReference made = new PointerByReference();
        Object[] all = java.util.Arrays.copyOf(arguments, arguments.length + 1);
        all[arguments.length] = made;
        call(place, all);
        return made.getValue();
    }
}
