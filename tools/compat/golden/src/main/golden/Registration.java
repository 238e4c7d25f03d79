package golden;

import static golden.Cases.facts;

import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.UtilAll;
import %{protocol}.body.RegisterBrokerBody;
import %{protocol}.header.namesrv.RegisterBrokerRequestHeader;
import %{versioned}.DataVersion;

/** What a broker of each version registers with: plain and compressed body, and the whole frame. */
final class Registration {
    private Registration() {
    }

    static void addTo(Cases cases) throws Exception {
        Map<String, Object> facts = facts(
            "counter", 3, "timestamp", Values.BORN_AT_MS, "filter_servers", List.of("10.0.0.1:9000"),
            "topics", List.of(
                facts("name", "T1", "read_queues", 8, "write_queues", 4, "perm", 6),
                facts("name", "T2", "read_queues", 1, "write_queues", 1, "perm", 4)));
        byte[] plain = body().encode(false);
        cases.add("register-body-plain", "register-body", plain, facts);
        cases.add("register-body-compressed", "register-body-compressed", body().encode(true), facts);
        RegisterBrokerRequestHeader header = new RegisterBrokerRequestHeader();
        header.setBrokerAddr("10.0.0.1:10911");
        header.setBrokerId(0L);
        header.setBrokerName(Values.BROKER);
        header.setClusterName(Values.CLUSTER);
        header.setHaServerAddr("10.0.0.1:10912");
        header.setBodyCrc32(UtilAll.crc32(plain));
        Frames.request(cases, "register", 103, header, plain);
    }

    static RegisterBrokerBody body() {
        ConcurrentHashMap<String, TopicConfig> topics = new ConcurrentHashMap<>();
        topics.put("T1", new TopicConfig("T1", 8, 4, 6));
        topics.put("T2", new TopicConfig("T2", 1, 1, 4));
        RegisterBrokerBody body = new RegisterBrokerBody();
        DataVersion version = dataVersion();
        body.setTopicConfigSerializeWrapper(Versioned.topics(topics, version));
        body.setFilterServerList(List.of("10.0.0.1:9000"));
        return body;
    }

    static DataVersion dataVersion() {
        DataVersion version = new DataVersion();
        version.setTimestamp(Values.BORN_AT_MS);
        version.setCounter(new AtomicLong(3));
        return version;
    }
}
