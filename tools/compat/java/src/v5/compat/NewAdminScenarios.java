package compat;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import io.netty.channel.ChannelHandlerContext;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.remoting.netty.NettyRemotingServer;
import org.apache.rocketmq.remoting.netty.NettyRequestProcessor;
import org.apache.rocketmq.remoting.netty.NettyServerConfig;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.RemotingSerializable;
import org.apache.rocketmq.remoting.protocol.RequestCode;
import org.apache.rocketmq.remoting.protocol.body.BrokerMemberGroup;
import org.apache.rocketmq.remoting.protocol.body.GetBrokerMemberGroupResponseBody;
import org.apache.rocketmq.remoting.protocol.header.GetBrokerMemberGroupRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.NotifyMinBrokerIdChangeRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.namesrv.BrokerHeartbeatRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.namesrv.RegisterTopicRequestHeader;
import org.apache.rocketmq.remoting.protocol.route.QueueData;
import org.apache.rocketmq.remoting.protocol.route.TopicRouteData;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** Administration that 4.9 does not know. */
final class NewAdminScenarios {
    private NewAdminScenarios() {
    }

    static void addTo(Map<String, Scenario> all) {
        all.put("admin-lists", NewAdminScenarios::lists);
        all.put("admin-subscriptions", NewAdminScenarios::subscriptions);
        all.put("namesrv-members", NewAdminScenarios::members);
        all.put("namesrv-register-topic", NewAdminScenarios::registerTopic);
    }

    /** Several topics, and several groups, with one call. */
    private static void lists(World world) throws Exception {
        DefaultMQAdminExt admin = world.admin();
        List<TopicConfig> topics = List.of(new TopicConfig(world.topic() + "-1", 2, 2, 6),
            new TopicConfig(world.topic() + "-2", 3, 3, 6));
        admin.createAndUpdateTopicConfigList(world.broker, topics);
        for (TopicConfig topic : topics) {
            World.equal(topic.getReadQueueNums(),
                admin.examineTopicConfig(world.broker, topic.getTopicName()).getReadQueueNums(), "queues");
            World.await(() -> AdminScenarios.code(() -> admin.examineTopicRouteInfo(topic.getTopicName())) == 0,
                () -> "no route of " + topic.getTopicName());
        }
        List<String> names = List.of(world.group("1"), world.group("2"));
        admin.createAndUpdateSubscriptionGroupConfigList(world.broker,
            names.stream().map(Versioned::subscriptionGroup).toList());
        for (String name : names) {
            World.equal(name, admin.examineSubscriptionGroupConfig(world.broker, name).getGroupName(), "group");
        }
    }

    /** What a group subscribes to; reading forbidden to it and allowed again. */
    private static void subscriptions(World world) throws Exception {
        DefaultMQAdminExt admin = world.admin();
        DefaultMQProducer producer = world.producer();
        world.createTopic(producer, 2);
        String group = world.group("reader");
        DefaultMQPushConsumer consumer = world.pushConsumer(group);
        consumer.subscribe(world.topic(), "TagA || TagB");
        Inbox inbox = new Inbox();
        inbox.listen(consumer);
        consumer.start();
        producer.send(new org.apache.rocketmq.common.message.Message(world.topic(), "TagB", Texts.text(1).getBytes()));
        inbox.awaitExactly(Texts.texts(1, 2));
        var subscription = admin.querySubscription(group, world.topic());
        World.equal(Set.of("TagA", "TagB"), subscription.getTagsSet(), "tags");
        // Apache's broker names topics in which the group has progress, and progress is stored every 5 s.
        World.await(() -> topicsOf(admin, group).contains(world.topic()), () -> "topics of the group: "
            + topicsOf(admin, group));
        for (boolean forbidden : new boolean[] {true, false}) {
            admin.updateAndGetGroupReadForbidden(world.broker, group, world.topic(), !forbidden);
            var shown = admin.updateAndGetGroupReadForbidden(world.broker, group, world.topic(), null);
            World.equal(!forbidden, shown.getReadable(), "whether the group may read");
        }
    }

    private static Set<String> topicsOf(DefaultMQAdminExt admin, String group) {
        try {
            return admin.queryTopicsByConsumer(group).getTopicList();
        } catch (Exception reason) {
            throw new AssertionError(reason.toString(), reason);
        }
    }

