package golden;

import static golden.Cases.facts;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.util.Arrays;
import java.util.List;
import java.util.TreeMap;
import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.remoting.CommandCustomHeader;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.SerializeType;
import %{protocol}.header.GetConsumerListByGroupRequestHeader;
import %{protocol}.header.GetMaxOffsetRequestHeader;
import %{protocol}.header.NotifyConsumerIdsChangedRequestHeader;
import %{protocol}.header.PullMessageRequestHeader;
import %{protocol}.header.PullMessageResponseHeader;
import %{protocol}.header.QueryConsumerOffsetRequestHeader;
import %{protocol}.header.QueryConsumerOffsetResponseHeader;
import %{protocol}.header.SearchOffsetRequestHeader;
import %{protocol}.header.SendMessageRequestHeader;
import %{protocol}.header.SendMessageRequestHeaderV2;
import %{protocol}.header.SendMessageResponseHeader;
import %{protocol}.header.UpdateConsumerOffsetRequestHeader;
import %{protocol}.header.ViewMessageRequestHeader;
import %{protocol}.header.namesrv.GetRouteInfoRequestHeader;

/** Whole frames as they leave a socket: every header in JSON and in the binary ROCKETMQ form. */
final class Frames {
    private static final int OPAQUE = 77;

    private Frames() {
    }

    static void addTo(Cases cases) throws Exception {
        sends(cases);
        pulls(cases);
        offsets(cases);
        request(cases, "view-by-id", 33, viewById(), null);
        request(cases, "consumer-list", 38, consumerList(), null);
        request(cases, "route", 105, route(), null);
        request(cases, "no-fields", 106, null, null);
        oneway(cases);
        response(cases, "error", 17, null, "topic[\u4e2d\u6587] not exist, \"apply\" first", null);
    }

    private static void sends(Cases cases) throws Exception {
        SendMessageRequestHeader header = send(false);
        request(cases, "send-v1", 10, header, Values.BODY);
        request(cases, "send-v2", 310, SendMessageRequestHeaderV2.createSendMessageRequestHeaderV2(header), Values.BODY);
        Message first = new Message(Values.TOPIC, "TagA", "k1", Values.BODY);
        Message second = new Message(Values.TOPIC, "second".getBytes());
        byte[] batch = MessageDecoder.encodeMessages(List.of(first, second));
        request(cases, "send-batch", 320, SendMessageRequestHeaderV2.createSendMessageRequestHeaderV2(send(true)), batch);
        SendMessageResponseHeader sent = new SendMessageResponseHeader();
        sent.setMsgId("7F00000100002A9F0000000000001234");
        sent.setQueueId(3);
        sent.setQueueOffset(9_000_000_000L);
        sent.setTransactionId("7F00000100001234567812345678ABCD");
        response(cases, "send-ok", 0, sent, null, null);
    }

    private static SendMessageRequestHeader send(boolean batch) {
        SendMessageRequestHeader header = new SendMessageRequestHeader();
        header.setProducerGroup(Values.GROUP);
        header.setTopic(Values.TOPIC);
        header.setDefaultTopic("TBW102");
        header.setDefaultTopicQueueNums(4);
        header.setQueueId(2);
        header.setSysFlag(0);
        header.setBornTimestamp(Values.BORN_AT_MS);
        header.setFlag(5);
        header.setProperties(MessageDecoder.messageProperties2String(Values.properties()));
        header.setReconsumeTimes(0);
        header.setUnitMode(false);
        header.setBatch(batch);
        return header;
    }

    private static void pulls(Cases cases) throws Exception {
        PullMessageRequestHeader header = new PullMessageRequestHeader();
        header.setConsumerGroup(Values.GROUP);
        header.setTopic(Values.TOPIC);
        header.setQueueId(1);
        header.setQueueOffset(1_234_567_890_123L);
        header.setMaxMsgNums(32);
        header.setSysFlag(7);
        header.setCommitOffset(1_234_567_890_000L);
        header.setSuspendTimeoutMillis(15_000L);
        header.setSubscription("TagA || TagB");
        header.setSubVersion(Values.BORN_AT_MS);
        header.setExpressionType("TAG");
        request(cases, "pull", 11, header, null);

        PullMessageResponseHeader answer = new PullMessageResponseHeader();
        answer.setSuggestWhichBrokerId(0L);
        answer.setNextBeginOffset(1_234_567_890_124L);
        answer.setMinOffset(0L);
        answer.setMaxOffset(1_234_567_890_200L);
        response(cases, "pull-found", 0, answer, "FOUND", Values.BODY);
        response(cases, "pull-not-found", 19, answer, "OFFSET_OVERFLOW_ONE", null);
    }

