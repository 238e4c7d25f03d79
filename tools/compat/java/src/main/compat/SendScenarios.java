package compat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** The ways to send. */
final class SendScenarios {
    private SendScenarios() {
    }

    static void addTo(Map<String, Scenario> all) {
        all.put("send-sync", SendScenarios::sync);
        all.put("send-async", SendScenarios::async);
        all.put("send-oneway", SendScenarios::oneway);
        all.put("precreated-topic", SendScenarios::precreated);
        all.put("batch", SendScenarios::batch);
        all.put("queue-selector", SendScenarios::selector);
        all.put("vip-channel", SendScenarios::vip);
        all.put("request-refused", SendScenarios::request);
    }

    /** On an auto-created topic; everything a message carries arrives. */
    private static void sync(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        Message message = new Message(world.topic(), "TagA", "key-1 key-2", 7, "body".getBytes(), true);
        message.putUserProperty("colour", "\u7eff = green");
        SendResult result = producer.send(message);
        World.equal(SendStatus.SEND_OK, result.getSendStatus(), "status");
        World.check(result.getQueueOffset() == 0, "first offset is " + result.getQueueOffset());
        List<String> texts = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            World.equal(SendStatus.SEND_OK, producer.send(Texts.message(world.topic(), i)).getSendStatus(), "status");
            texts.add(Texts.text(i));
        }
        texts.add("body");
        Inbox inbox = receive(world, producer, texts);
        MessageExt received =
            inbox.all().stream().filter(m -> Inbox.body(m).equals("body")).findFirst().orElseThrow();
        World.equal("TagA", received.getTags(), "tag");
        World.equal("key-1 key-2", received.getKeys(), "keys");
        World.equal(7, received.getFlag(), "flag");
        World.equal("\u7eff = green", received.getUserProperty("colour"), "user property");
        World.equal(result.getMsgId(), received.getMsgId(), "message id");
        World.equal(0, received.getReconsumeTimes(), "reconsume times");
        World.check(received.getBornTimestamp() <= received.getStoreTimestamp() + 1000, "born after it was stored");
    }

    private static void async(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        producer.send(Texts.message(world.topic(), 0));
        ConcurrentLinkedQueue<SendResult> results = new ConcurrentLinkedQueue<>();
        ConcurrentLinkedQueue<Throwable> failures = new ConcurrentLinkedQueue<>();
        for (int i = 1; i < 200; i++) {
            producer.send(Texts.message(world.topic(), i), new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    results.add(result);
                }

                @Override
                public void onException(Throwable reason) {
                    failures.add(reason);
                }
            });
        }
        World.await(() -> results.size() + failures.size() == 199, () -> results.size() + " answers");
        World.check(failures.isEmpty(), "failed sends: " + failures);
        receive(world, producer, Texts.texts(0, 200));
    }

    private static void oneway(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        world.createTopic(producer, 4);
        for (int i = 0; i < 50; i++) {
            producer.sendOneway(Texts.message(world.topic(), i));
        }
        receive(world, producer, Texts.texts(0, 50));
    }

    private static void precreated(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        List<MessageQueue> queues = world.createTopic(producer, 6);
        int number = 0;
        for (MessageQueue queue : queues) {
            for (int i = 0; i < 3; i++) {
                SendResult result = producer.send(Texts.message(world.topic(), number++), queue);
                World.equal(queue, result.getMessageQueue(), "queue");
                World.equal((long) i, result.getQueueOffset(), "offset in " + queue);
            }
        }
        receive(world, producer, Texts.texts(0, number));
    }

    private static void batch(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        List<MessageQueue> queues = world.createTopic(producer, 4);
        List<Message> messages = new ArrayList<>();
        for (int i = 0; i < 64; i++) {
            Message message = new Message(world.topic(), "Tag" + i % 2, "key" + i, Texts.text(i).getBytes());
            message.putUserProperty("number", String.valueOf(i));
            messages.add(message);
        }
        SendResult result = producer.send(messages, queues.get(1));
        World.equal(SendStatus.SEND_OK, result.getSendStatus(), "status");
        World.equal(64, result.getMsgId().split(",").length, "message ids");
        World.equal(64, result.getOffsetMsgId().split(",").length, "offset message ids");
        Inbox inbox = receive(world, producer, Texts.texts(0, 64));
        List<MessageExt> inQueue = inbox.byQueue().get(1);
        for (int i = 0; i < 64; i++) {
            MessageExt message = inQueue.get(i);
            World.equal(Texts.text(i), Inbox.body(message), "body at offset " + i);
            World.equal("Tag" + i % 2, message.getTags(), "tag");
            World.equal("key" + i, message.getKeys(), "keys");
            World.equal(String.valueOf(i), message.getUserProperty("number"), "user property");
        }
    }

    private static void selector(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        world.createTopic(producer, 4);
        for (int i = 0; i < 40; i++) {
            int user = i % 7;
            SendResult result = producer.send(Texts.message(world.topic(), i),
                (queues, message, argument) -> queues.get((Integer) argument % queues.size()), user);
            World.equal(user % 4, result.getMessageQueue().getQueueId(), "queue of user " + user);
        }
        Inbox inbox = receive(world, producer, Texts.texts(0, 40));
        inbox.all().forEach(m -> World.equal(
            Integer.parseInt(Inbox.body(m).substring(1)) % 7 % 4, m.getQueueId(), "queue"));
    }

    /** Through the second port, two below the first. */
    private static void vip(World world) throws Exception {
        DefaultMQProducer producer = world.unstartedProducer();
        producer.setVipChannelEnabled(true);
        producer.start();
        for (int i = 0; i < 10; i++) {
            World.equal(SendStatus.SEND_OK, producer.send(Texts.message(world.topic(), i)).getSendStatus(), "status");
        }
        receive(world, producer, Texts.texts(0, 10));
    }

    /** A broker that carries no replies (ours) refuses a request at once and says so; nobody ever gets it. */
    private static void request(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        producer.send(Texts.message(world.topic(), 0));
        ConcurrentLinkedQueue<String> outcomes = new ConcurrentLinkedQueue<>();
        // Whoever waits for the answer itself gets a failure at once, too, but Java loses its reason now and then.
        producer.request(Texts.message(world.topic(), 1), new RequestCallback() {
            @Override
            public void onSuccess(Message answer) {
                outcomes.add("answered");
            }

            @Override
            public void onException(Throwable reason) {
                outcomes.add(String.valueOf(reason));
            }
        }, 2 * World.WAIT_MS);
        World.await(() -> !outcomes.isEmpty(), () -> "neither an answer nor a refusal");
        String outcome = outcomes.remove();
        World.check(outcome.contains("CODE: 13") && outcome.contains("request-reply"), "refused with: " + outcome);
        // A user may have a property of such a name.
        Message plain = Texts.message(world.topic(), 2);
        plain.getProperties().put("CORRELATION_ID", "mine");
        producer.send(plain);
        receive(world, producer, List.of(Texts.text(0), Texts.text(2)));
    }

    /** A new group receives exactly these bodies. */
    static Inbox receive(World world, DefaultMQProducer producer, List<String> bodies) throws Exception {
        world.awaitRoute(producer);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = world.pushConsumer(world.group("reader"));
        consumer.subscribe(world.topic(), "*");
        inbox.listen(consumer);
        consumer.start();
        inbox.awaitExactly(bodies);
        return inbox;
    }

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
