package compat;

import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.remoting.RPCHook;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.SerializeType;

/**
 * Sees that the header of every answer of the broker is encoded like those of this process's requests. Apache's servers
 * answer in the encoding of their own settings, and the name server may be theirs.
 */
final class Encoding implements RPCHook {
    private static final SerializeType EXPECTED =
        SerializeType.valueOf(System.getProperty(RemotingCommand.SERIALIZE_TYPE_PROPERTY, SerializeType.JSON.name()));

    private final String broker;
    private final AtomicInteger answers = new AtomicInteger();
    private final Queue<String> wrong = new ConcurrentLinkedQueue<>();

    Encoding(String broker) {
        this.broker = broker;
    }

    /** Called for the broker's requests too, which are in its own encoding. */
    @Override
    public void doBeforeRequest(String address, RemotingCommand request) {
    }

    @Override
    public void doAfterResponse(String address, RemotingCommand request, RemotingCommand response) {
        // The broker's notices have none.
        if (response == null || !address.equals(broker)) {
            return;
        }
        answers.incrementAndGet();
        if (response.getSerializeTypeCurrentRPC() != EXPECTED) {
            wrong.add("answer to request " + request.getCode() + " in " + response.getSerializeTypeCurrentRPC());
        }
    }

    void check() {
        World.check(wrong.isEmpty(), "expected " + EXPECTED + ", saw " + wrong);
        // Scenarios with clients of another kind make none, but those run with the usual encoding only.
        World.check(EXPECTED == SerializeType.JSON || answers.get() > 0, "saw no answer in " + EXPECTED);
    }
}
