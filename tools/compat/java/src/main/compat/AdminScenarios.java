package compat;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** Topics, groups, progress and connections, as the official administration client sees and changes them. */
final class AdminScenarios {
    private static final int QUEUES = 4;
    private static final long TIMEOUT_MS = World.WAIT_MS;
    /** TOPIC_NOT_EXIST. */
    private static final int NO_TOPIC = 17;
    /** CONSUMER_NOT_ONLINE. */
    private static final int NOT_ONLINE = 206;

    private AdminScenarios() {
    }

    static void addTo(Map<String, Scenario> all) {
        all.put("admin-topics", AdminScenarios::topics);
        all.put("admin-topics-at-once", AdminScenarios::topicsAtOnce);
        all.put("admin-groups", AdminScenarios::groups);
        all.put("admin-progress", AdminScenarios::progress);
        all.put("admin-connections", AdminScenarios::connections);
    }

    /** A topic is created, changed, listed, counted and deleted; a new one of its name begins empty. */
    private static void topics(World world) throws Exception {
        DefaultMQAdminExt admin = world.admin();
        DefaultMQProducer producer = world.producer();
        String topic = world.topic();
        TopicConfig made = new TopicConfig(topic, QUEUES, QUEUES, 6);
        admin.createAndUpdateTopicConfig(world.broker, made);
        awaitQueues(admin, made);
        TopicConfig changed = new TopicConfig(topic, 8, 6, 6);
        changed.setOrder(true);
        change(world, admin, made, changed);
        for (var shown : List.of(admin.examineTopicConfig(world.broker, topic),
            admin.getUserTopicConfig(world.broker, false, TIMEOUT_MS).getTopicConfigTable().get(topic),
            admin.getAllTopicConfig(world.broker, TIMEOUT_MS).getTopicConfigTable().get(topic))) {
            World.equal("8 read, 6 written, permission 6, order true",
                shown.getReadQueueNums() + " read, " + shown.getWriteQueueNums() + " written, permission "
                    + shown.getPerm() + ", order " + shown.isOrder(), "topic");
        }
        World.check(admin.fetchAllTopicList().getTopicList().contains(topic), "not in the list of all topics");
        World.check(admin.fetchTopicsByCLuster("DefaultCluster").getTopicList().contains(topic),
            "not in the list of its cluster");
        World.equal(Set.of("DefaultCluster"), admin.getTopicClusterList(topic), "clusters of the topic");
        for (MessageQueue queue : World.publishQueues(producer, topic)) {
            for (int i = 0; i < 1 + queue.getQueueId(); i++) {
                producer.send(Texts.message(topic, i), queue);
            }
        }
        World.await(() -> sent(admin, topic) == 21, () -> "messages counted: " + sent(admin, topic));
        for (var queue : admin.examineTopicStats(topic).getOffsetTable().entrySet()) {
            int id = queue.getKey().getQueueId();
            World.equal("broker-a", queue.getKey().getBrokerName(), "broker");
            World.equal(0L, queue.getValue().getMinOffset(), "least offset of queue " + id);
            World.equal(id < 6 ? id + 1L : 0L, queue.getValue().getMaxOffset(), "greatest offset of queue " + id);
            World.check(id >= 6 || queue.getValue().getLastUpdateTimestamp() > 0, "no time in queue " + id);
        }
        delete(world, admin, topic);
        admin.createAndUpdateTopicConfig(world.broker, made);
        awaitQueues(admin, made);
        World.equal(0L, sent(admin, topic), "messages of a deleted topic in a new one");
    }

    /** Topics that are changed at the same moment all reach the name server with their last change. */
    private static void topicsAtOnce(World world) throws Exception {
        DefaultMQAdminExt admin = world.admin();
        List<String> topics = IntStream.range(0, 16).mapToObj(number -> world.topic() + "-" + number).toList();
        List<Callable<Object>> changes = topics.stream().map(topic -> (Callable<Object>) () -> {
            for (int queues : List.of(1, 2, 3, QUEUES)) {
                admin.createAndUpdateTopicConfig(world.broker, new TopicConfig(topic, queues, queues, 6));
            }
            return topic;
        }).toList();
        ExecutorService threads = Executors.newFixedThreadPool(topics.size());
        for (Future<Object> changed : threads.invokeAll(changes)) {
            changed.get();
        }
        threads.shutdown();
        for (String topic : topics) {
            awaitQueues(admin, new TopicConfig(topic, QUEUES, QUEUES, 6));
        }
    }

