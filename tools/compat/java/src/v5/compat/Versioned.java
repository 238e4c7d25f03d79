package compat;

import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.UtilAll;
import org.apache.rocketmq.common.compression.CompressionType;
import org.apache.rocketmq.remoting.protocol.DataVersion;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.RemotingSerializable;
import org.apache.rocketmq.remoting.protocol.RequestCode;
import org.apache.rocketmq.remoting.protocol.body.ConsumerOffsetSerializeWrapper;
import org.apache.rocketmq.remoting.protocol.body.RegisterBrokerBody;
import org.apache.rocketmq.remoting.protocol.body.TopicConfigAndMappingSerializeWrapper;
import org.apache.rocketmq.remoting.protocol.body.TopicList;
import org.apache.rocketmq.remoting.protocol.header.namesrv.QueryDataVersionRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.namesrv.RegisterBrokerRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.namesrv.UnRegisterBrokerRequestHeader;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.remoting.protocol.subscription.SubscriptionGroupConfig;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** What is spelled otherwise, or new, in 5.5. */
final class Versioned {
    /** How long a full heartbeat may take to have an effect. */
    private static final long FULL_BEAT_NS = 2_000_000_000L;

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

    static SubscriptionGroupConfig subscriptionGroup(String name) {
        SubscriptionGroupConfig group = new SubscriptionGroupConfig();
        group.setGroupName(name);
        return group;
    }

    static RemotingCommand registration(
        RegisteredBroker broker, ConcurrentMap<String, TopicConfig> topics, long version) {
        TopicConfigAndMappingSerializeWrapper table = new TopicConfigAndMappingSerializeWrapper();
        table.setTopicConfigTable(topics);
        table.setDataVersion(dataVersion(version));
        RegisterBrokerBody body = new RegisterBrokerBody();
        body.setTopicConfigSerializeWrapper(table);
        byte[] bytes = body.encode(broker.compressed);
        RegisterBrokerRequestHeader header = new RegisterBrokerRequestHeader();
        header.setClusterName(broker.cluster);
        header.setBrokerName(broker.name);
        header.setBrokerId(broker.id);
        header.setBrokerAddr(broker.address);
        header.setHaServerAddr(broker.address);
        header.setCompressed(broker.compressed);
        header.setEnableActingMaster(broker.actingMaster);
        header.setBodyCrc32(UtilAll.crc32(bytes));
        RemotingCommand command = RemotingCommand.createRequestCommand(RequestCode.REGISTER_BROKER, header);
        command.setBody(bytes);
        return command;
    }

    static RemotingCommand versionQuery(RegisteredBroker broker, long version) {
        QueryDataVersionRequestHeader header = new QueryDataVersionRequestHeader();
        header.setClusterName(broker.cluster);
        header.setBrokerName(broker.name);
        header.setBrokerId(broker.id);
        header.setBrokerAddr(broker.address);
        RemotingCommand command = RemotingCommand.createRequestCommand(RequestCode.QUERY_DATA_VERSION, header);
        command.setBody(dataVersion(version).encode());
        return command;
    }

    static RemotingCommand departure(RegisteredBroker broker) {
        UnRegisterBrokerRequestHeader header = new UnRegisterBrokerRequestHeader();
        header.setClusterName(broker.cluster);
        header.setBrokerName(broker.name);
        header.setBrokerId(broker.id);
        header.setBrokerAddr(broker.address);
        return RemotingCommand.createRequestCommand(RequestCode.UNREGISTER_BROKER, header);
    }

    static void deleteTopicInNamesrv(DefaultMQAdminExt admin, String namesrv, String cluster, String topic)
        throws Exception {
        admin.deleteTopicInNameServer(Set.of(namesrv), cluster, topic);
    }

    /** Topics that every broker has, as the name server knows them. */
    static Set<String> systemTopics(RegisteredBroker asking) throws Exception {
        RemotingCommand request =
            RemotingCommand.createRequestCommand(RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS, null);
        return RemotingSerializable.decode(asking.call(request).getBody(), TopicList.class).getTopicList();
    }

    /** All progress that the broker keeps, by {@code topic@group} and queue: what a slave reads of its master. */
    static ConcurrentMap<String, ConcurrentMap<Integer, Long>> progress(DefaultMQProducer producer, String broker)
        throws Exception {
        RemotingCommand request = RemotingCommand.createRequestCommand(RequestCode.GET_ALL_CONSUMER_OFFSET, null);
        RemotingCommand answer = producer.getDefaultMQProducerImpl().getmQClientFactory().getMQClientAPIImpl()
            .getRemotingClient().invokeSync(broker, request, World.WAIT_MS);
        return RemotingSerializable.decode(answer.getBody(), ConsumerOffsetSerializeWrapper.class).getOffsetTable();
    }

    private static DataVersion dataVersion(long version) {
        DataVersion made = new DataVersion();
        made.setTimestamp(version);
        made.setCounter(new AtomicLong(version));
        return made;
    }

    static void addTo(Map<String, Scenario> all) {
        all.put("heartbeat-v2", Versioned::heartbeatV2);
        NewAdminScenarios.addTo(all);
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
        // Apache's own broker goes without the subscription now and then in spite of it (2 of 5 runs), and would for good.
        long[] beatAt = {System.nanoTime()};
        World.await(() -> {
            boolean isDue = inbox.size() == 0 && System.nanoTime() - beatAt[0] > FULL_BEAT_NS;
            if (isDue && consumer.getDefaultMQPushConsumerImpl().getmQClientFactory()
                .sendHeartbeatToAllBrokerWithLockV2(true)) {
                beatAt[0] = System.nanoTime();
            }
            return inbox.size() >= 20;
        }, () -> "received " + inbox.size());
        World.equal(20, inbox.size(), "messages");
    }
}
