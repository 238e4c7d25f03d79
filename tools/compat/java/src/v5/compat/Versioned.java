package compat;

import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.compression.CompressionType;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;

/** What is spelled otherwise, or new, in 5.5. */
final class Versioned {
    private Versioned() {
    }

    static void createTopic(DefaultMQProducer producer, String topic, int queues) throws Exception {
        producer.createTopic("TBW102", topic, queues, Map.of());
    }

    static void setBroadcasting(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    static List<String> compressions() {
        return List.of("zlib", "lz4", "zstd");
    }

    static void setCompression(DefaultMQProducer producer, String compression) {
        producer.setCompressType(CompressionType.of(compression.toUpperCase(Locale.ROOT)));
    }

    static void addTo(Map<String, Scenario> all) {
        all.put("heartbeat-v2", Versioned::heartbeatV2);
    }

    /** The short heartbeat, which names its subscriptions only when the broker does not know them. */
    private static void heartbeatV2(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        world.createTopic(producer, 4);
        DefaultMQPushConsumer consumer = world.pushConsumer(world.group("reader"));
        consumer.setUseHeartbeatV2(true);
        consumer.setHeartbeatBrokerInterval(500);
        consumer.subscribe(world.topic(), "TagA");
        Inbox inbox = new Inbox();
        inbox.listen(consumer);
        consumer.start();
        World.await(() -> World.held(consumer).size() == 4, () -> "queues held: " + World.held(consumer));
        // A client that is busy with a short heartbeat skips the full one that its new queues ask for, for good: no
        // later one is full, and the broker refuses its pulls. Send it again as the client should have.
        World.await(() -> consumer.getDefaultMQPushConsumerImpl().getmQClientFactory()
            .sendHeartbeatToAllBrokerWithLockV2(true), () -> "no heartbeat was sent");
        for (int i = 0; i < 40; i++) {
            String tag = i % 2 == 0 ? "TagA" : "TagB";
            producer.send(new org.apache.rocketmq.common.message.Message(world.topic(), tag,
                Texts.text(i).getBytes()));
        }
        World.await(() -> inbox.size() >= 20, () -> "received " + inbox.size());
        World.equal(20, inbox.size(), "messages");
    }
}
