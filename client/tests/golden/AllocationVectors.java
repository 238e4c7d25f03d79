// Prints allocation.txt: what the strategies of the official Java client answer.
// Run with rocketmq-client 5.5.0 and its dependencies on the class path:
//   java -cp 'lib/*' AllocationVectors.java > allocation.txt
// One line per case: strategy, member, members, queues (broker:id), share.

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.AllocateMessageQueueStrategy;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMachineRoomNearby;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragelyByCircle;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueByMachineRoom;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueConsistentHash;
import org.apache.rocketmq.common.message.MessageQueue;

class AllocationVectors {
    static String text(List<MessageQueue> queues) {
        return queues.stream().map(q -> q.getBrokerName() + ":" + q.getQueueId())
            .collect(Collectors.joining(","));
    }

    static String room(String name) {
        return name.split("@")[0];
    }

    public static void main(String[] args) {
        AllocateMessageQueueByMachineRoom rooms = new AllocateMessageQueueByMachineRoom();
        rooms.setConsumeridcs(new HashSet<>(Arrays.asList("r1", "r3")));
        AllocateMachineRoomNearby.MachineRoomResolver resolver =
            new AllocateMachineRoomNearby.MachineRoomResolver() {
                public String brokerDeployIn(MessageQueue queue) { return room(queue.getBrokerName()); }
                public String consumerDeployIn(String member) { return room(member); }
            };
        List<AllocateMessageQueueStrategy> strategies = Arrays.asList(
            new AllocateMessageQueueAveragely(),
            new AllocateMessageQueueAveragelyByCircle(),
            new AllocateMessageQueueConsistentHash(),
            rooms,
            new AllocateMachineRoomNearby(new AllocateMessageQueueAveragely(), resolver));
        int[][] shapes = {{1, 1}, {3, 2}, {4, 4}, {2, 5}, {8, 3}, {5, 7}};
        for (int[] shape : shapes) {
            List<MessageQueue> queues = new ArrayList<>();
            for (String broker : new String[] {"r1@b1", "r2@b2", "r3@b3"}) {
                for (int id = 0; id < shape[0]; id++) {
                    queues.add(new MessageQueue("Orders", broker, id));
                }
            }
            Collections.sort(queues);
            List<String> members = new ArrayList<>();
            for (int i = 0; i < shape[1]; i++) {
                members.add("r" + (1 + i % 2) + "@10.0.0." + (7 + i) + "@" + (4321 + 13 * i) + "#99");
            }
            Collections.sort(members);
            for (AllocateMessageQueueStrategy strategy : strategies) {
                for (String member : members) {
                    List<MessageQueue> share = strategy.allocate("g", member, queues, members);
                    System.out.println(strategy.getName() + "\t" + member + "\t"
                        + String.join(",", members) + "\t" + text(queues) + "\t" + text(share));
                }
            }
        }
    }
}
