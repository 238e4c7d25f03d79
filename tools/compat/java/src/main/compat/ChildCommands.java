package compat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.tools.command.MQAdminStartup;

/** Runs commands of the official {@code mqadmin} and looks for the words that they must print. */
final class ChildCommands {
    /** How many commands there are. */
    static final int COUNT = 12;

    private ChildCommands() {
    }

    /** A command line, and a regular expression for a part of its output. */
    private record Command(String line, String expected) {
    }

    static void main(Map<String, String> options) throws Exception {
        home();
        PrintStream terminal = System.out;
        int wrong = 0;
        for (Command command : commands(options)) {
            String printed = run(command.line + " -n " + options.get("namesrv"));
            boolean good = printed.replaceAll("\\s+", " ").matches(".*(" + command.expected + ").*");
            wrong += good ? 0 : 1;
            terminal.println((good ? "GOOD " : "WRONG ") + command.line + (good ? "" : ": " + printed));
        }
        terminal.flush();
        // The tool leaves threads behind that are no daemons.
        System.exit(wrong == 0 ? 0 : 1);
    }

    /** The tool asks for its home folder and, in 4.9, for a file on logging there. */
    private static void home() throws IOException {
        Path home = Path.of(System.getProperty("user.home"), "mqadmin");
        Files.createDirectories(home.resolve("conf"));
        Files.writeString(home.resolve("conf/logback_tools.xml"), "<configuration/>\n");
        System.setProperty("rocketmq.home.dir", home.toString());
    }

    private static List<Command> commands(Map<String, String> options) {
        String broker = options.get("broker");
        String topic = options.get("topic");
        String group = options.get("group");
        List<Command> list = new ArrayList<>();
        list.add(new Command("clusterList", "DefaultCluster broker-a 0 " + broker + " V"));
        list.add(new Command("updateSubGroup -b " + broker + " -g " + group + " -r 5", "success"));
        list.add(new Command("updateTopic -b " + broker + " -t " + topic + " -r 5 -w 3 -p 6", "success"));
        list.add(new Command("topicList", topic));
        list.add(new Command("topicRoute -t " + topic, "\"?readQueueNums\"?: ?5"));
        list.add(new Command("topicStatus -t " + topic, "broker-a 1 0 3 20"));
        list.add(new Command("brokerStatus -b " + broker, "bootTimestamp *:"));
        list.add(new Command("getBrokerConfig -b " + broker, "brokerName *= *broker-a"));
        list.add(new Command("updateKvConfig -s " + group + " -k colour -v green", "success"));
        list.add(new Command("consumerProgress", "Group"));
        list.add(new Command("deleteTopic -c DefaultCluster -t " + topic, "success"));
        list.add(new Command("topicRoute -t " + topic, "CODE: 17"));
        if (list.size() != COUNT) {
            throw new AssertionError(list.size() + " commands");
        }
        return list;
    }

    /** What the command prints to both outputs. */
    private static String run(String line) {
        PrintStream out = System.out;
        PrintStream error = System.err;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        try (PrintStream both = new PrintStream(printed, true, StandardCharsets.UTF_8)) {
            System.setOut(both);
            System.setErr(both);
            MQAdminStartup.main0(line.split(" "), null);
        } finally {
            System.setOut(out);
            System.setErr(error);
        }
        return printed.toString(StandardCharsets.UTF_8);
    }
}
