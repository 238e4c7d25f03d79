package golden;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/** The fixed values that all cases are made of. */
final class Values {
    static final String TOPIC = "golden_topic";
    static final String GROUP = "golden_group";
    static final String BROKER = "broker-a";
    static final String CLUSTER = "DefaultCluster";
    static final long BORN_AT_MS = 1_700_000_000_123L;
    static final long STORED_AT_MS = 1_700_000_000_456L;
    static final byte[] BODY = "Hello RocketMQ \u4f60\u597d".getBytes(StandardCharsets.UTF_8);

    private Values() {
    }

    static InetSocketAddress host(String address, int port) throws Exception {
        return new InetSocketAddress(InetAddress.getByName(address), port);
    }

    static Map<String, String> properties() {
        Map<String, String> properties = new LinkedHashMap<>();
        properties.put("KEYS", "order-1 order-2");
        properties.put("UNIQ_KEY", "7F00000100001234567812345678ABCD");
        properties.put("WAIT", "true");
        properties.put("TAGS", "TagA");
        properties.put("user", "\u4f60\u597d = \"1\"");
        return properties;
    }
}
