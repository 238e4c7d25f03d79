package compat;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.impl.consumer.ProcessQueue;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.RPCHook;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** What a scenario works with: clients of its own that are closed at its end, names of its own, and waiting. */
final class World implements AutoCloseable {
    /** Longest wait for anything; below the 20 s after which clients rebalance without being told. */
    static final long WAIT_MS = 15_000;
    /**
     * Longest wait for a share of locked queues: a client that renews its locks while it gives a queue away leaves that
     * queue locked until the lock expires after 60 s, and the next owner asks again with its next rebalance.
     */
    static final long LOCK_WAIT_MS = 90_000;
    private static final long POLL_MS = 10;
    /**
     * A client that is busy with one heartbeat skips the one that announces a changed subscription, and the broker
     * refuses its pulls until the next: with the usual 30 s that is longer than any test waits.
     */
    private static final int HEARTBEAT_MS = 1_000;
    private static final AtomicInteger INSTANCES = new AtomicInteger();

    final String namesrv;
    /** Address of the broker, for administration; null in a child that does none. */
    final String broker;
    final String runId;
    final String scenario;
    private final Encoding encoding;
    private final List<Runnable> closers = new ArrayList<>();

    World(String namesrv, String broker, String runId, String scenario) {
        this.namesrv = namesrv;
        this.broker = broker;
        this.runId = runId;
        this.scenario = scenario;
        this.encoding = new Encoding(broker);
    }

    /** A topic name of this scenario and run. */
    String topic() {
        return "T-" + scenario + "-" + runId;
    }

    /** A group name of this scenario and run. */
    String group(String role) {
        return "G-" + scenario + "-" + role + "-" + runId;
    }

    /** What all clients have in common: each gets a connection of its own, as in separate processes. */
    private static void connect(ClientConfig client, String namesrv) {
        client.setNamesrvAddr(namesrv);
        client.setInstanceName(ProcessHandle.current().pid() + "-" + INSTANCES.incrementAndGet());
        client.setVipChannelEnabled(false);
        // Clients ask name servers with 3 s by themselves, and take a busy machine for one without routes.
        client.setMqClientApiTimeout((int) WAIT_MS);
    }

    DefaultMQProducer producer() throws MQClientException {
        DefaultMQProducer producer = unstartedProducer();
        producer.start();
        return producer;
    }

    /** For scenarios that set something before the start. */
    DefaultMQProducer unstartedProducer() {
        return unstartedProducer(encoding);
    }

    DefaultMQProducer unstartedProducer(RPCHook hook) {
        DefaultMQProducer producer = new DefaultMQProducer(group("producer"), hook);
        // A send that the client repeats may be stored twice; that is to be seen as a failed send, not as a double.
        producer.setRetryTimesWhenSendFailed(0);
        producer.setRetryTimesWhenSendAsyncFailed(0);
        connect(producer, namesrv);
        producer.setSendMsgTimeout((int) WAIT_MS);
        closeAtEnd(producer::shutdown);
        return producer;
    }

    /** A push consumer that reads a new group's topics from their beginning; not started. */
    DefaultMQPushConsumer pushConsumer(String group) {
        DefaultMQPushConsumer consumer = unclosedPushConsumer(namesrv, group, encoding);
        closeAtEnd(consumer::shutdown);
        return consumer;
    }

    static DefaultMQPushConsumer unclosedPushConsumer(String namesrv, String group, RPCHook hook) {
        DefaultMQPushConsumer consumer =
            new DefaultMQPushConsumer(group, hook, new AllocateMessageQueueAveragely());
        connect(consumer, namesrv);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setHeartbeatBrokerInterval(HEARTBEAT_MS);
        consumer.setConsumeThreadMin(4);
        consumer.setConsumeThreadMax(4);
        return consumer;
    }

    @SuppressWarnings("deprecation")
    DefaultMQPullConsumer pullConsumer() throws MQClientException {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(group("pull"), encoding);
        connect(consumer, namesrv);
        consumer.start();
        closeAtEnd(consumer::shutdown);
        return consumer;
    }

    DefaultLitePullConsumer litePullConsumer(String group) {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(group, encoding);
        consumer.setHeartbeatBrokerInterval(HEARTBEAT_MS);
        connect(consumer, namesrv);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        closeAtEnd(consumer::shutdown);
        return consumer;
    }

