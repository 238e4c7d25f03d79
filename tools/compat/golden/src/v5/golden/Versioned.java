package golden;

import java.nio.ByteBuffer;
import java.util.concurrent.ConcurrentMap;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExtBrokerInner;
import org.apache.rocketmq.common.message.MessageVersion;
import org.apache.rocketmq.remoting.protocol.DataVersion;
import org.apache.rocketmq.remoting.protocol.body.TopicConfigAndMappingSerializeWrapper;
import org.apache.rocketmq.remoting.protocol.heartbeat.HeartbeatData;
import org.apache.rocketmq.remoting.protocol.heartbeat.SubscriptionData;
import org.apache.rocketmq.store.MessageExtEncoder;
import org.apache.rocketmq.store.config.MessageStoreConfig;

/** What only 5.x has: the record layout for long topics as the broker writes it, fingerprints of heartbeats. */
final class Versioned {
    private Versioned() {
    }

    static void addTo(Cases cases) throws Exception {
        stored(cases, "record-broker-v1", Values.TOPIC, MessageVersion.MESSAGE_VERSION_V1);
        stored(cases, "record-broker-v2", "t".repeat(200), MessageVersion.MESSAGE_VERSION_V2);
        SubscriptionData subscription = new SubscriptionData(Values.TOPIC, "*");
        subscription.setSubVersion(Values.BORN_AT_MS);
        HeartbeatData heartbeat = Bodies.heartbeat(subscription, Values.GROUP);
        heartbeat.setHeartbeatFingerprint(123_456);
        heartbeat.setWithoutSub(true);
        cases.add("json-heartbeat-v2", "json", heartbeat.encode(), Cases.facts("client_id", "10.0.0.7@4321#99",
            "consumers", java.util.List.of(Values.GROUP), "fingerprint", 123_456, "without_sub", true));
    }

    /** The encoder leaves queue offset and position empty; they are filled in here as the broker does on append. */
    private static void stored(Cases cases, String name, String topic, MessageVersion version) throws Exception {
        MessageExtBrokerInner message = new MessageExtBrokerInner();
        message.setTopic(topic);
        message.setVersion(version);
        message.setBody(Values.BODY);
        message.setBodyCRC(org.apache.rocketmq.common.UtilAll.crc32(Values.BODY));
        message.setQueueId(1);
        message.setBornTimestamp(Values.BORN_AT_MS);
        message.setBornHost(Values.host("10.1.2.3", 40123));
        message.setStoreTimestamp(Values.STORED_AT_MS);
        message.setStoreHost(Values.host("127.0.0.1", 10911));
        message.setPropertiesString(MessageDecoder.messageProperties2String(Values.properties()));
        MessageExtEncoder encoder = new MessageExtEncoder(new MessageStoreConfig());
        if (encoder.encode(message) != null) {
            throw new IllegalStateException("the encoder refused " + name);
        }
        ByteBuffer buffer = encoder.getEncoderBuffer();
        buffer.putLong(MessageDecoder.QUEUE_OFFSET_POSITION, 5L);
        buffer.putLong(MessageDecoder.PHY_POS_POSITION, 4096L);
        byte[] bytes = new byte[buffer.getInt(0)];
        buffer.get(0, bytes);
        cases.add(name, "record", bytes, Records.describe(bytes));
    }

    static TopicConfigAndMappingSerializeWrapper topics(ConcurrentMap<String, TopicConfig> topics, DataVersion version) {
        TopicConfigAndMappingSerializeWrapper wrapper = new TopicConfigAndMappingSerializeWrapper();
        wrapper.setTopicConfigTable(topics);
        wrapper.setDataVersion(version);
        wrapper.setMappingDataVersion(Registration.dataVersion());
        return wrapper;
    }
}
