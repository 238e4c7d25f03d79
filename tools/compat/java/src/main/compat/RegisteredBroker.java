package compat;

import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.remoting.netty.NettyClientConfig;
import org.apache.rocketmq.remoting.netty.NettyRemotingClient;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/** What a broker says to a name server, from the official classes; nobody listens at its address unless told. */
final class RegisteredBroker {
    final String cluster;
    final String name;
    final long id;
    final String address;
    private final World world;
    private final NettyRemotingClient connection;
    private final ConcurrentMap<String, TopicConfig> topics = new ConcurrentHashMap<>();
    /** Registrations so far: the version of what is registered. */
    private long version;
    /** A compressed registration leaves out whether a topic is ordered, and its system flags. */
    boolean compressed = true;
    /** Whether the slave with the least id stands in for a master that is gone; since 5.0. */
    boolean actingMaster;

    RegisteredBroker(World world, String cluster, String name, long id) {
        this(world, cluster, name, id, "127.0.0.1:" + (1 + id));
    }

    RegisteredBroker(World world, String cluster, String name, long id, String address) {
        // Every broker has these two; a first registration with one topic only is refused.
        for (String own : List.of(cluster, name)) {
            topics.put(own, new TopicConfig(own, 1, 1, 7));
        }
        this.world = world;
        this.cluster = cluster;
        this.name = name;
        this.id = id;
        this.address = address;
        this.connection = new NettyRemotingClient(new NettyClientConfig());
        this.connection.start();
        world.closeAtEnd(this::disconnect);
    }

    /** Registers with these topics and those of before. */
    void register(TopicConfig... more) throws Exception {
        for (TopicConfig topic : more) {
            topics.put(topic.getTopicName(), topic);
        }
        version++;
        call(Versioned.registration(this, topics, version));
    }

    /** Asks whether the name server wants to be told anew. */
    void hasChanged(boolean expected) throws Exception {
        RemotingCommand answer = call(Versioned.versionQuery(this, version));
        World.equal(String.valueOf(expected), answer.getExtFields().get("changed"), "whether topics changed");
    }

    void unregister() throws Exception {
        call(Versioned.departure(this));
    }

    /** Sends a request to the name server and returns its answer, which must be a success. */
    RemotingCommand call(RemotingCommand request) throws Exception {
        RemotingCommand answer = connection.invokeSync(world.namesrv, request, World.WAIT_MS);
        World.equal(0, answer.getCode(), "code of the answer to " + request.getCode() + ", " + answer.getRemark());
        return answer;
    }

    /** Ends the connection without a goodbye. */
    void disconnect() {
        connection.shutdown();
    }
}