    private static void offsets(Cases cases) throws Exception {
        QueryConsumerOffsetRequestHeader query = new QueryConsumerOffsetRequestHeader();
        query.setConsumerGroup(Values.GROUP);
        query.setTopic(Values.TOPIC);
        query.setQueueId(0);
        request(cases, "query-offset", 14, query, null);
        QueryConsumerOffsetResponseHeader found = new QueryConsumerOffsetResponseHeader();
        found.setOffset(42L);
        response(cases, "query-offset-ok", 0, found, null, null);

        UpdateConsumerOffsetRequestHeader update = new UpdateConsumerOffsetRequestHeader();
        update.setConsumerGroup(Values.GROUP);
        update.setTopic(Values.TOPIC);
        update.setQueueId(0);
        update.setCommitOffset(43L);
        request(cases, "update-offset", 15, update, null);

        SearchOffsetRequestHeader search = new SearchOffsetRequestHeader();
        search.setTopic(Values.TOPIC);
        search.setQueueId(0);
        search.setTimestamp(Values.STORED_AT_MS);
        request(cases, "search-offset", 29, search, null);

        GetMaxOffsetRequestHeader max = new GetMaxOffsetRequestHeader();
        max.setTopic(Values.TOPIC);
        max.setQueueId(0);
        request(cases, "max-offset", 30, max, null);
    }

    private static ViewMessageRequestHeader viewById() {
        ViewMessageRequestHeader header = new ViewMessageRequestHeader();
        header.setOffset(0x123456789aL);
        return header;
    }

    private static GetConsumerListByGroupRequestHeader consumerList() {
        GetConsumerListByGroupRequestHeader header = new GetConsumerListByGroupRequestHeader();
        header.setConsumerGroup(Values.GROUP);
        return header;
    }

    private static GetRouteInfoRequestHeader route() {
        GetRouteInfoRequestHeader header = new GetRouteInfoRequestHeader();
        header.setTopic(Values.TOPIC);
        return header;
    }

    private static void oneway(Cases cases) throws Exception {
        for (SerializeType form : SerializeType.values()) {
            NotifyConsumerIdsChangedRequestHeader header = new NotifyConsumerIdsChangedRequestHeader();
            header.setConsumerGroup(Values.GROUP);
            RemotingCommand command = RemotingCommand.createRequestCommand(40, header);
            command.markOnewayRPC();
            add(cases, "oneway-notify", form, command, null);
        }
    }

    /** Adds a request in both header forms. */
    static void request(Cases cases, String name, int code, CommandCustomHeader header, byte[] body) throws Exception {
        for (SerializeType form : SerializeType.values()) {
            add(cases, "request-" + name, form, RemotingCommand.createRequestCommand(code, header), body);
        }
    }

    private static void response(
        Cases cases, String name, int code, CommandCustomHeader header, String remark, byte[] body) throws Exception {
        for (SerializeType form : SerializeType.values()) {
            RemotingCommand command = header == null
                ? RemotingCommand.createResponseCommand(code, remark)
                : RemotingCommand.createResponseCommand(header.getClass());
            command.setCode(code);
            command.setRemark(remark);
            if (header != null) {
                copyInto(command, header);
            }
            add(cases, "response-" + name, form, command, body);
        }
    }

    /** The response's own header object is made by the library; fill it field by field. */
    private static void copyInto(RemotingCommand command, CommandCustomHeader header) throws Exception {
        CommandCustomHeader target = command.readCustomHeader();
        for (var field : header.getClass().getDeclaredFields()) {
            if (!java.lang.reflect.Modifier.isStatic(field.getModifiers())) {
                field.setAccessible(true);
                field.set(target, field.get(header));
            }
        }
    }

    private static void add(Cases cases, String name, SerializeType form, RemotingCommand command, byte[] body)
        throws Exception {
        command.setOpaque(OPAQUE);
        command.setVersion(MQVersion.CURRENT_VERSION);
        command.setSerializeTypeCurrentRPC(form);
        command.setBody(body);
        ByteBuf buffer = Unpooled.buffer();
        command.fastEncodeHeader(buffer);
        if (body != null) {
            buffer.writeBytes(body);
        }
        byte[] frame = new byte[buffer.readableBytes()];
        buffer.readBytes(frame);
        cases.add(name + "-" + form.name().toLowerCase(), "frame", frame, describe(frame));
    }

    /** What the library itself reads from the frame. */
    private static java.util.Map<String, Object> describe(byte[] frame) throws Exception {
        RemotingCommand read = RemotingCommand.decode(Arrays.copyOfRange(frame, 4, frame.length));
        return facts(
            "serialize", read.getSerializeTypeCurrentRPC().name(),
            "code", read.getCode(),
            "language", read.getLanguage().name(),
            "version", read.getVersion(),
            "opaque", read.getOpaque(),
            "flag", read.getFlag(),
            "oneway", read.isOnewayRPC(),
            "response", (read.getFlag() & 1) == 1,
            "remark", read.getRemark(),
            "fields", read.getExtFields() == null ? null : new TreeMap<>(read.getExtFields()),
            "body", read.getBody() == null ? new byte[0] : read.getBody());
    }
}
