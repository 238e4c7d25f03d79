package compat;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.zip.CRC32;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.consumer.store.ReadOffsetType;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** Push consumers: integrity, broadcasting, filters, order, progress, latency. */
final class ConsumeScenarios {
    private static final int MANY = 2000;
    private static final int LARGEST_BODY_BYTES = 16 * 1024;

    private ConsumeScenarios() {
    }

    static void addTo(Map<String, Scenario> all) {
        all.put("intact-2000", ConsumeScenarios::intact);
        all.put("orderly", ConsumeScenarios::orderly);
        all.put("broadcasting", ConsumeScenarios::broadcasting);
        all.put("resume", ConsumeScenarios::resume);
        all.put("long-poll", ConsumeScenarios::longPoll);
        all.put("tag-filter", ConsumeScenarios::tagFilter);
        all.put("reconsume-later", ConsumeScenarios::reconsumeLater);
        all.put("reconsume-orderly", ConsumeScenarios::reconsumeOrderly);
        all.put("dead-letter-orderly", ConsumeScenarios::deadLetterOrderly);
        all.put("dead-letter-concurrent", ConsumeScenarios::deadLetterConcurrent);
    }

    /** 2,000 messages of random sizes arrive unchanged, exactly once, in the order of their sending per queue. */
    private static void intact(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        List<MessageQueue> queues = world.createTopic(producer, 4);
        DefaultMQPushConsumer consumer = world.pushConsumer(world.group("reader"));
        consumer.subscribe(world.topic(), "*");
        Inbox inbox = new Inbox();
        inbox.listen(consumer);
        consumer.start();
        ConcurrentLinkedQueue<Throwable> failures = new ConcurrentLinkedQueue<>();
        List<Thread> senders = new ArrayList<>();
        for (MessageQueue queue : queues) {
            Thread sender = new Thread(() -> sendMany(producer, world.topic(), queue, failures));
            sender.start();
            senders.add(sender);
        }
        for (Thread sender : senders) {
            sender.join();
        }
        World.check(failures.isEmpty(), "failed sends: " + failures);
        World.await(() -> inbox.size() >= MANY, () -> "received " + inbox.size());
        World.equal(MANY, inbox.size(), "messages");
        inbox.byQueue().forEach((queue, messages) -> {
            World.equal(MANY / 4, messages.size(), "messages in queue " + queue);
            for (int i = 0; i < messages.size(); i++) {
                MessageExt message = messages.get(i);
                World.equal((long) i, message.getQueueOffset(), "offset");
                World.equal(String.valueOf(i), message.getUserProperty("number"), "order in queue " + queue);
                World.equal(message.getUserProperty("crc"), crc(message.getBody()), "checksum of the body");
            }
        });
    }

    private static void sendMany(
        DefaultMQProducer producer, String topic, MessageQueue queue, ConcurrentLinkedQueue<Throwable> failures) {
        Random random = new Random(queue.getQueueId());
        try {
            for (int i = 0; i < MANY / 4; i++) {
                byte[] body = new byte[1 + random.nextInt(LARGEST_BODY_BYTES)];
                random.nextBytes(body);
                Message message = new Message(topic, body);
                message.putUserProperty("number", String.valueOf(i));
                message.putUserProperty("crc", crc(body));
                producer.send(message, queue);
            }
        } catch (Exception reason) {
            failures.add(reason);
        }
    }

    private static String crc(byte[] body) {
        CRC32 crc = new CRC32();
        crc.update(body);
        return Long.toHexString(crc.getValue());
    }

