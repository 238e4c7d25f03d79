package compat;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Consumers that fetch: from any offset, with queues of their choice or with a share of the group's. */
final class PullScenarios {
    private PullScenarios() {
    }

    static void addTo(Map<String, Scenario> all) {
        all.put("lite-pull-subscribe", PullScenarios::liteSubscribe);
        all.put("lite-pull-assign", PullScenarios::liteAssign);
        all.put("pull-seek", PullScenarios::pullSeek);
    }

    @SuppressWarnings("deprecation")
    private static void pullSeek(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        MessageQueue queue = world.createTopic(producer, 4).get(2);
        for (int i = 0; i < 100; i++) {
            producer.send(Texts.message(world.topic(), i), queue);
        }
        World.awaitMaxOffset(producer, queue, 100);
        DefaultMQPullConsumer consumer = world.pullConsumer();
        PullResult middle = consumer.pull(queue, "*", 40, 5);
        World.equal(PullStatus.FOUND, middle.getPullStatus(), "status");
        World.equal(5, middle.getMsgFoundList().size(), "messages");
        World.equal(45L, middle.getNextBeginOffset(), "next offset");
        World.equal(0L, middle.getMinOffset(), "least offset");
        World.equal(100L, middle.getMaxOffset(), "greatest offset");
        for (int i = 0; i < 5; i++) {
            MessageExt message = middle.getMsgFoundList().get(i);
            World.equal(Texts.text(40 + i), Inbox.body(message), "body");
            World.equal(40L + i, message.getQueueOffset(), "offset");
        }
        World.equal(Texts.texts(0, 100), pullAll(consumer, queue), "bodies");
        PullResult end = consumer.pull(queue, "*", 100, 5);
        World.equal(PullStatus.NO_NEW_MSG, end.getPullStatus(), "status at the end");
        PullResult beyond = consumer.pull(queue, "*", 5000, 5);
        World.equal(PullStatus.OFFSET_ILLEGAL, beyond.getPullStatus(), "status beyond the end");
        World.equal(100L, beyond.getNextBeginOffset(), "offset to go on with");
        consumer.updateConsumeOffset(queue, 45);
        consumer.getOffsetStore().persist(queue);
        World.await(() -> fetchOffset(consumer, queue) == 45, () -> "stored " + fetchOffset(consumer, queue));
    }

    @SuppressWarnings("deprecation")
    private static long fetchOffset(DefaultMQPullConsumer consumer, MessageQueue queue) {
        try {
            return consumer.fetchConsumeOffset(queue, true);
        } catch (Exception reason) {
            throw new AssertionError(reason.toString(), reason);
        }
    }

    @SuppressWarnings("deprecation")
    private static List<String> pullAll(DefaultMQPullConsumer consumer, MessageQueue queue) throws Exception {
        List<String> bodies = new ArrayList<>();
        PullResult result = consumer.pull(queue, "*", 0, 32);
        while (result.getPullStatus() == PullStatus.FOUND) {
            result.getMsgFoundList().forEach(m -> bodies.add(Inbox.body(m)));
            result = consumer.pull(queue, "*", result.getNextBeginOffset(), 32);
        }
        return bodies;
    }

    private static void liteAssign(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        List<MessageQueue> queues = world.createTopic(producer, 2);
        for (int i = 0; i < 60; i++) {
            producer.send(Texts.message(world.topic(), i), queues.get(0));
        }
        DefaultLitePullConsumer consumer = world.litePullConsumer(world.group("reader"));
        consumer.setAutoCommit(false);
        consumer.start();
        consumer.assign(queues);
        // Only now, since this client may hand out what a pull under way brings after a seek.
        awaitBodies(consumer, Texts.texts(0, 60));
        consumer.seek(queues.get(0), 20);
        awaitBodies(consumer, Texts.texts(20, 60));
        consumer.seekToBegin(queues.get(0));
        awaitBodies(consumer, Texts.texts(0, 60));
        consumer.commitSync(Map.of(queues.get(0), 33L), true);
        World.await(() -> committed(consumer, queues.get(0)) == 33, () -> "" + committed(consumer, queues.get(0)));
        producer.send(Texts.message(world.topic(), 60), queues.get(1));
        awaitBodies(consumer, Texts.texts(60, 61));
    }

    private static long committed(DefaultLitePullConsumer consumer, MessageQueue queue) {
        try {
            return consumer.committed(queue);
        } catch (Exception reason) {
            throw new AssertionError(reason.toString(), reason);
        }
    }

    /** Two lite consumers share a group one after the other; the second goes on where the first committed. */
    private static void liteSubscribe(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        world.createTopic(producer, 4);
        for (int round = 0; round < 2; round++) {
            for (int i = round * 40; i < round * 40 + 40; i++) {
                producer.send(Texts.message(world.topic(), i));
            }
            DefaultLitePullConsumer consumer = world.litePullConsumer(world.group("reader"));
            consumer.setAutoCommit(false);
            consumer.subscribe(world.topic(), "*");
            consumer.start();
            awaitBodies(consumer, Texts.texts(round * 40, round * 40 + 40));
            consumer.commitSync();
            // Shutting down stores what was committed.
            consumer.shutdown();
        }
    }

    private static void awaitBodies(DefaultLitePullConsumer consumer, List<String> expected) throws Exception {
        List<String> bodies = new ArrayList<>();
        long deadline = System.currentTimeMillis() + World.WAIT_MS;
        while (bodies.size() < expected.size() && System.currentTimeMillis() < deadline) {
            consumer.poll(200).forEach(m -> bodies.add(Inbox.body(m)));
        }
        bodies.sort(null);
        World.check(expected.equals(bodies), "expected " + expected.size() + " messages from "
            + expected.get(0) + ", found " + bodies.size() + ": " + bodies);
    }
}