    private static void delete(World world, DefaultMQAdminExt admin, String topic) throws Exception {
        admin.deleteTopicInBroker(Set.of(world.broker), topic);
        Versioned.deleteTopicInNamesrv(admin, world.namesrv, "DefaultCluster", topic);
        World.await(() -> code(() -> admin.examineTopicRouteInfo(topic)) == NO_TOPIC,
            () -> "a deleted topic has a route");
        World.check(!admin.getAllTopicConfig(world.broker, TIMEOUT_MS).getTopicConfigTable().containsKey(topic),
            "a deleted topic is listed by the broker");
        World.check(!admin.fetchAllTopicList().getTopicList().contains(topic),
            "a deleted topic is listed by the name server");
    }

    private static void awaitQueues(DefaultMQAdminExt admin, TopicConfig topic) throws InterruptedException {
        World.await(() -> has(admin, topic),
            () -> "no route with " + topic.getReadQueueNums() + " and " + topic.getWriteQueueNums() + " queues");
    }

    /** Whether the name server tells as many queues. */
    private static boolean has(DefaultMQAdminExt admin, TopicConfig topic) {
        try {
            var queues = admin.examineTopicRouteInfo(topic.getTopicName()).getQueueDatas();
            return queues.size() == 1 && queues.get(0).getReadQueueNums() == topic.getReadQueueNums()
                && queues.get(0).getWriteQueueNums() == topic.getWriteQueueNums();
        } catch (Exception noRouteYet) {
            return false;
        }
    }

    /**
     * Changes a topic and waits until the name server has it. Said once more where it takes long, with
     * something else in between: Apache's broker may register a topic under a version that the name server
     * has already when another one changes at the same moment, and registers none that is as it was.
     */
    private static void change(World world, DefaultMQAdminExt admin, TopicConfig between, TopicConfig changed)
        throws Exception {
        admin.createAndUpdateTopicConfig(world.broker, changed);
        long soon = System.currentTimeMillis() + World.WAIT_MS / 3;
        World.await(() -> has(admin, changed) || System.currentTimeMillis() > soon, () -> "never");
        if (!has(admin, changed)) {
            admin.createAndUpdateTopicConfig(world.broker, between);
            admin.createAndUpdateTopicConfig(world.broker, changed);
        }
        awaitQueues(admin, changed);
    }

    private static long sent(DefaultMQAdminExt admin, String topic) {
        return get(() -> admin.examineTopicStats(topic)).getOffsetTable().values().stream()
            .mapToLong(queue -> queue.getMaxOffset()).sum();
    }

    /** A group is created, changed, listed and deleted. */
    private static void groups(World world) throws Exception {
        DefaultMQAdminExt admin = world.admin();
        String name = world.group("made");
        var group = Versioned.subscriptionGroup(name);
        group.setRetryMaxTimes(7);
        group.setRetryQueueNums(2);
        group.setConsumeBroadcastEnable(false);
        admin.createAndUpdateSubscriptionGroupConfig(world.broker, group);
        var made = admin.examineSubscriptionGroupConfig(world.broker, name);
        World.equal(name, made.getGroupName(), "name");
        World.equal(7, made.getRetryMaxTimes(), "tries");
        World.equal(2, made.getRetryQueueNums(), "queues for further tries");
        World.check(!made.isConsumeBroadcastEnable() && made.isConsumeEnable(), "switches of a new group");
        group.setRetryMaxTimes(3);
        group.setConsumeEnable(false);
        admin.createAndUpdateSubscriptionGroupConfig(world.broker, group);
        for (var shown : List.of(admin.examineSubscriptionGroupConfig(world.broker, name),
            admin.getAllSubscriptionGroup(world.broker, TIMEOUT_MS).getSubscriptionGroupTable().get(name),
            admin.getUserSubscriptionGroup(world.broker, TIMEOUT_MS).getSubscriptionGroupTable().get(name))) {
            World.equal(3, shown.getRetryMaxTimes(), "tries after the change");
            World.check(!shown.isConsumeEnable(), "a group that was switched off is on");
        }
        var all = admin.getAllSubscriptionGroup(world.broker, TIMEOUT_MS).getSubscriptionGroupTable();
        var users = admin.getUserSubscriptionGroup(world.broker, TIMEOUT_MS).getSubscriptionGroupTable();
        World.check(all.containsKey("TOOLS_CONSUMER") && !users.containsKey("TOOLS_CONSUMER"),
            "groups of the system and of users are not told apart");
        admin.deleteSubscriptionGroup(world.broker, name, true);
        var left = admin.getAllSubscriptionGroup(world.broker, TIMEOUT_MS).getSubscriptionGroupTable();
        World.check(!left.containsKey(name), "a deleted group is listed");
    }

