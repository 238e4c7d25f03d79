package compat;

import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;

/** A consumer in a process of its own, which its parent kills: prints what it holds and what it receives. */
final class ChildConsumer {
    private ChildConsumer() {
    }

    static void main(Map<String, String> options) throws Exception {
        DefaultMQPushConsumer consumer = World.unclosedPushConsumer(options.get("namesrv"), options.get("group"), null);
        consumer.subscribe(options.get("topic"), "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (received, context) -> {
            // Printed before the answer, so that no progress is stored for a message the parent has not heard of.
            received.forEach(message -> System.out.println("GOT " + Inbox.body(message)));
            System.out.flush();
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        int held = -1;
        while (true) {
            int now = World.held(consumer).size();
            if (now != held) {
                held = now;
                System.out.println("HELD " + held);
                System.out.flush();
            }
            Thread.sleep(20);
        }
    }
}
