package golden;

import java.util.concurrent.ConcurrentMap;
import org.apache.rocketmq.common.DataVersion;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.protocol.body.TopicConfigSerializeWrapper;

/** What only 4.9 has. */
final class Versioned {
    private Versioned() {
    }

    static void addTo(Cases cases) {
        // 4.9 knows no second record layout and no heartbeat fingerprint.
    }

    static TopicConfigSerializeWrapper topics(ConcurrentMap<String, TopicConfig> topics, DataVersion version) {
        TopicConfigSerializeWrapper wrapper = new TopicConfigSerializeWrapper();
        wrapper.setTopicConfigTable(topics);
        wrapper.setDataVersion(version);
        return wrapper;
    }
}
