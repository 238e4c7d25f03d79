package golden;

import static golden.Cases.facts;

import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.common.UtilAll;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.sysflag.MessageSysFlag;

/** Stored records, batch items and message ids. */
final class Records {
    private Records() {
    }

    static void addTo(Cases cases) throws Exception {
        InetSocketAddress v4 = Values.host("10.1.2.3", 40123);
        InetSocketAddress broker = Values.host("127.0.0.1", 10911);
        InetSocketAddress v6 = Values.host("2001:db8::1", 40123);
        InetSocketAddress brokerV6 = Values.host("fe80::1:2", 10911);
        record(cases, "record-plain", Values.BODY, Values.properties(), 0, v4, broker);
        record(cases, "record-no-properties", "x".getBytes(), Map.of(), 0, v4, broker);
        record(cases, "record-empty-body", new byte[0], Values.properties(), 0, v4, broker);
        record(cases, "record-ipv6-both", Values.BODY, Values.properties(),
            MessageSysFlag.BORNHOST_V6_FLAG | MessageSysFlag.STOREHOSTADDRESS_V6_FLAG, v6, brokerV6);
        record(cases, "record-ipv6-born", Values.BODY, Map.of("TAGS", "\u6807\u7b7e"),
            MessageSysFlag.BORNHOST_V6_FLAG, v6, broker);
        batch(cases);
        ids(cases, "message-id-ipv4", broker);
        ids(cases, "message-id-ipv6", brokerV6);
    }

    private static void record(
        Cases cases, String name, byte[] body, Map<String, String> properties, int sysFlag, InetSocketAddress born,
        InetSocketAddress store) throws Exception {
        MessageExt message = new MessageExt();
        message.setTopic(Values.TOPIC);
        message.setBody(body);
        message.setBodyCRC(UtilAll.crc32(body));
        message.setQueueId(3);
        message.setFlag(9);
        message.setQueueOffset(123_456L);
        message.setCommitLogOffset(987_654_321_012L);
        message.setSysFlag(sysFlag);
        message.setBornTimestamp(Values.BORN_AT_MS);
        message.setBornHost(born);
        message.setStoreTimestamp(Values.STORED_AT_MS);
        message.setStoreHost(store);
        message.setReconsumeTimes(2);
        message.setPreparedTransactionOffset(11L);
        MessageAccessor.setProperties(message, new LinkedHashMap<>(properties));
        byte[] bytes = MessageDecoder.encode(message, false);
        cases.add(name, "record", bytes, describe(bytes));
    }

    /** What the library itself reads from the record. */
    static Map<String, Object> describe(byte[] bytes) {
        MessageExt read = MessageDecoder.decode(ByteBuffer.wrap(bytes), true, false);
        return facts(
            "topic", read.getTopic(),
            "queue_id", read.getQueueId(),
            "flag", read.getFlag(),
            "sys_flag", read.getSysFlag(),
            "queue_offset", read.getQueueOffset(),
            "position", read.getCommitLogOffset(),
            "born_at_ms", read.getBornTimestamp(),
            "born_host", text((InetSocketAddress) read.getBornHost()),
            "stored_at_ms", read.getStoreTimestamp(),
            "store_host", text((InetSocketAddress) read.getStoreHost()),
            "body_crc", read.getBodyCRC(),
            "reconsume_times", read.getReconsumeTimes(),
            "prepared_transaction_offset", read.getPreparedTransactionOffset(),
            "size", read.getStoreSize(),
            "properties", read.getProperties() == null ? Map.of() : new java.util.TreeMap<>(read.getProperties()),
            "body", read.getBody() == null ? new byte[0] : read.getBody());
    }

    static String text(InetSocketAddress address) {
        String host = address.getAddress().getHostAddress().replaceFirst("%.*", "");
        return host.contains(":") ? "[" + host + "]:" + address.getPort() : host + ":" + address.getPort();
    }

    private static void batch(Cases cases) {
        Message first = new Message(Values.TOPIC, Values.BODY);
        first.setFlag(3);
        MessageAccessor.setProperties(first, Values.properties());
        Message second = new Message(Values.TOPIC, "second".getBytes());
        List<Message> messages = List.of(first, second);
        List<Map<String, Object>> items = messages.stream().map(message -> {
            Map<String, Object> item = new LinkedHashMap<>();
            item.put("flag", message.getFlag());
            item.put("properties", message.getProperties() == null ? Map.of()
                : new java.util.TreeMap<>(message.getProperties()));
            item.put("body", message.getBody());
            return item;
        }).toList();
        cases.add("batch-two", "batch", MessageDecoder.encodeMessages(messages), facts("items", items));
    }

    private static void ids(Cases cases, String name, InetSocketAddress store) throws Exception {
        long position = 987_654_321_012L;
        String id = MessageDecoder.createMessageId(store, position);
        cases.add(name, "message-id", null, facts("id", id, "store_host", text(store), "position", position));
    }
}
