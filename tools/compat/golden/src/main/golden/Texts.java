package golden;

import static golden.Cases.facts;

import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.apache.rocketmq.common.message.MessageDecoder;

/** Property strings and tag hash codes. */
final class Texts {
    private Texts() {
    }

    static void addTo(Cases cases) {
        properties(cases, "properties-usual", Values.properties());
        properties(cases, "properties-empty", Map.of());
        Map<String, String> odd = new LinkedHashMap<>();
        odd.put("empty", "");
        odd.put("emoji", "\ud83d\ude00");
        properties(cases, "properties-odd", odd);
        List<Map<String, Object>> hashes = Stream.of(
                "", "a", "TagA", "TagB", "*", "a || b", "\u6807\u7b7e", "\ud83d\ude00", "Aa", "BB",
                "a-rather-long-tag-whose-hash-wraps-around-thirty-two-bits-several-times")
            .map(text -> facts("text", text, "hash", text.hashCode())).toList();
        cases.add("tag-hashes", "hashes", null, facts("hashes", hashes));
    }

    private static void properties(Cases cases, String name, Map<String, String> map) {
        String text = MessageDecoder.messageProperties2String(map);
        Map<String, String> read = new TreeMap<>(MessageDecoder.string2messageProperties(text));
        cases.add(name, "properties", text.getBytes(StandardCharsets.UTF_8),
            facts("written", List.copyOf(map.entrySet().stream()
                .map(entry -> List.of(entry.getKey(), entry.getValue())).toList()), "read", read));
    }
}