    /** The official administration client. */
    DefaultMQAdminExt admin() throws MQClientException {
        DefaultMQAdminExt admin = new DefaultMQAdminExt(group("admin"), WAIT_MS);
        connect(admin, namesrv);
        admin.start();
        closeAtEnd(admin::shutdown);
        return admin;
    }

    /** Creates a topic through the admin call and waits until its route shows all queues. */
    List<MessageQueue> createTopic(DefaultMQProducer producer, int queues) throws Exception {
        Versioned.createTopic(producer, topic(), queues);
        await(() -> publishQueues(producer, topic()).size() == queues,
            () -> "route of " + topic() + " has queues " + publishQueues(producer, topic()));
        return publishQueues(producer, topic());
    }

    /** The queues to send to, none while the topic has no route. */
    static List<MessageQueue> publishQueues(DefaultMQProducer producer, String topic) {
        try {
            List<MessageQueue> queues = new ArrayList<>(producer.fetchPublishMessageQueues(topic));
            queues.sort(null);
            return queues;
        } catch (MQClientException noRouteYet) {
            return List.of();
        }
    }

    /** Waits until the queue shows this many messages: Apache's broker indexes them after it has acknowledged them. */
    static void awaitMaxOffset(DefaultMQProducer producer, MessageQueue queue, long messages)
        throws InterruptedException {
        await(() -> maxOffset(producer, queue) >= messages, () -> "greatest offset " + maxOffset(producer, queue));
        equal(messages, maxOffset(producer, queue), "greatest offset");
    }

    private static long maxOffset(DefaultMQProducer producer, MessageQueue queue) {
        try {
            return producer.maxOffset(queue);
        } catch (MQClientException reason) {
            throw new AssertionError(reason.toString(), reason);
        }
    }

    /** Waits until a topic that a send created can be found. */
    List<MessageQueue> awaitRoute(DefaultMQProducer producer) throws InterruptedException {
        await(() -> !publishQueues(producer, topic()).isEmpty(), () -> "no route of " + topic());
        return publishQueues(producer, topic());
    }

    /** The queues a push consumer holds now, without that of its group's retry topic, which one of them gets too. */
    static Set<MessageQueue> held(DefaultMQPushConsumer consumer) {
        return tenures(consumer).keySet();
    }

    /** How many queues consumers hold in all. */
    static int held(List<DefaultMQPushConsumer> consumers) {
        return consumers.stream().mapToInt(consumer -> held(consumer).size()).sum();
    }

    /** What a push consumer works with for each queue it holds: another one after the queue has changed hands. */
    static Map<MessageQueue, ProcessQueue> tenures(DefaultMQPushConsumer consumer) {
        Map<MessageQueue, ProcessQueue> tenures =
            new HashMap<>(consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable());
        tenures.keySet().removeIf(queue -> queue.getTopic().startsWith("%RETRY%"));
        return tenures;
    }

    /** Polls until the condition holds; past the deadline fails with the message. */
    static void await(BooleanSupplier condition, Supplier<String> otherwise) throws InterruptedException {
        await(WAIT_MS, condition, otherwise);
    }

    static void await(long waitMs, BooleanSupplier condition, Supplier<String> otherwise)
        throws InterruptedException {
        long deadline = System.currentTimeMillis() + waitMs;
        while (!condition.getAsBoolean()) {
            if (System.currentTimeMillis() > deadline) {
                throw new AssertionError("waited " + waitMs + " ms: " + otherwise.get());
            }
            Thread.sleep(POLL_MS);
        }
    }

    static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }

    static void equal(Object expected, Object found, String what) {
        if (!expected.equals(found)) {
            throw new AssertionError(what + ": expected " + expected + ", found " + found);
        }
    }

    /** Whether answers to this world's producers and consumers came in the encoding of their requests. */
    void checkEncoding() {
        encoding.check();
    }

    void closeAtEnd(Runnable closer) {
        closers.add(closer);
    }

    @Override
    public void close() {
        // Last opened first.
        for (int i = closers.size() - 1; i >= 0; i--) {
            try {
                closers.get(i).run();
            } catch (RuntimeException alreadyClosed) {
                System.err.println(scenario + ": " + alreadyClosed);
            }
        }
    }
}
