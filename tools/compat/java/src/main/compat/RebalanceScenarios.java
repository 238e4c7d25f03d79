package compat;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.impl.consumer.ProcessQueue;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.MessageQueue;

/** Consumers of one group share its queues, and share them anew when one comes or dies. */
final class RebalanceScenarios {
    private static final int QUEUES = 8;

    private RebalanceScenarios() {
    }

    static void addTo(Map<String, Scenario> all) {
        all.put("rebalance", RebalanceScenarios::joinAndKill);
        all.put("clustering", RebalanceScenarios::clustering);
    }

    private static void clustering(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        world.createTopic(producer, QUEUES);
        Inbox inbox = new Inbox();
        List<Inbox> shares = List.of(new Inbox(), new Inbox());
        List<DefaultMQPushConsumer> pair = startPair(world, inbox, shares);
        var tenures = tenures(pair);
        for (int i = 0; i < 400; i++) {
            producer.send(Texts.message(world.topic(), i));
        }
        World.await(() -> inbox.size() >= 400, () -> "received " + inbox.size());
        checkUnchanged(tenures, pair);
        inbox.awaitExactly(Texts.texts(0, 400));
        shares.forEach(share -> World.check(share.size() > 100, "one consumer received only " + share.size()));
    }

    /**
     * Two consumers that hold half of the queues each. The second one starts when the first has taken all: a consumer
     * takes its queues one after the other, so of two that start together each may hold a half on the way to another share.
     */
    private static List<DefaultMQPushConsumer> startPair(World world, Inbox inbox, List<Inbox> shares)
        throws Exception {
        List<DefaultMQPushConsumer> pair = new ArrayList<>();
        for (Inbox share : shares) {
            DefaultMQPushConsumer consumer = world.pushConsumer(world.group("reader"));
            consumer.subscribe(world.topic(), "*");
            consumer.registerMessageListener(
                (org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently) (received, context) -> {
                    received.forEach(inbox::put);
                    received.forEach(share::put);
                    return org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
                });
            consumer.start();
            pair.add(consumer);
            World.await(() -> World.held(pair) >= QUEUES, () -> pair.size() + " consumers hold " + World.held(pair) + " queues");
        }
        awaitHalves(pair);
        return pair;
    }

    private static void awaitHalves(List<DefaultMQPushConsumer> pair) throws InterruptedException {
        World.await(() -> pair.stream().allMatch(c -> World.held(c).size() == QUEUES / 2) && disjoint(pair),
            () -> "queues held: " + pair.stream().map(World::held).toList());
    }

    /**
     * RocketMQ promises that a message comes at least once. It comes twice when its queue changes hands while it is under
     * way: the new owner begins at the progress that the old one has stored, every five seconds and when it lets go, and
     * what was with its listener then is not in that. While nobody joins or leaves no queue may change hands, and so
     * nothing may come twice.
     */
    private static void checkUnchanged(
        List<Map<MessageQueue, ProcessQueue>> before, List<DefaultMQPushConsumer> pair) {
        var now = tenures(pair);
        for (int i = 0; i < pair.size(); i++) {
            World.check(before.get(i).equals(now.get(i)), "queues changed hands though nobody came or went: "
                + before.get(i).keySet() + " before, " + now.get(i).keySet() + " now");
        }
    }

    private static List<Map<MessageQueue, ProcessQueue>> tenures(List<DefaultMQPushConsumer> consumers) {
        return consumers.stream().map(World::tenures).toList();
    }

    private static boolean disjoint(List<DefaultMQPushConsumer> consumers) {
        Set<MessageQueue> all = new HashSet<>();
        return consumers.stream().allMatch(c -> World.held(c).stream().allMatch(all::add));
    }

    /** A third consumer, a process of its own, joins and is killed with SIGKILL; nothing gets lost. */
    private static void joinAndKill(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        world.createTopic(producer, QUEUES);
        Inbox inbox = new Inbox();
        List<DefaultMQPushConsumer> pair = startPair(world, inbox, List.of(new Inbox(), new Inbox()));
        try (Child child = Child.start(null, "--role", "consumer", "--namesrv", world.namesrv,
            "--topic", world.topic(), "--group", world.group("reader"))) {
            World.await(() -> !child.latest("HELD ").isEmpty() && Integer.parseInt(child.latest("HELD ")) >= 2
                    && World.held(pair) == QUEUES - Integer.parseInt(child.latest("HELD ")),
                () -> "the joining consumer holds " + child.latest("HELD ") + ", the others " + World.held(pair));
            for (int i = 0; i < 400; i++) {
                producer.send(Texts.message(world.topic(), i));
                if (i == 200) {
                    World.await(() -> !child.all("GOT ").isEmpty(), () -> "the joining consumer receives nothing");
                    child.kill();
                }
            }
            awaitHalves(pair);
            World.await(() -> {
                Set<String> seen = new HashSet<>(inbox.bodies());
                seen.addAll(child.all("GOT "));
                return seen.size() == 400;
            }, () -> "messages are missing after a consumer was killed: have " + inbox.size());
        }
        // With the queues settled again every message comes exactly once.
        var tenures = tenures(pair);
        for (int i = 400; i < 600; i++) {
            producer.send(Texts.message(world.topic(), i));
        }
        World.await(() -> settled(inbox).size() >= 200, () -> "received " + settled(inbox).size());
        checkUnchanged(tenures, pair);
        World.equal(Texts.texts(400, 600), settled(inbox), "bodies");
    }

    private static List<String> settled(Inbox inbox) {
        return inbox.bodies().stream().filter(body -> body.compareTo(Texts.text(400)) >= 0).toList();
    }
}
