package compat;

import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Finding messages by id, key and time. */
final class QueryScenarios {
    private QueryScenarios() {
    }

    static void addTo(Map<String, Scenario> all) {
        all.put("view-by-id", QueryScenarios::viewById);
        all.put("search-offset", QueryScenarios::searchOffset);
        all.put("query-by-key", QueryScenarios::queryByKey);
    }

    private static void viewById(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        List<MessageQueue> queues = world.createTopic(producer, 4);
        for (MessageQueue queue : queues) {
            for (int i = 0; i < 5; i++) {
                Message message = new Message(world.topic(), "TagA", "key" + i, Texts.text(i).getBytes());
                SendResult sent = producer.send(message, queue);
                MessageExt seen = producer.viewMessage(world.topic(), sent.getOffsetMsgId());
                World.equal(Texts.text(i), Inbox.body(seen), "body");
                World.equal(queue.getQueueId(), seen.getQueueId(), "queue");
                World.equal(sent.getQueueOffset(), seen.getQueueOffset(), "queue offset");
                World.equal("key" + i, seen.getKeys(), "keys");
            }
        }
    }

    private static void searchOffset(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        MessageQueue queue = world.createTopic(producer, 4).get(1);
        World.equal(0L, producer.maxOffset(queue), "greatest offset of an empty queue");
        long before = System.currentTimeMillis();
        long[] storedAt = new long[20];
        for (int i = 0; i < storedAt.length; i++) {
            SendResult sent = producer.send(Texts.message(world.topic(), i), queue);
            storedAt[i] = producer.viewMessage(world.topic(), sent.getOffsetMsgId()).getStoreTimestamp();
            long taken = storedAt[i];
            World.await(() -> System.currentTimeMillis() > taken, () -> "the clock stands still");
        }
        World.awaitMaxOffset(producer, queue, 20);
        World.equal(0L, producer.minOffset(queue), "least offset");
        World.equal(storedAt[0], producer.earliestMsgStoreTime(queue), "earliest store time");
        World.equal(0L, producer.searchOffset(queue, before - 1000), "offset before all");
        for (int i = 0; i < storedAt.length; i++) {
            World.equal((long) i, producer.searchOffset(queue, storedAt[i]), "offset at time " + i);
        }
        World.equal(20L, producer.searchOffset(queue, System.currentTimeMillis() + 60_000), "offset after all");
    }

    private static void queryByKey(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        world.createTopic(producer, 4);
        long began = System.currentTimeMillis() - 60_000;
        for (int i = 0; i < 12; i++) {
            Message message = new Message(world.topic(), "TagA", "order-" + i % 3, Texts.text(i).getBytes());
            producer.send(message);
        }
        World.await(() -> query(world, producer, "order-1", began).size() == 4,
            () -> "found " + query(world, producer, "order-1", began).size());
        for (MessageExt message : query(world, producer, "order-1", began)) {
            World.equal("order-1", message.getKeys(), "keys");
            World.equal(1, Integer.parseInt(Inbox.body(message).substring(1)) % 3, "number");
        }
        World.equal(0, query(world, producer, "order-9", began).size(), "messages of an unknown key");
    }

    private static List<MessageExt> query(World world, DefaultMQProducer producer, String key, long began) {
        try {
            QueryResult result =
                producer.queryMessage(world.topic(), key, 32, began, System.currentTimeMillis() + 60_000);
            return result.getMessageList();
        } catch (MQClientException none) {
            return List.of();
        } catch (InterruptedException reason) {
            throw new AssertionError(reason.toString(), reason);
        }
    }
}
