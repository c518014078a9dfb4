import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/** An array of numbers of a .npy file: its shape, and its values with the last index fastest. */
record Npy(long[] shape, double[] values) {
    private static final Pattern HEADER = Pattern.compile(
            "\\{'descr': '([^']+)', 'fortran_order': (True|False), 'shape': \\(([\\d, ]*)\\), }\\s*");

    /** The array of a .npy file of version 1 to 3. */
    static Npy read(byte[] bytes) throws IOException {
        ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        boolean wide = bytes[6] > 1;
        int start = wide ? 12 : 10;
        int length = wide ? buffer.getInt(8) : buffer.getShort(8) & 0xffff;
        Matcher header = HEADER.matcher(new String(bytes, start, length, StandardCharsets.UTF_8));
        if (!header.matches()) {
            throw new IOException("not an array of numbers");
        }
        String[] sizes = header.group(3).isBlank() ? new String[0] : header.group(3).split(", *");
        long[] shape = Arrays.stream(sizes).mapToLong(Long::parseLong).toArray();
        double[] values = new double[(int) Arrays.stream(shape).reduce(1, (a, b) -> a * b)];
        buffer.position(start + length);
        for (int i = 0; i < values.length; i++) {
            values[i] = switch (header.group(1)) {
                case "<f8" -> buffer.getDouble();
                case "<f4" -> buffer.getFloat();
                case "<i8" -> buffer.getLong();
                case "<i4" -> buffer.getInt();
                case "|u1", "|b1" -> buffer.get() & 0xff;
                default -> throw new IOException("type " + header.group(1));
            };
        }
        return new Npy(shape, header.group(2).equals("True") ? inRowOrder(values, shape) : values);
    }

    /** Values that are stored with the first index fastest, with the last index fastest. */
    private static double[] inRowOrder(double[] values, long[] shape) {
        double[] found = new double[values.length];
        for (int to = 0; to < found.length; to++) {
            int rest = to;
            int from = 0;
            int step = values.length;
            for (int axis = shape.length - 1; axis >= 0; axis--) {
                step /= (int) shape[axis];
                from += rest % (int) shape[axis] * step;
                rest /= (int) shape[axis];
            }
            found[to] = values[from];
        }
        return found;
    }

    /** The arrays of a .npz file by name. */
    static Map<String, Npy> readArchive(byte[] bytes) throws IOException {
        Map<String, Npy> found = new HashMap<>();
        try (ZipInputStream archive = new ZipInputStream(new ByteArrayInputStream(bytes))) {
            for (ZipEntry entry = archive.getNextEntry(); entry != null; entry = archive.getNextEntry()) {
                found.put(entry.getName().replaceFirst("\\.npy$", ""), read(archive.readAllBytes()));
            }
        }
        return found;
    }
}
