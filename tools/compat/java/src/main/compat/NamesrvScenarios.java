package compat;

import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.rocketmq.client.impl.MQClientAPIImpl;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.sysflag.TopicSysFlag;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** The name server: what brokers register, what tools ask of it, and what it keeps. */
final class NamesrvScenarios {
    /** TOPIC_NOT_EXIST. */
    private static final int NO_TOPIC = 17;
    /** QUERY_NOT_FOUND. */
    private static final int NOT_FOUND = 22;
    private static final int PERM_READ = 4;
    private static final int PERM_READ_WRITE = 6;

    private NamesrvScenarios() {
    }

    static void addTo(Map<String, Scenario> all) {
        all.put("namesrv-values", NamesrvScenarios::values);
        all.put("namesrv-settings", NamesrvScenarios::settings);
        all.put("namesrv-brokers", NamesrvScenarios::brokers);
        all.put("namesrv-topic-lists", NamesrvScenarios::topicLists);
    }

    /** Values by name space and key are put, read, listed and deleted. */
    private static void values(World world) throws Exception {
        DefaultMQAdminExt admin = world.admin();
        String space = world.group("space");
        World.equal(NOT_FOUND, AdminScenarios.refusal(() -> admin.getKVConfig(space, "a")), "refusal before all");
        admin.createAndUpdateKvConfig(space, "a", "1");
        admin.createAndUpdateKvConfig(space, "b", "\u7eff = \"green\"; 2");
        admin.createAndUpdateKvConfig(space, "a", "3");
        World.equal("3", admin.getKVConfig(space, "a"), "value");
        World.equal(Map.of("a", "3", "b", "\u7eff = \"green\"; 2"), admin.getKVListByNamespace(space).getTable(), "list");
        admin.deleteKvConfig(space, "a");
        World.equal(Map.of("b", "\u7eff = \"green\"; 2"), admin.getKVListByNamespace(space).getTable(), "list");
        World.equal(NOT_FOUND, AdminScenarios.refusal(() -> admin.getKVConfig(space, "a")), "refusal of a deleted key");
    }

    /** A setting is changed while the server runs: routes then name the order of an ordered topic. */
    private static void settings(World world) throws Exception {
        DefaultMQAdminExt admin = world.admin();
        DefaultMQProducer producer = world.producer();
        world.createTopic(producer, 2);
        List<String> servers = List.of(world.namesrv);
        admin.createOrUpdateOrderConf(world.topic(), "broker-a:2", true);
        Properties change = new Properties();
        change.setProperty("orderMessageEnable", "true");
        admin.updateNameServerConfig(change, servers);
        World.equal("true", admin.getNameServerConfig(servers).get(world.namesrv).getProperty("orderMessageEnable"),
            "setting");
        World.equal("broker-a:2", admin.examineTopicRouteInfo(world.topic()).getOrderTopicConf(), "order of the topic");
        change.setProperty("orderMessageEnable", "false");
        admin.updateNameServerConfig(change, servers);
        World.check(admin.examineTopicRouteInfo(world.topic()).getOrderTopicConf() == null, "an order is named still");
    }

    /** A broker registers, loses and gets back its write permission, and is gone when its connection is. */
    private static void brokers(World world) throws Exception {
        DefaultMQAdminExt admin = world.admin();
        String cluster = "C-" + world.runId;
        String topic = world.topic();
        RegisteredBroker broker = new RegisteredBroker(world, cluster, "B-" + world.runId, 0);
        broker.register(new TopicConfig(topic, 3, 2, PERM_READ_WRITE));
        var info = admin.examineBrokerClusterInfo();
        World.equal(Set.of(broker.name), info.getClusterAddrTable().get(cluster), "brokers of the cluster");
        World.equal(Map.of(0L, broker.address), info.getBrokerAddrTable().get(broker.name).getBrokerAddrs(), "address");
        World.equal(PERM_READ_WRITE, permission(admin, topic), "permission");
        World.equal(3, admin.wipeWritePermOfBroker(world.namesrv, broker.name), "topics without write permission");
        World.equal(PERM_READ, permission(admin, topic), "permission without writing");
        World.equal(3, admin.addWritePermOfBroker(world.namesrv, broker.name), "topics with write permission");
        World.equal(PERM_READ_WRITE, permission(admin, topic), "permission, given back");
        broker.hasChanged(false);
        broker.register(new TopicConfig(topic, 5, 4, PERM_READ_WRITE));
        var queues = admin.examineTopicRouteInfo(topic).getQueueDatas().get(0);
        World.equal("5 and 4", queues.getReadQueueNums() + " and " + queues.getWriteQueueNums(), "queues, changed");
        // Far below the two minutes after which a silent broker is taken for dead.
        broker.disconnect();
        World.await(() -> AdminScenarios.code(() -> admin.examineTopicRouteInfo(topic)) == NO_TOPIC,
            () -> "a broker without a connection has a route");
        World.check(!admin.examineBrokerClusterInfo().getBrokerAddrTable().containsKey(broker.name),
            "a broker without a connection is listed");
    }

