package compat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.MessageExt;

/** Keeps what consumers received, in the order of arrival. */
final class Inbox {
    private final List<MessageExt> messages = new ArrayList<>();

    synchronized void put(MessageExt message) {
        messages.add(message);
    }

    synchronized List<MessageExt> all() {
        return new ArrayList<>(messages);
    }

    synchronized int size() {
        return messages.size();
    }

    /** Registers a concurrent listener that puts everything here and answers success. */
    void listen(DefaultMQPushConsumer consumer) {
        consumer.registerMessageListener((MessageListenerConcurrently) (received, context) -> {
            received.forEach(this::put);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
    }

    /** The bodies as text, sorted; doubles are kept. */
    List<String> bodies() {
        return all().stream().map(Inbox::body).sorted().collect(Collectors.toList());
    }

    /** Waits until exactly these bodies are here. */
    void awaitExactly(List<String> bodies) throws InterruptedException {
        List<String> expected = bodies.stream().sorted().collect(Collectors.toList());
        World.await(() -> size() >= expected.size(),
            () -> "expected " + expected.size() + " messages, found " + size() + ": " + difference(expected));
        World.check(expected.equals(bodies()), "other messages than sent: " + difference(expected));
    }

    /** What is missing, and what came too often with queue and offset of each arrival. */
    private String difference(List<String> expected) {
        List<String> missing = new ArrayList<>(expected);
        bodies().forEach(missing::remove);
        List<String> tooMany = bodies();
        expected.forEach(tooMany::remove);
        List<String> arrivals = all().stream().filter(m -> tooMany.contains(body(m)))
            .map(m -> body(m) + " in queue " + m.getQueueId() + " at " + m.getQueueOffset()).toList();
        return "missing " + shortened(missing) + ", too many " + shortened(arrivals);
    }

    private static List<String> shortened(List<String> texts) {
        return texts.stream().limit(10).toList();
    }

    /** The messages of each queue by queue offset; a queue offset twice is a failure. */
    Map<Integer, List<MessageExt>> byQueue() {
        Map<Integer, List<MessageExt>> queues = new TreeMap<>();
        all().forEach(m -> queues.computeIfAbsent(m.getQueueId(), q -> new ArrayList<>()).add(m));
        queues.forEach((queue, list) -> {
            list.sort(Comparator.comparingLong(MessageExt::getQueueOffset));
            for (int i = 1; i < list.size(); i++) {
                long before = list.get(i - 1).getQueueOffset();
                World.check(before < list.get(i).getQueueOffset(),
                    "queue " + queue + " delivered offset " + before + " twice");
            }
        });
        return queues;
    }

    static String body(MessageExt message) {
        return new String(message.getBody(), StandardCharsets.UTF_8);
    }
}
