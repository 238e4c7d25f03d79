package compat;

import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.protocol.heartbeat.MessageModel;

/** What is spelled otherwise, or missing, in 4.9. */
final class Versioned {
    private Versioned() {
    }

    static void createTopic(DefaultMQProducer producer, String topic, int queues) throws Exception {
        producer.createTopic("TBW102", topic, queues);
    }

    static void setBroadcasting(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    /** 4.9 sends zlib only. */
    static List<String> compressions() {
        return List.of("zlib");
    }

    static void setCompression(DefaultMQProducer producer, String compression) {
        World.equal("zlib", compression, "compression");
    }

    static void addTo(Map<String, Scenario> all) {
        // 4.9 has nothing that 5.5 lacks.
    }
}