    /** What a group has consumed and has still to consume, and setting it back. */
    private static void progress(World world) throws Exception {
        DefaultMQAdminExt admin = world.admin();
        DefaultMQProducer producer = world.producer();
        String topic = world.topic();
        String group = world.group("reader");
        List<MessageQueue> queues = world.createTopic(producer, QUEUES);
        DefaultMQPushConsumer consumer = world.pushConsumer(group);
        Inbox inbox = listen(world, consumer);
        send(world, producer, queues, 0, 40);
        inbox.awaitExactly(Texts.texts(0, 40));
        World.await(() -> ConsumeScenarios.progress(consumer) == 40, () -> "progress is below 40");
        consumer.shutdown();
        send(world, producer, queues, 40, 48);
        World.await(() -> waiting(admin, group, topic) == 8, () -> "waiting: " + waiting(admin, group, topic));
        for (var queue : admin.examineConsumeStats(group, topic).getOffsetTable().entrySet()) {
            World.equal(topic, queue.getKey().getTopic(), "topic");
            World.equal(12L, queue.getValue().getBrokerOffset(), "offset of the broker");
            World.equal(10L, queue.getValue().getConsumerOffset(), "offset of the group");
            World.check(queue.getValue().getLastTimestamp() > 0, "no time of the last message consumed");
        }
        World.check(admin.queryTopicConsumeByWho(topic).getGroupList().contains(group), "no group of the topic");
        var listed = admin.fetchConsumeStatsInBroker(world.broker, false, TIMEOUT_MS);
        var ofGroup = listed.getConsumeStatsList().stream().filter(one -> one.containsKey(group)).toList();
        World.equal(1, ofGroup.size(), "entries of the group in the statistics of the broker");
        var ofTopic = ofGroup.get(0).get(group).stream().filter(one -> one.getOffsetTable().containsKey(queues.get(0)));
        World.equal(8L, ofTopic.findFirst().orElseThrow().computeTotalDiff(), "waiting, in those statistics");
        admin.updateConsumeOffset(world.broker, group, queues.get(0), 3);
        World.await(() -> waiting(admin, group, topic) == 15, () -> "waiting: " + waiting(admin, group, topic));
        World.equal(Map.of(0, 3L, 1, 10L, 2, 10L, 3, 10L),
            Versioned.progress(producer, world.broker).get(topic + "@" + group), "progress of the group by queue");
        Map<MessageQueue, Long> reset = admin.resetOffsetByTimestamp(topic, group, 0, true);
        World.equal(Set.copyOf(queues), reset.keySet(), "queues that were reset");
        World.equal(Set.of(0L), Set.copyOf(reset.values()), "offsets after the reset");
        listen(world, world.pushConsumer(group)).awaitExactly(Texts.texts(0, 48));
    }

    private static void send(World world, DefaultMQProducer producer, List<MessageQueue> queues, int from, int to)
        throws Exception {
        for (int i = from; i < to; i++) {
            producer.send(Texts.message(world.topic(), i), queues.get(i % QUEUES));
        }
    }

    private static long waiting(DefaultMQAdminExt admin, String group, String topic) {
        return get(() -> admin.examineConsumeStats(group, topic)).computeTotalDiff();
    }

