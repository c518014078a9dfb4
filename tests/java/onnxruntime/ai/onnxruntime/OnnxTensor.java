package ai.onnxruntime;

import com.sun.jna.Memory;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.IntByReference;
import com.sun.jna.ptr.LongByReference;
import java.nio.ByteBuffer;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;

/** A tensor on the CPU. */
public final class OnnxTensor implements OnnxValue {
    private static final int ARENA_ALLOCATOR = 1;
    final Pointer handle;
    private final Memory memory; // keeps the values of an input alive

    private OnnxTensor(Memory memory, long[] shape, OnnxJavaType type) throws OrtException {
        this.memory = memory;
        Pointer place = CApi.make(CApi.CREATE_CPU_MEMORY_INFO, ARENA_ALLOCATOR, 0);
        long[] sizes = shape.length == 0 ? new long[1] : shape; // JNA has no empty arrays
        handle = CApi.make(
                CApi.CREATE_TENSOR_WITH_DATA, place, memory, memory.size(), sizes, (long) shape.length, type.number);
    }

    OnnxTensor(Pointer handle) {
        this.handle = handle;
        memory = null;
    }

    public static OnnxTensor createTensor(OrtEnvironment environment, DoubleBuffer data, long[] shape)
            throws OrtException {
        Memory memory = new Memory(8L * Math.max(1, data.remaining()));
        memory.getByteBuffer(0, memory.size()).asDoubleBuffer().put(data.duplicate());
        return new OnnxTensor(memory, shape, OnnxJavaType.DOUBLE);
    }

    public static OnnxTensor createTensor(OrtEnvironment environment, FloatBuffer data, long[] shape)
            throws OrtException {
        Memory memory = new Memory(4L * Math.max(1, data.remaining()));
        memory.getByteBuffer(0, memory.size()).asFloatBuffer().put(data.duplicate());
        return new OnnxTensor(memory, shape, OnnxJavaType.FLOAT);
    }

    public static OnnxTensor createTensor(
            OrtEnvironment environment, ByteBuffer data, long[] shape, OnnxJavaType type) throws OrtException {
        Memory memory = new Memory(Math.max(1, data.remaining()));
        memory.getByteBuffer(0, memory.size()).put(data.duplicate());
        return new OnnxTensor(memory, shape, type);
    }

    /** A copy of the values, in the order of the last axis; null if they are not doubles. */
    public DoubleBuffer getDoubleBuffer() {
        try {
            Pointer info = CApi.make(CApi.GET_TENSOR_TYPE_AND_SHAPE, handle);
            IntByReference type = new IntByReference();
            LongByReference count = new LongByReference();
            CApi.call(CApi.GET_TENSOR_ELEMENT_TYPE, info, type);
            CApi.call(CApi.GET_TENSOR_SHAPE_ELEMENT_COUNT, info, count);
            if (type.getValue() != OnnxJavaType.DOUBLE.number) {
                return null;
            }
            Pointer data = CApi.make(CApi.GET_TENSOR_MUTABLE_DATA, handle);
            return DoubleBuffer.wrap(data.getDoubleArray(0, (int) count.getValue()));
        } catch (OrtException exc) {
            throw new IllegalStateException(exc);
        }
    }

    @Override
    public void close() {}
}
