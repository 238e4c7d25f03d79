package golden;

import static golden.Cases.facts;

import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.RemotingSerializable;
import %{protocol}.body.ClusterInfo;
import %{protocol}.body.KVTable;
import %{protocol}.body.LockBatchRequestBody;
import %{protocol}.body.LockBatchResponseBody;
import %{protocol}.body.ResetOffsetBody;
import %{protocol}.body.TopicList;
import %{protocol}.heartbeat.ConsumeType;
import %{protocol}.heartbeat.ConsumerData;
import %{protocol}.heartbeat.HeartbeatData;
import %{protocol}.heartbeat.MessageModel;
import %{protocol}.heartbeat.ProducerData;
import %{protocol}.heartbeat.SubscriptionData;
import %{protocol}.route.BrokerData;
import %{protocol}.route.QueueData;
import %{protocol}.route.TopicRouteData;

/** JSON bodies in the dialect of each version: integer keys, object keys, back references. */
final class Bodies {
    private Bodies() {
    }

    static void addTo(Cases cases) {
        routes(cases);
        heartbeats(cases);
        locks(cases);
        json(cases, "reset-offset", resetOffset(), facts("offsets", List.of(
            facts("topic", Values.TOPIC, "broker", Values.BROKER, "queue_id", 0, "offset", 12),
            facts("topic", Values.TOPIC, "broker", Values.BROKER, "queue_id", 1, "offset", 9_000_000_000L))));
        KVTable table = new KVTable();
        table.setTable(new HashMap<>(Map.of(Values.TOPIC, "broker-a:4;broker-b:4")));
        json(cases, "kv-table", table, facts("table", Map.of(Values.TOPIC, "broker-a:4;broker-b:4")));
        TopicList topics = new TopicList();
        topics.setTopicList(new LinkedHashSet<>(List.of("T1", "T2")));
        json(cases, "topic-list", topics, facts("topics", List.of("T1", "T2")));
    }

    private static void json(Cases cases, String name, RemotingSerializable body, Map<String, ?> facts) {
        cases.add("json-" + name, "json", body.encode(), facts);
    }

    private static BrokerData broker() {
        HashMap<Long, String> addresses = new HashMap<>();
        addresses.put(0L, "10.0.0.1:10911");
        addresses.put(1L, "10.0.0.2:10911");
        return new BrokerData(Values.CLUSTER, Values.BROKER, addresses);
    }

    private static void routes(Cases cases) {
        QueueData queues = new QueueData();
        queues.setBrokerName(Values.BROKER);
        queues.setReadQueueNums(8);
        queues.setWriteQueueNums(4);
        queues.setPerm(6);
        queues.setTopicSysFlag(0);
        TopicRouteData route = new TopicRouteData();
        route.setQueueDatas(List.of(queues));
        route.setBrokerDatas(List.of(broker()));
        route.setFilterServerTable(new HashMap<>());
        Map<String, Object> addresses = facts("0", "10.0.0.1:10911", "1", "10.0.0.2:10911");
        json(cases, "route", route, facts("broker", Values.BROKER, "cluster", Values.CLUSTER, "addresses", addresses,
            "read_queues", 8, "write_queues", 4, "perm", 6));
        ClusterInfo cluster = new ClusterInfo();
        cluster.setBrokerAddrTable(new HashMap<>(Map.of(Values.BROKER, broker())));
        cluster.setClusterAddrTable(new HashMap<>(Map.of(Values.CLUSTER, Set.of(Values.BROKER))));
        json(cases, "cluster-info", cluster,
            facts("broker", Values.BROKER, "cluster", Values.CLUSTER, "addresses", addresses));
    }

    private static void heartbeats(Cases cases) {
        SubscriptionData subscription = new SubscriptionData(Values.TOPIC, "TagA || TagB");
        subscription.setSubVersion(Values.BORN_AT_MS);
        subscription.setTagsSet(new LinkedHashSet<>(List.of("TagA", "TagB")));
        subscription.setCodeSet(new LinkedHashSet<>(List.of("TagA".hashCode(), "TagB".hashCode())));
        Map<String, Object> facts = facts("client_id", "10.0.0.7@4321#99", "producers", List.of("golden_producers"),
            "consumers", List.of(Values.GROUP), "topic", Values.TOPIC, "expression", "TagA || TagB",
            "codes", List.of("TagA".hashCode(), "TagB".hashCode()), "sub_version", Values.BORN_AT_MS);
        json(cases, "heartbeat", heartbeat(subscription, Values.GROUP), facts);
        Map<String, Object> shared = new LinkedHashMap<>(facts);
        shared.put("consumers", List.of(Values.GROUP, "second_group"));
        json(cases, "heartbeat-reference", heartbeat(subscription, Values.GROUP, "second_group"), shared);
    }

    /** All groups share one subscription object, so a second one may be written as a back reference. */
    static HeartbeatData heartbeat(SubscriptionData subscription, String... groups) {
        ProducerData producer = new ProducerData();
        producer.setGroupName("golden_producers");
        Set<ConsumerData> consumers = new LinkedHashSet<>();
        for (String group : groups) {
            ConsumerData consumer = new ConsumerData();
            consumer.setGroupName(group);
            consumer.setConsumeType(ConsumeType.CONSUME_PASSIVELY);
            consumer.setMessageModel(MessageModel.CLUSTERING);
            consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET);
            consumer.setSubscriptionDataSet(new LinkedHashSet<>(Set.of(subscription)));
            consumers.add(consumer);
        }
        HeartbeatData heartbeat = new HeartbeatData();
        heartbeat.setClientID("10.0.0.7@4321#99");
        heartbeat.setProducerDataSet(new LinkedHashSet<>(Set.of(producer)));
        heartbeat.setConsumerDataSet(consumers);
        return heartbeat;
    }

    private static void locks(Cases cases) {
        Set<MessageQueue> queues = new LinkedHashSet<>();
        queues.add(new MessageQueue(Values.TOPIC, Values.BROKER, 0));
        queues.add(new MessageQueue(Values.TOPIC, Values.BROKER, 1));
        LockBatchRequestBody request = new LockBatchRequestBody();
        request.setClientId("10.0.0.7@4321#99");
        request.setConsumerGroup(Values.GROUP);
        request.setMqSet(queues);
        json(cases, "lock-request", request, facts("client_id", "10.0.0.7@4321#99", "group", Values.GROUP,
            "topic", Values.TOPIC, "broker", Values.BROKER, "queue_ids", List.of(0, 1)));
        LockBatchResponseBody response = new LockBatchResponseBody();
        response.setLockOKMQSet(queues);
        json(cases, "lock-response", response,
            facts("topic", Values.TOPIC, "broker", Values.BROKER, "queue_ids", List.of(0, 1)));
    }

    private static ResetOffsetBody resetOffset() {
        Map<MessageQueue, Long> offsets = new LinkedHashMap<>();
        offsets.put(new MessageQueue(Values.TOPIC, Values.BROKER, 0), 12L);
        offsets.put(new MessageQueue(Values.TOPIC, Values.BROKER, 1), 9_000_000_000L);
        ResetOffsetBody body = new ResetOffsetBody();
        body.setOffsetTable(offsets);
        return body;
    }
}
