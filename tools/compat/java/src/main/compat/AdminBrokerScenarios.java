package compat;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** The broker as a whole: its settings, what it tells of itself, what it counts; and the official commands. */
final class AdminBrokerScenarios {
    /** Counts are the difference of two samples, which every broker takes ten seconds apart. */
    private static final long COUNT_WAIT_MS = 45_000;
    /** Keys that dashboards and the exporter read as whole numbers. */
    private static final List<String> NUMBERS = List.of("bootTimestamp", "msgPutTotalTodayNow", "msgGetTotalTodayNow",
        "commitLogMaxOffset", "commitLogMinOffset", "dispatchBehindBytes", "putMessageTimesTotal");
    /** The others: numbers with blanks between, none before Apache's broker has counted for ten seconds. */
    private static final List<String> RATES = List.of("putTps", "getFoundTps", "getTotalTps", "commitLogDiskRatio");

    private AdminBrokerScenarios() {
    }

    static void addTo(Map<String, Scenario> all) {
        all.put("admin-counts", AdminBrokerScenarios::counts);
        all.put("admin-commands", AdminBrokerScenarios::commands);
        all.put("admin-broker", AdminBrokerScenarios::broker);
    }

    /** The names of a running system, numbers that parse, and a setting that is changed while it runs. */
    private static void broker(World world) throws Exception {
        DefaultMQAdminExt admin = world.admin();
        var cluster = admin.examineBrokerClusterInfo();
        World.check(cluster.getClusterAddrTable().get("DefaultCluster").contains("broker-a"), "broker in no cluster");
        var addresses = cluster.getBrokerAddrTable().get("broker-a");
        World.equal(world.broker, addresses.getBrokerAddrs().get(0L), "address of the master");
        World.equal("DefaultCluster", addresses.getCluster(), "cluster of the broker");
        Map<String, String> facts = admin.fetchBrokerRuntimeStats(world.broker).getTable();
        for (String key : List.of("brokerVersionDesc", "runtime", "earliestMessageTimeStamp")) {
            World.check(!facts.get(key).isBlank(), "no " + key);
        }
        NUMBERS.forEach(key -> Long.parseLong(facts.get(key)));
        RATES.forEach(key -> Arrays.stream(facts.get(key).split(" ")).filter(number -> !number.isEmpty())
            .forEach(Double::parseDouble));
        World.check(Long.parseLong(facts.get("bootTimestamp")) <= System.currentTimeMillis(), "booted in the future");
        Properties settings = admin.getBrokerConfig(world.broker);
        World.equal("broker-a", settings.getProperty("brokerName"), "name");
        World.equal(world.broker.substring(world.broker.lastIndexOf(':') + 1), settings.getProperty("listenPort"), "port");
        World.equal("ASYNC_FLUSH", settings.getProperty("flushDiskType"), "flush mode");
        for (String value : List.of("48", "32")) {
            Properties change = new Properties();
            change.setProperty("defaultQueryMaxNum", value);
            admin.updateBrokerConfig(world.broker, change);
            World.equal(value, admin.getBrokerConfig(world.broker).getProperty("defaultQueryMaxNum"), "setting");
        }
    }

    /** Messages sent to a topic, and consumed of it by a group, over the last minute. */
    private static void counts(World world) throws Exception {
        DefaultMQAdminExt admin = world.admin();
        DefaultMQProducer producer = world.producer();
        List<MessageQueue> queues = world.createTopic(producer, 2);
        DefaultMQPushConsumer consumer = world.pushConsumer(world.group("reader"));
        consumer.subscribe(world.topic(), "*");
        new Inbox().listen(consumer);
        consumer.start();
        int[] sent = {0};
        // Sent until they show: a count may begin with the first sample that saw any.
        String readers = world.topic() + "@" + world.group("reader");
        World.await(COUNT_WAIT_MS, () -> {
            try {
                producer.send(Texts.message(world.topic(), sent[0]), queues.get(sent[0]++ % 2));
            } catch (Exception reason) {
                throw new AssertionError(reason.toString(), reason);
            }
            return counted(world, admin, "TOPIC_PUT_NUMS", world.topic()) > 0
                && counted(world, admin, "GROUP_GET_NUMS", readers) > 0
                && counted(world, admin, "BROKER_PUT_NUMS", "DefaultCluster") > 0;
        }, () -> "counted " + counted(world, admin, "BROKER_PUT_NUMS", "DefaultCluster") + " at the broker, " + counted(world, admin, "TOPIC_PUT_NUMS", world.topic()) + " sent and "
            + counted(world, admin, "GROUP_GET_NUMS", readers) + " consumed");
        World.check(counted(world, admin, "TOPIC_PUT_NUMS", world.topic()) <= sent[0], "counted more than were sent");
    }

    /** Messages in the last minute, -1 while the broker counts no such thing. */
    private static long counted(World world, DefaultMQAdminExt admin, String what, String key) {
        try {
            return admin.viewBrokerStatsData(world.broker, what, key).getStatsMinute().getSum();
        } catch (Exception unknown) {
            return -1;
        }
    }

    /** The official command line tool, in a process of its own. */
    private static void commands(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        world.createTopic(producer, 3);
        for (int i = 0; i < 9; i++) {
            producer.send(Texts.message(world.topic(), i), World.publishQueues(producer, world.topic()).get(i % 3));
        }
        try (Child child = Child.start(null, "--role", "mqadmin", "--namesrv", world.namesrv, "--broker", world.broker,
            "--topic", world.topic(), "--group", world.group("made"))) {
            int status = child.await();
            World.check(status == 0, "commands that did not say what they should: " + child.all("WRONG "));
            World.equal(ChildCommands.COUNT, child.all("GOOD ").size(), "commands");
        }
    }
}
