package compat;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.RPCHook;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.SerializeType;

/** Large, too large and compressed bodies, and the second header encoding. */
final class BodyScenarios {
    private static final int LARGEST_BYTES = 4 * 1024 * 1024;
    private static final int SEND_MESSAGE_V2 = 310;
    /** MESSAGE_ILLEGAL. */
    private static final int ILLEGAL = 13;
    /** A third of what a send may take: room for a busy machine that moves 4.25 MiB. */
    private static final long AT_ONCE_MS = World.WAIT_MS / 3;

    private BodyScenarios() {
    }

    static void addTo(Map<String, Scenario> all) {
        all.put("body-4-mib", BodyScenarios::largest);
        all.put("body-oversize", BodyScenarios::oversize);
        all.put("binary-headers", BodyScenarios::binaryHeaders);
        for (String compression : Versioned.compressions()) {
            all.put("compression-" + compression, world -> compressed(world, compression));
        }
    }

    private static void largest(World world) throws Exception {
        DefaultMQProducer producer = uncompressed(world, new SendCounter());
        world.createTopic(producer, 1);
        byte[] body = random(LARGEST_BYTES);
        for (int i = 0; i < 3; i++) {
            producer.send(new Message(world.topic(), body));
        }
        Inbox inbox = listen(world);
        World.await(() -> inbox.size() == 3, () -> "received " + inbox.size());
        inbox.all().forEach(m -> World.check(Arrays.equals(body, m.getBody()), "the body differs"));
    }

    private static void oversize(World world) throws Exception {
        SendCounter counter = new SendCounter();
        DefaultMQProducer producer = uncompressed(world, counter);
        world.createTopic(producer, 1);
        // So that the time is that of the refusal, without connecting.
        producer.send(Texts.message(world.topic(), 0));
        counter.answers.clear();
        long began = System.nanoTime();
        try {
            producer.send(new Message(world.topic(), random(LARGEST_BYTES + 256 * 1024)));
            throw new AssertionError("a body of 4.25 MiB was taken");
        } catch (MQBrokerException refused) {
            World.equal(ILLEGAL, refused.getResponseCode(), "code");
        }
        long tookMs = (System.nanoTime() - began) / 1_000_000;
        World.check(tookMs < AT_ONCE_MS, "the refusal took " + tookMs + " ms");
        World.equal(List.of(ILLEGAL), counter.answers, "answers to one send");
        // The connection is still good.
        producer.send(Texts.message(world.topic(), 1));
    }

    /** Keeps the codes of the answers to sends. */
    private static final class SendCounter implements RPCHook {
        private final List<Integer> answers = new CopyOnWriteArrayList<>();

        @Override
        public void doBeforeRequest(String address, RemotingCommand request) {
            // Only answers are counted: every attempt has one.
        }

        @Override
        public void doAfterResponse(String address, RemotingCommand request, RemotingCommand response) {
            if (request.getCode() == SEND_MESSAGE_V2) {
                answers.add(response.getCode());
            }
        }
    }

    private static DefaultMQProducer uncompressed(World world, RPCHook hook) throws Exception {
        DefaultMQProducer producer = world.unstartedProducer(hook);
        producer.setMaxMessageSize(2 * LARGEST_BYTES);
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        producer.start();
        return producer;
    }

    private static byte[] random(int length) {
        byte[] body = new byte[length];
        new Random(length).nextBytes(body);
        return body;
    }

    private static void compressed(World world, String compression) throws Exception {
        DefaultMQProducer producer = world.unstartedProducer();
        Versioned.setCompression(producer, compression);
        producer.start();
        world.createTopic(producer, 1);
        byte[] body = "All work and no play makes Jack a dull boy. ".repeat(5000).getBytes();
        producer.send(new Message(world.topic(), body));
        Inbox inbox = listen(world);
        World.await(() -> inbox.size() == 1, () -> "nothing received");
        MessageExt message = inbox.all().get(0);
        World.check(Arrays.equals(body, message.getBody()), "the body differs");
        World.check(message.getStoreSize() < body.length / 10, "stored in " + message.getStoreSize() + " bytes");
    }

    private static Inbox listen(World world) throws Exception {
        DefaultMQPushConsumer consumer = world.pushConsumer(world.group("reader"));
        consumer.subscribe(world.topic(), "*");
        Inbox inbox = new Inbox();
        inbox.listen(consumer);
        consumer.start();
        return inbox;
    }

    /** The encoding is a setting of the whole process, hence a child, which fails when an answer has another one. */
    private static void binaryHeaders(World world) throws Exception {
        String binary = "-D" + RemotingCommand.SERIALIZE_TYPE_PROPERTY + "=" + SerializeType.ROCKETMQ;
        try (Child child = Child.start(binary, "--namesrv", world.namesrv, "--broker", world.broker,
            "--run-id", world.runId + "-binary",
            "--scenario", "send-sync,batch,clustering,orderly,pull-seek,tag-filter,search-offset")) {
            int status = child.await();
            World.check(status == 0, child.lines().stream().filter(l -> !l.startsWith("PASS")).toList().toString());
            World.equal(7, child.all("PASS ").size(), "scenarios passed");
        }
    }
}