    private static int permission(DefaultMQAdminExt admin, String topic) throws Exception {
        return admin.examineTopicRouteInfo(topic).getQueueDatas().get(0).getPerm();
    }

    /** Topics of all brokers, of a cluster, of the system, and those of deployments in units. */
    private static void topicLists(World world) throws Exception {
        DefaultMQAdminExt admin = world.admin();
        String cluster = "C-lists-" + world.runId;
        String plain = world.topic() + "-plain";
        String unit = world.topic() + "-unit";
        String both = world.topic() + "-both";
        String subscribed = world.topic() + "-subscribed";
        RegisteredBroker broker = new RegisteredBroker(world, cluster, "B-lists-" + world.runId, 0);
        broker.compressed = false;
        broker.register(unitTopic(plain, false, false), unitTopic(unit, true, false), unitTopic(both, true, true),
            unitTopic(subscribed, false, true));
        Set<String> all = Set.of(plain, unit, both, subscribed);
        World.check(admin.fetchAllTopicList().getTopicList().containsAll(all), "topics are missing in the list of all");
        World.equal(all, mine(world, admin.fetchTopicsByCLuster(cluster).getTopicList()), "topics of the cluster");
        MQClientAPIImpl calls =
            world.producer().getDefaultMQProducerImpl().getmQClientFactory().getMQClientAPIImpl();
        long wait = World.WAIT_MS;
        World.equal(Set.of(unit, both), mine(world, calls.getUnitTopicList(false, wait).getTopicList()), "unit topics");
        World.equal(Set.of(both, subscribed), mine(world, calls.getHasUnitSubTopicList(false, wait).getTopicList()),
            "topics with subscriptions from units");
        World.equal(Set.of(subscribed), mine(world, calls.getHasUnitSubUnUnitTopicList(false, wait).getTopicList()),
            "topics of no unit with subscriptions from units");
        // The client's own call would go on to a broker that the answer names, and might choose this one.
        Set<String> ofNamesrv = Versioned.systemTopics(broker);
        World.check(ofNamesrv.containsAll(Set.of("DefaultCluster", "broker-a", cluster, broker.name)),
            "topics of the system: " + ofNamesrv);
        Set<String> ofBroker = calls.getSystemTopicListFromBroker(world.broker, wait).getTopicList();
        World.check(ofBroker.containsAll(Set.of("DefaultCluster", "broker-a", "TBW102", "SCHEDULE_TOPIC_XXXX")),
            "topics of the system: " + ofBroker);
        World.check(mine(world, ofNamesrv).isEmpty() && mine(world, ofBroker).isEmpty(), "topics of users among them");
        Versioned.deleteTopicInNamesrv(admin, world.namesrv, cluster, plain);
        World.equal(NO_TOPIC, AdminScenarios.refusal(() -> admin.examineTopicRouteInfo(plain)), "route, deleted");
        World.equal(Set.of(unit, both, subscribed), mine(world, admin.fetchTopicsByCLuster(cluster).getTopicList()),
            "topics of the cluster");
        broker.unregister();
        // Apache's name server answers first and does it then.
        World.await(() -> mine(world, allTopics(admin)).isEmpty(),
            () -> "topics of a broker that left: " + mine(world, allTopics(admin)));
    }

    private static Set<String> allTopics(DefaultMQAdminExt admin) {
        return AdminScenarios.get(() -> admin.fetchAllTopicList().getTopicList());
    }

    private static TopicConfig unitTopic(String name, boolean unit, boolean subscribed) {
        TopicConfig topic = new TopicConfig(name, 1, 1, PERM_READ_WRITE);
        topic.setTopicSysFlag(TopicSysFlag.buildSysFlag(unit, subscribed));
        return topic;
    }

    /** Other scenarios run at the same time. */
    private static Set<String> mine(World world, Set<String> topics) {
        return Set.copyOf(topics.stream().filter(topic -> topic.startsWith(world.topic())).toList());
    }
}
