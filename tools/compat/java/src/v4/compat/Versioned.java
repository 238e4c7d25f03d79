package compat;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.DataVersion;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.UtilAll;
import org.apache.rocketmq.common.protocol.RequestCode;
import org.apache.rocketmq.common.protocol.body.ConsumerOffsetSerializeWrapper;
import org.apache.rocketmq.common.protocol.body.RegisterBrokerBody;
import org.apache.rocketmq.common.protocol.body.TopicConfigSerializeWrapper;
import org.apache.rocketmq.common.protocol.body.TopicList;
import org.apache.rocketmq.common.protocol.header.namesrv.QueryDataVersionRequestHeader;
import org.apache.rocketmq.common.protocol.header.namesrv.RegisterBrokerRequestHeader;
import org.apache.rocketmq.common.protocol.header.namesrv.UnRegisterBrokerRequestHeader;
import org.apache.rocketmq.common.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.common.subscription.SubscriptionGroupConfig;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.RemotingSerializable;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** What is spelled otherwise, or missing, in 4.9. */
final class Versioned {
    private Versioned() {
    }

    static void createTopic(DefaultMQProducer producer, String topic, int queues) throws Exception {
        producer.createTopic("TBW102", topic, queues);
    }

    static void setBroadcasting(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    /** 4.9 sends zlib only. */
    static List<String> compressions() {
        return List.of("zlib");
    }

    static void setCompression(DefaultMQProducer producer, String compression) {
        World.equal("zlib", compression, "compression");
    }

    static SubscriptionGroupConfig subscriptionGroup(String name) {
        SubscriptionGroupConfig group = new SubscriptionGroupConfig();
        group.setGroupName(name);
        return group;
    }

    static RemotingCommand registration(
        RegisteredBroker broker, ConcurrentMap<String, TopicConfig> topics, long version) {
        TopicConfigSerializeWrapper table = new TopicConfigSerializeWrapper();
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
        admin.deleteTopicInNameServer(Set.of(namesrv), topic, cluster);
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
        // 4.9 has nothing that 5.5 lacks.
    }
}
