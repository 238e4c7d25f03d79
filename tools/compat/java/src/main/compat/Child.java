package compat;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** A child process of this program, and the lines it printed. */
final class Child implements AutoCloseable {
    private final Process process;
    private final Thread reader;
    private final List<String> lines = new CopyOnWriteArrayList<>();

    private Child(Process process) {
        this.process = process;
        this.reader = new Thread(this::read);
        this.reader.setDaemon(true);
        this.reader.start();
    }

    /** Starts CompatMain with these arguments; `property` is a -D option or null. */
    static Child start(String property, String... arguments) throws IOException {
        List<String> command = new ArrayList<>();
        command.add(System.getProperty("java.home") + "/bin/java");
        command.addAll(List.of("-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"));
        command.add("-Duser.home=" + System.getProperty("user.home"));
        if (property != null) {
            command.add(property);
        }
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), "compat.CompatMain"));
        command.addAll(List.of(arguments));
        return new Child(new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start());
    }

    private void read() {
        try (BufferedReader in =
                 new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                lines.add(line);
            }
        } catch (IOException killed) {
            // The stream of a killed process ends like this.
        }
    }

    List<String> lines() {
        return lines;
    }

    /** What follows the prefix in the latest line that has it. */
    String latest(String prefix) {
        return lines.stream().filter(l -> l.startsWith(prefix)).reduce((a, b) -> b)
            .map(l -> l.substring(prefix.length())).orElse("");
    }

    List<String> all(String prefix) {
        return lines.stream().filter(l -> l.startsWith(prefix)).map(l -> l.substring(prefix.length())).toList();
    }

    /** Waits for its end and returns the exit status. */
    int await() throws InterruptedException {
        int status = process.waitFor();
        reader.join();
        return status;
    }

    /** SIGKILL: no goodbye to any server. */
    void kill() throws InterruptedException {
        // Through the handle: Process.destroyForcibly would also throw away what the pipe still holds.
        process.toHandle().destroyForcibly();
        await();
    }

    @Override
    public void close() {
        process.destroyForcibly();
    }
}
