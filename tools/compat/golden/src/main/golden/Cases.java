package golden;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.StringJoiner;

/** Collects cases and prints one line each: name, bytes in hexadecimal or "-", and the facts in JSON, with tabs between. */
final class Cases {
    private final Map<String, String> lines = new LinkedHashMap<>();
    private final String prefix;
    private final String version;

    /** All names begin with `prefix`; `version` is the client's. */
    Cases(String prefix, String version) {
        this.prefix = prefix;
        this.version = version;
    }

    /** Adds a case; `bytes` may be null when the facts say everything. */
    void add(String name, String kind, byte[] bytes, Map<String, ?> facts) {
        String full = prefix + "-" + name;
        String text = json(facts("name", full, "version", version, "kind", kind, "facts", facts));
        String line = full + "\t" + (bytes == null ? "-" : hex(bytes)) + "\t" + text;
        if (lines.put(name, line) != null) {
            throw new IllegalStateException("two cases are called " + name);
        }
    }

    void print() {
        lines.values().forEach(System.out::println);
    }

    /** An ordered map of the given keys and values, alternating. */
    static Map<String, Object> facts(Object... pairs) {
        Map<String, Object> map = new LinkedHashMap<>();
        for (int i = 0; i < pairs.length; i += 2) {
            map.put((String) pairs[i], pairs[i + 1]);
        }
        return map;
    }

    static String hex(byte[] bytes) {
        StringBuilder out = new StringBuilder(bytes.length * 2);
        for (byte b : bytes) {
            out.append(Character.forDigit((b >> 4) & 15, 16)).append(Character.forDigit(b & 15, 16));
        }
        return out.toString();
    }

    private static String json(Object value) {
        if (value instanceof Map<?, ?> map) {
            StringJoiner out = new StringJoiner(",", "{", "}");
            map.forEach((key, item) -> out.add(quoted(key.toString()) + ":" + json(item)));
            return out.toString();
        }
        if (value instanceof List<?> list) {
            StringJoiner out = new StringJoiner(",", "[", "]");
            list.forEach(item -> out.add(json(item)));
            return out.toString();
        }
        if (value instanceof byte[] bytes) {
            return quoted(hex(bytes));
        }
        if (value == null || value instanceof Number || value instanceof Boolean) {
            return String.valueOf(value);
        }
        return quoted(value.toString());
    }

    private static String quoted(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c < 0x20 || c > 0x7e) {
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        return out.append('"').toString();
    }
}