    /** Two orderly consumers: each queue is delivered in order by one thread at a time. */
    private static void orderly(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        List<MessageQueue> queues = world.createTopic(producer, 4);
        Inbox inbox = new Inbox();
        ConcurrentLinkedQueue<String> faults = new ConcurrentLinkedQueue<>();
        Map<Integer, AtomicInteger> active = new ConcurrentHashMap<>();
        List<DefaultMQPushConsumer> consumers = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            DefaultMQPushConsumer consumer = world.pushConsumer(world.group("reader"));
            consumer.subscribe(world.topic(), "*");
            consumer.registerMessageListener((MessageListenerOrderly) (received, context) -> {
                AtomicInteger inside = active.computeIfAbsent(received.get(0).getQueueId(), q -> new AtomicInteger());
                if (inside.incrementAndGet() != 1) {
                    faults.add("two threads in queue " + received.get(0).getQueueId());
                }
                received.forEach(inbox::put);
                inside.decrementAndGet();
                return ConsumeOrderlyStatus.SUCCESS;
            });
            consumer.start();
            consumers.add(consumer);
            // The second one starts when the first has taken all queues: on its way there it holds two for a moment.
            World.await(World.LOCK_WAIT_MS, () -> World.held(consumers) >= 4,
                () -> consumers.size() + " consumers hold " + World.held(consumers) + " queues");
        }
        World.await(World.LOCK_WAIT_MS, () -> consumers.stream().allMatch(c -> World.held(c).size() == 2),
            () -> "queues held: " + consumers.stream().map(World::held).toList());
        for (int i = 0; i < 200; i++) {
            producer.send(Texts.message(world.topic(), i), queues.get(i % 4));
        }
        inbox.awaitExactly(Texts.texts(0, 200));
        World.check(faults.isEmpty(), String.valueOf(faults));
        int[] last = {-1, -1, -1, -1};
        for (MessageExt message : inbox.all()) {
            int number = Integer.parseInt(Inbox.body(message).substring(1));
            World.check(number > last[message.getQueueId()], "out of order: " + number);
            last[message.getQueueId()] = number;
        }
    }

    private static void broadcasting(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        world.createTopic(producer, 4);
        List<Inbox> inboxes = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            DefaultMQPushConsumer consumer = world.pushConsumer(world.group("reader"));
            Versioned.setBroadcasting(consumer);
            consumer.subscribe(world.topic(), "*");
            Inbox inbox = new Inbox();
            inbox.listen(consumer);
            consumer.start();
            inboxes.add(inbox);
        }
        for (int i = 0; i < 100; i++) {
            producer.send(Texts.message(world.topic(), i));
        }
        for (Inbox inbox : inboxes) {
            inbox.awaitExactly(Texts.texts(0, 100));
        }
    }

    /** A new consumer of the group goes on where the closed one stopped. */
    private static void resume(World world) throws Exception {
        DefaultMQAdminExt admin = world.admin();
        DefaultMQProducer producer = world.producer();
        world.createTopic(producer, 4);
        for (int round = 0; round < 3; round++) {
            for (int i = round * 50; i < round * 50 + 50; i++) {
                producer.send(Texts.message(world.topic(), i));
            }
            Inbox inbox = new Inbox();
            DefaultMQPushConsumer consumer = world.pushConsumer(world.group("reader"));
            consumer.subscribe(world.topic(), "*");
            inbox.listen(consumer);
            consumer.start();
            inbox.awaitExactly(Texts.texts(round * 50, round * 50 + 50));
            int all = round * 50 + 50;
            World.await(() -> progress(consumer) == all, () -> "progress is " + progress(consumer));
            // Shutting down stores the progress: by one-way requests, which a broker may handle a moment later.
            consumer.shutdown();
            World.await(() -> stored(world, admin) == all, () -> "stored progress is " + stored(world, admin));
        }
    }

    /** The progress of the group as the broker knows it. */
    private static long stored(World world, DefaultMQAdminExt admin) {
        var stats = AdminScenarios.get(() -> admin.examineConsumeStats(world.group("reader"), world.topic()));
        return stats.getOffsetTable().values().stream().mapToLong(one -> one.getConsumerOffset()).sum();
    }

    /** Messages of all queues whose listener has answered. */
    static long progress(DefaultMQPushConsumer consumer) {
        return World.held(consumer).stream().mapToLong(queue -> Math.max(0,
            consumer.getDefaultMQPushConsumerImpl().getOffsetStore()
                .readOffset(queue, ReadOffsetType.READ_FROM_MEMORY))).sum();
    }

    /** A consumer that waits for messages gets one at once. */
    private static void longPoll(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        world.createTopic(producer, 4);
        DefaultMQPushConsumer consumer = world.pushConsumer(world.group("reader"));
        consumer.subscribe(world.topic(), "*");
        Inbox inbox = new Inbox();
        inbox.listen(consumer);
        consumer.start();
        World.await(() -> World.held(consumer).size() == 4, () -> "queues held: " + World.held(consumer));
        long slowestMs = 0;
        for (int i = 0; i < 20; i++) {
            long began = System.nanoTime();
            producer.send(Texts.message(world.topic(), i));
            int expected = i + 1;
            World.await(() -> inbox.size() == expected, () -> "received " + inbox.size() + " of " + expected);
            if (i > 0) {
                slowestMs = Math.max(slowestMs, (System.nanoTime() - began) / 1_000_000);
            }
        }
        // Without being woken a held pull is looked at every 5 s at best.
        World.check(slowestMs < 4_500, "the slowest message took " + slowestMs + " ms");
    }

    /** Only matching tags arrive, also when another tag has the same hash code. */
    private static void tagFilter(World world) throws Exception {
        World.equal("Aa".hashCode(), "BB".hashCode(), "hash codes");
        DefaultMQProducer producer = world.producer();
        world.createTopic(producer, 4);
        List<String> expected = new ArrayList<>();
        String[] tags = {"Aa", "BB", "TagC", "TagD", null};
        for (int i = 0; i < 200; i++) {
            String tag = tags[i % tags.length];
            producer.send(new Message(world.topic(), tag, SendScenarios.utf8(Texts.text(i))));
            if ("Aa".equals(tag) || "TagC".equals(tag)) {
                expected.add(Texts.text(i));
            }
        }
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = world.pushConsumer(world.group("reader"));
        consumer.subscribe(world.topic(), "Aa || TagC");
        inbox.listen(consumer);
        consumer.start();
        inbox.awaitExactly(expected);
        // A message behind all the others shows that nothing else was on its way.
        SendResult last = producer.send(new Message(world.topic(), "TagC", SendScenarios.utf8("last")));
        World.await(() -> inbox.size() > expected.size(), () -> "the last message is missing: " + last);
        World.equal(expected.size() + 1, inbox.size(), "messages");
    }

    /**
     * A message whose listener answers "later" comes again, and nothing else is held up or lost. A broker that takes it
     * back delivers it through the group's retry topic. From one that refuses (ours: code 36 is "not supported", and so
     * is the delayed message that the client sends in its place) the client keeps it, and gives it to the listener again
     * five seconds later.
     */
    private static void reconsumeLater(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        world.createTopic(producer, 4);
        DefaultMQPushConsumer consumer = world.pushConsumer(world.group("reader"));
        consumer.subscribe(world.topic(), "*");
        Map<String, AtomicInteger> tries = new ConcurrentHashMap<>();
        Inbox inbox = new Inbox();
        consumer.registerMessageListener((MessageListenerConcurrently) (received, context) -> {
            // The least delay that there is.
            context.setDelayLevelWhenNextConsume(1);
            for (MessageExt message : received) {
                int before = tries.computeIfAbsent(Inbox.body(message), b -> new AtomicInteger()).getAndIncrement();
                if (isRefused(message) && before == 0) {
                    return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                }
                inbox.put(message);
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        for (int i = 0; i < 40; i++) {
            producer.send(Texts.message(world.topic(), i));
        }
        inbox.awaitExactly(Texts.texts(0, 40));
        for (MessageExt message : inbox.all()) {
            int expected = isRefused(message) ? 1 : 0;
            World.equal(expected, message.getReconsumeTimes(), "how often " + Inbox.body(message) + " came before");
            World.equal(expected + 1, tries.get(Inbox.body(message)).get(), "tries of " + Inbox.body(message));
        }
        // Only then has the group nothing left: progress never passes a message that is still to come again.
        World.await(() -> progress(consumer) == 40, () -> "progress is " + progress(consumer));
        consumer.shutdown();
        producer.send(Texts.message(world.topic(), 40));
        DefaultMQPushConsumer next = world.pushConsumer(world.group("reader"));
        next.subscribe(world.topic(), "*");
        Inbox rest = new Inbox();
        rest.listen(next);
        next.start();
        rest.awaitExactly(Texts.texts(40, 41));
    }

    private static boolean isRefused(MessageExt message) {
        return Integer.parseInt(Inbox.body(message).substring(1)) % 10 == 3;
    }

    /** An orderly listener that asks for a pause gets the same message again, before any later one of its queue. */
    private static void reconsumeOrderly(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        MessageQueue queue = world.createTopic(producer, 1).get(0);
        DefaultMQPushConsumer consumer = world.pushConsumer(world.group("reader"));
        consumer.subscribe(world.topic(), "*");
        Inbox inbox = new Inbox();
        AtomicInteger pauses = new AtomicInteger();
        consumer.registerMessageListener((MessageListenerOrderly) (received, context) -> {
            if (isRefused(received.get(0)) && received.get(0).getReconsumeTimes() == 0) {
                pauses.incrementAndGet();
                return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
            }
            received.forEach(inbox::put);
            return ConsumeOrderlyStatus.SUCCESS;
        });
        consumer.start();
        for (int i = 0; i < 20; i++) {
            producer.send(Texts.message(world.topic(), i), queue);
        }
        World.await(() -> inbox.size() >= 20, () -> "received " + inbox.size());
        World.equal(Texts.texts(0, 20), inbox.all().stream().map(Inbox::body).toList(), "bodies in their order");
        World.equal(2, pauses.get(), "pauses");
    }

    /**
     * A message that an orderly listener refuses for good is tried as often as the consumer allows, then it lies in the
     * group's dead-letter topic, and those behind it in its queue are consumed.
     */
    private static void deadLetterOrderly(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        MessageQueue queue = world.createTopic(producer, 1).get(0);
        DefaultMQPushConsumer consumer = world.pushConsumer(world.group("reader"));
        consumer.setMaxReconsumeTimes(2);
        consumer.subscribe(world.topic(), "*");
        Inbox inbox = new Inbox();
        AtomicInteger tries = new AtomicInteger();
        consumer.registerMessageListener((MessageListenerOrderly) (received, context) -> {
            if (isRefused(received.get(0))) {
                tries.incrementAndGet();
                return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
            }
            received.forEach(inbox::put);
            return ConsumeOrderlyStatus.SUCCESS;
        });
        consumer.start();
        for (int i = 0; i < 6; i++) {
            producer.send(Texts.message(world.topic(), i), queue);
        }
        List<String> wanted = List.of(Texts.text(0), Texts.text(1), Texts.text(2), Texts.text(4), Texts.text(5));
        inbox.awaitExactly(wanted);
        World.equal(wanted, inbox.all().stream().map(Inbox::body).toList(), "bodies in their order");
        World.equal(3, tries.get(), "tries of the refused one");
        awaitDeadLetter(world);
    }

    /** As with an orderly listener, but that the message is out of nobody's way while it is tried again. */
    private static void deadLetterConcurrent(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        MessageQueue queue = world.createTopic(producer, 1).get(0);
        DefaultMQPushConsumer consumer = world.pushConsumer(world.group("reader"));
        consumer.setMaxReconsumeTimes(1);
        consumer.subscribe(world.topic(), "*");
        AtomicInteger tries = new AtomicInteger();
        consumer.registerMessageListener((MessageListenerConcurrently) (received, context) -> {
            context.setDelayLevelWhenNextConsume(1);
            if (isRefused(received.get(0))) {
                tries.incrementAndGet();
                return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        for (int i = 0; i < 6; i++) {
            producer.send(Texts.message(world.topic(), i), queue);
        }
        // Clients look for a topic that was not there yet only every 30 s.
        World.await(() -> progress(consumer) == 6, () -> "progress is " + progress(consumer));
        World.equal(2, tries.get(), "tries of the refused one");
        awaitDeadLetter(world);
    }

    /** The refused message, and no other, lies in the dead-letter topic of the readers. */
    private static void awaitDeadLetter(World world) throws Exception {
        DefaultMQPushConsumer undertaker = world.pushConsumer(world.group("undertaker"));
        undertaker.subscribe("%DLQ%" + world.group("reader"), "*");
        Inbox dead = new Inbox();
        dead.listen(undertaker);
        undertaker.start();
        dead.awaitExactly(List.of(Texts.text(3)));
        World.equal(world.topic(), dead.all().get(0).getProperty("RETRY_TOPIC"), "where it came from");
    }
}
