package compat;

import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Large, too large and compressed bodies, and the second header encoding. */
final class BodyScenarios {
    private static final int LARGEST_BYTES = 4 * 1024 * 1024;
    /** MESSAGE_ILLEGAL. */
    private static final int ILLEGAL = 13;
    /** Room for a busy machine, far from the 15 s that a send may take. */
    private static final long AT_ONCE_MS = 8_000;

    private BodyScenarios() {
    }

    static void addTo(Map<String, Scenario> all) {
        all.put("body-4-mib", BodyScenarios::largest);
        all.put("body-oversize", BodyScenarios::oversize);
        all.put("binary-headers", BodyScenarios::binaryHeaders);
        for (String compression : Versioned.compressions()) {
            all.put("compression-" + compression, world -> compressed(world, compression));
        }
    }

    private static void largest(World world) throws Exception {
        DefaultMQProducer producer = uncompressed(world);
        world.createTopic(producer, 1);
        byte[] body = random(LARGEST_BYTES);
        for (int i = 0; i < 3; i++) {
            producer.send(new Message(world.topic(), body));
        }
        Inbox inbox = listen(world);
        World.await(() -> inbox.size() == 3, () -> "received " + inbox.size());
        inbox.all().forEach(m -> World.check(Arrays.equals(body, m.getBody()), "the body differs"));
    }

    private static void oversize(World world) throws Exception {
        DefaultMQProducer producer = uncompressed(world);
        world.createTopic(producer, 1);
        long began = System.nanoTime();
        try {
            producer.send(new Message(world.topic(), random(LARGEST_BYTES + 256 * 1024)));
            throw new AssertionError("a body of 4.25 MiB was taken");
        } catch (MQBrokerException refused) {
            World.equal(ILLEGAL, refused.getResponseCode(), "code");
        }
        long tookMs = (System.nanoTime() - began) / 1_000_000;
        World.check(tookMs < AT_ONCE_MS, "the refusal took " + tookMs + " ms");
        // The connection is still good.
        producer.send(Texts.message(world.topic(), 1));
    }

    private static DefaultMQProducer uncompressed(World world) throws Exception {
        DefaultMQProducer producer = world.unstartedProducer();
        producer.setMaxMessageSize(2 * LARGEST_BYTES);
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        producer.start();
        return producer;
    }

    private static byte[] random(int length) {
        byte[] body = new byte[length];
        new Random(length).nextBytes(body);
        return body;
    }

    private static void compressed(World world, String compression) throws Exception {
        DefaultMQProducer producer = world.unstartedProducer();
        Versioned.setCompression(producer, compression);
        producer.start();
        world.createTopic(producer, 1);
        byte[] body = "All work and no play makes Jack a dull boy. ".repeat(5000).getBytes();
        producer.send(new Message(world.topic(), body));
        Inbox inbox = listen(world);
        World.await(() -> inbox.size() == 1, () -> "nothing received");
        MessageExt message = inbox.all().get(0);
        World.check(Arrays.equals(body, message.getBody()), "the body differs");
        World.check(message.getStoreSize() < body.length / 10, "stored in " + message.getStoreSize() + " bytes");
    }

    private static Inbox listen(World world) throws Exception {
        DefaultMQPushConsumer consumer = world.pushConsumer(world.group("reader"));
        consumer.subscribe(world.topic(), "*");
        Inbox inbox = new Inbox();
        inbox.listen(consumer);
        consumer.start();
        return inbox;
    }

    /** The encoding is a setting of the whole process, hence a child. */
    private static void binaryHeaders(World world) throws Exception {
        try (Child child = Child.start("-Drocketmq.serialize.type=ROCKETMQ", "--namesrv", world.namesrv,
            "--run-id", world.runId + "-binary",
            "--scenario", "send-sync,batch,clustering,orderly,pull-seek,tag-filter,search-offset")) {
            int status = child.await();
            World.check(status == 0, child.lines().stream().filter(l -> !l.startsWith("PASS")).toList().toString());
            World.equal(7, child.all("PASS ").size(), "scenarios passed");
        }
    }
}
