package compat;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.rocketmq.common.message.Message;

/** Messages whose body says their number. */
final class Texts {
    private Texts() {
    }

    static String text(int number) {
        return String.format("m%05d", number);
    }

    static List<String> texts(int from, int to) {
        return IntStream.range(from, to).mapToObj(Texts::text).collect(Collectors.toList());
    }

    static Message message(String topic, int number) {
        return new Message(topic, text(number).getBytes(StandardCharsets.UTF_8));
    }
}
