package compat;

import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.MessageQueue;

/** What a broker must still know when its store is opened again: one scenario before, the other after. */
final class ReopenScenarios {
    private static final int CONSUMED = 120;
    private static final int SENT = 300;
    private static final int QUEUES = 7;

    private ReopenScenarios() {
    }

    static void addTo(Map<String, Scenario> all) {
        all.put("reopen-write", ReopenScenarios::write);
        all.put("reopen-read", ReopenScenarios::read);
    }

    private static String topic(World world) {
        return "T-reopen-" + world.runId;
    }

    private static String group(World world) {
        return "G-reopen-" + world.runId;
    }

    /** Sends, consumes a part, and sends the rest. */
    private static void write(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        Versioned.createTopic(producer, topic(world), QUEUES);
        World.await(() -> World.publishQueues(producer, topic(world)).size() == QUEUES, () -> "no route");
        send(world, producer, 0, CONSUMED);
        consume(world, 0, CONSUMED);
        send(world, producer, CONSUMED, SENT);
    }

    private static void send(World world, DefaultMQProducer producer, int from, int to) throws Exception {
        for (int i = from; i < to; i++) {
            MessageQueue queue = World.publishQueues(producer, topic(world)).get(i % QUEUES);
            producer.send(Texts.message(topic(world), i), queue);
        }
    }

    /** The group goes on where it was; nothing before it is gone, and queues go on with their next offset. */
    private static void read(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        World.await(() -> World.publishQueues(producer, topic(world)).size() == QUEUES,
            () -> "queues: " + World.publishQueues(producer, topic(world)));
        for (MessageQueue queue : World.publishQueues(producer, topic(world))) {
            long expected = (SENT - queue.getQueueId() + QUEUES - 1) / QUEUES;
            World.equal(expected, producer.maxOffset(queue), "greatest offset of queue " + queue.getQueueId());
            World.equal(0L, producer.minOffset(queue), "least offset");
        }
        consume(world, CONSUMED, SENT);
        Inbox all = new Inbox();
        DefaultMQPushConsumer other = world.pushConsumer(group(world) + "-other");
        other.subscribe(topic(world), "*");
        all.listen(other);
        other.start();
        all.awaitExactly(Texts.texts(0, SENT));
        send(world, producer, SENT, SENT + QUEUES);
        consume(world, SENT, SENT + QUEUES);
    }

    private static void consume(World world, int from, int to) throws Exception {
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = world.pushConsumer(group(world));
        consumer.subscribe(topic(world), "*");
        inbox.listen(consumer);
        consumer.start();
        inbox.awaitExactly(Texts.texts(from, to));
        World.await(() -> ConsumeScenarios.progress(consumer) == to,
            () -> "progress is " + ConsumeScenarios.progress(consumer));
        consumer.shutdown();
    }
}