    private static Inbox listen(World world, DefaultMQPushConsumer consumer) throws Exception {
        Inbox inbox = new Inbox();
        consumer.subscribe(world.topic(), "*");
        inbox.listen(consumer);
        consumer.start();
        return inbox;
    }

    /** Who is connected, what a consumer says of itself, and a message given to it once more. */
    private static void connections(World world) throws Exception {
        DefaultMQAdminExt admin = world.admin();
        DefaultMQProducer producer = world.unstartedProducer();
        // The heartbeat at its start goes to no broker: it knows none yet.
        producer.setHeartbeatBrokerInterval(500);
        producer.start();
        String topic = world.topic();
        String group = world.group("reader");
        List<MessageQueue> queues = world.createTopic(producer, QUEUES);
        World.equal(NOT_ONLINE, refusal(() -> admin.examineConsumerConnectionInfo(group, world.broker)),
            "refusal while nobody is");
        DefaultMQPushConsumer consumer = world.pushConsumer(group);
        Inbox inbox = listen(world, consumer);
        String id = producer.send(Texts.message(topic, 1), queues.get(1)).getOffsetMsgId();
        inbox.awaitExactly(Texts.texts(1, 2));
        World.await(() -> World.held(consumer).size() == QUEUES, () -> "queues held: " + World.held(consumer));
        var consumers = admin.examineConsumerConnectionInfo(group);
        World.equal(1, consumers.getConnectionSet().size(), "consumers");
        World.equal("CONSUME_PASSIVELY", consumers.getConsumeType().name(), "way of consuming");
        World.equal("CLUSTERING", consumers.getMessageModel().name(), "message model");
        World.equal("CONSUME_FROM_FIRST_OFFSET", consumers.getConsumeFromWhere().name(), "where it begins");
        World.equal("*", consumers.getSubscriptionTable().get(topic).getSubString(), "subscription");
        var connection = consumers.getConnectionSet().iterator().next();
        World.equal("JAVA", connection.getLanguage().name(), "language");
        String host = world.broker.substring(0, world.broker.lastIndexOf(':') + 1);
        World.check(connection.getClientAddr().startsWith(host), "address " + connection.getClientAddr());
        World.await(() -> code(() -> admin.examineProducerConnectionInfo(world.group("producer"), topic)) == 0,
            () -> "the producer is not connected");
        var producers = admin.examineProducerConnectionInfo(world.group("producer"), topic);
        World.equal(1, producers.getConnectionSet().size(), "producers");
        var known = admin.getAllProducerInfo(world.broker).getData().get(world.group("producer"));
        World.equal(producers.getConnectionSet().iterator().next().getClientId(), known.get(0).getClientId(),
            "producer in the list of all");
        String client = connection.getClientId();
        var running = admin.getConsumerRunningInfo(group, client, true);
        World.equal(QUEUES, (int) running.getMqTable().keySet().stream().filter(queues::contains).count(), "queues");
        World.check(running.getSubscriptionSet().stream().anyMatch(one -> one.getTopic().equals(topic)),
            "its subscription is missing");
        World.check(running.getJstack().contains("Thread"), "no stack of its threads");
        var again = admin.consumeMessageDirectly(group, client, topic, id);
        World.equal("CR_SUCCESS", again.getConsumeResult().name(), "result of one message given to it");
        inbox.awaitExactly(List.of(Texts.text(1), Texts.text(1)));
    }

    /** The code of the refusal that a call ends with. */
    static int refusal(Callable<?> call) {
        int code = code(call);
        World.check(code != 0, "was not refused");
        return code;
    }

    /** The code that a call ends with, 0 when it goes well. */
    static int code(Callable<?> call) {
        try {
            call.call();
            return 0;
        } catch (MQBrokerException refused) {
            return refused.getResponseCode();
        } catch (MQClientException refused) {
            return refused.getResponseCode();
        } catch (Exception reason) {
            throw new AssertionError(reason.toString(), reason);
        }
    }

    /** The outcome of a call that must go well. */
    static <T> T get(Callable<T> call) {
        try {
            return call.call();
        } catch (Exception reason) {
            throw new AssertionError(reason.toString(), reason);
        }
    }
}