    /** The members of a group of brokers, which are told when the least of their ids changes. */
    private static void members(World world) throws Exception {
        DefaultMQAdminExt admin = world.admin();
        Properties change = new Properties();
        change.setProperty("notifyMinBrokerIdChanged", "true");
        admin.updateNameServerConfig(change, List.of(world.namesrv));
        BlockingQueue<NotifyMinBrokerIdChangeRequestHeader> notices = new LinkedBlockingQueue<>();
        String address = listen(world, notices);
        String cluster = "C-members-" + world.runId;
        String name = "B-members-" + world.runId;
        RegisteredBroker slave = new RegisteredBroker(world, cluster, name, 1, address);
        slave.actingMaster = true;
        slave.register(new TopicConfig(world.topic(), 1, 1, 6));
        RegisteredBroker master = new RegisteredBroker(world, cluster, name, 0);
        master.actingMaster = true;
        master.register(new TopicConfig(world.topic(), 1, 1, 6));
        awaitNotice(notices, 0, master.address);
        for (RegisteredBroker broker : Arrays.asList(slave, master)) {
            BrokerHeartbeatRequestHeader beat = new BrokerHeartbeatRequestHeader();
            beat.setClusterName(cluster);
            beat.setBrokerName(name);
            beat.setBrokerAddr(broker.address);
            beat.setBrokerId(broker.id);
            broker.call(RemotingCommand.createRequestCommand(RequestCode.BROKER_HEARTBEAT, beat));
        }
        World.equal(Map.of(0L, master.address, 1L, slave.address), membersOf(slave).getBrokerAddrs(), "members");
        master.disconnect();
        awaitNotice(notices, 1, slave.address);
        World.equal(Map.of(1L, slave.address), membersOf(slave).getBrokerAddrs(), "members");
    }

    private static BrokerMemberGroup membersOf(RegisteredBroker broker) throws Exception {
        GetBrokerMemberGroupRequestHeader header = new GetBrokerMemberGroupRequestHeader();
        header.setClusterName(broker.cluster);
        header.setBrokerName(broker.name);
        RemotingCommand answer =
            broker.call(RemotingCommand.createRequestCommand(RequestCode.GET_BROKER_MEMBER_GROUP, header));
        BrokerMemberGroup group = RemotingSerializable.decode(answer.getBody(), GetBrokerMemberGroupResponseBody.class)
            .getBrokerMemberGroup();
        World.equal(broker.cluster, group.getCluster(), "cluster");
        World.equal(broker.name, group.getBrokerName(), "name");
        return group;
    }

    /** A server that keeps the notices it gets; returns its address. */
    private static String listen(World world, BlockingQueue<NotifyMinBrokerIdChangeRequestHeader> notices) {
        NettyServerConfig config = new NettyServerConfig();
        config.setListenPort(0);
        NettyRemotingServer server = new NettyRemotingServer(config);
        ExecutorService thread = Executors.newSingleThreadExecutor();
        server.registerProcessor(RequestCode.NOTIFY_MIN_BROKER_ID_CHANGE, new NettyRequestProcessor() {
            @Override
            public RemotingCommand processRequest(ChannelHandlerContext context, RemotingCommand request)
                throws Exception {
                notices.add((NotifyMinBrokerIdChangeRequestHeader)
                    request.decodeCommandCustomHeader(NotifyMinBrokerIdChangeRequestHeader.class));
                return null;
            }

            @Override
            public boolean rejectRequest() {
                return false;
            }
        }, thread);
        server.start();
        world.closeAtEnd(() -> {
            server.shutdown();
            thread.shutdown();
        });
        return "127.0.0.1:" + server.localListenPort();
    }

    private static void awaitNotice(
        BlockingQueue<NotifyMinBrokerIdChangeRequestHeader> notices, long leastId, String address) throws Exception {
        NotifyMinBrokerIdChangeRequestHeader notice = notices.poll(World.WAIT_MS, TimeUnit.MILLISECONDS);
        World.check(notice != null, "no notice that broker " + leastId + " has the least id now");
        World.equal(leastId, notice.getMinBrokerId(), "least id");
        World.equal(address, notice.getMinBrokerAddr(), "address of that broker");
    }

    /** A topic enters the routes without its broker's whole table. */
    private static void registerTopic(World world) throws Exception {
        DefaultMQAdminExt admin = world.admin();
        RegisteredBroker broker =
            new RegisteredBroker(world, "C-topic-" + world.runId, "B-topic-" + world.runId, 0);
        broker.register(new TopicConfig(world.topic() + "-first", 1, 1, 6));
        QueueData queues = new QueueData();
        queues.setBrokerName(broker.name);
        queues.setReadQueueNums(4);
        queues.setWriteQueueNums(3);
        queues.setPerm(6);
        TopicRouteData route = new TopicRouteData();
        route.setQueueDatas(List.of(queues));
        RegisterTopicRequestHeader header = new RegisterTopicRequestHeader();
        header.setTopic(world.topic());
        RemotingCommand request = RemotingCommand.createRequestCommand(RequestCode.REGISTER_TOPIC_IN_NAMESRV, header);
        request.setBody(route.encode());
        broker.call(request);
        var shown = admin.examineTopicRouteInfo(world.topic());
        World.equal(List.of(queues), shown.getQueueDatas(), "queues");
        World.equal(broker.address, shown.getBrokerDatas().get(0).getBrokerAddrs().get(0L), "address of its broker");
    }
}
