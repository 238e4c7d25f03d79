package compat;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;

/**
 * Runs scenarios against a cluster: {@code --namesrv ADDR --broker ADDR --scenario all|NAME,NAME --run-id X}.
 * Prints {@code PASS name ms} or {@code FAIL name reason} each and closes with {@code N passed, N failed}.
 */
public final class CompatMain {
    /** Scenarios wait for servers most of the time, so a few more than there are cores. */
    private static final int PARALLEL = 8;

    private CompatMain() {
    }

    public static void main(String[] args) throws Exception {
        Map<String, String> options = options(args);
        if (options.containsKey("role")) {
            switch (options.get("role")) {
                case "consumer" -> ChildConsumer.main(options);
                case "mqadmin" -> ChildCommands.main(options);
                default -> throw new IllegalArgumentException(options.get("role"));
            }
            return;
        }
        Map<String, Scenario> chosen = choose(options.getOrDefault("scenario", "all"));
        for (String left : options.getOrDefault("without", "").split(",")) {
            chosen.remove(left);
        }
        String namesrv = options.get("namesrv");
        String broker = options.get("broker");
        String runId = options.getOrDefault("run-id", "r" + System.currentTimeMillis());
        AtomicInteger passed = new AtomicInteger();
        AtomicInteger failed = new AtomicInteger();
        ExecutorService pool = Executors.newFixedThreadPool(PARALLEL);
        List<Future<?>> runs = new ArrayList<>();
        chosen.forEach((name, scenario) -> runs.add(pool.submit(() -> {
            if (runOne(name, scenario, () -> new World(namesrv, broker, runId, name))) {
                passed.incrementAndGet();
            } else {
                failed.incrementAndGet();
            }
        })));
        for (Future<?> run : runs) {
            run.get();
        }
        pool.shutdown();
        System.out.printf("%d passed, %d failed%n", passed.get(), failed.get());
        System.out.flush();
        // Client libraries leave threads behind that are no daemons.
        System.exit(failed.get() == 0 ? 0 : 1);
    }

    private static boolean runOne(String name, Scenario scenario, Supplier<World> open) {
        long began = System.nanoTime();
        try (World world = open.get()) {
            scenario.run(world);
            world.checkEncoding();
            System.out.printf("PASS %s %d%n", name, TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began));
            return true;
        } catch (Throwable reason) {
            System.out.printf("FAIL %s %s%n", name, oneLine(reason));
            if (!(reason instanceof AssertionError)) {
                reason.printStackTrace();
            }
            return false;
        }
    }

    private static String oneLine(Throwable reason) {
        String text = reason instanceof AssertionError ? reason.getMessage() : reason.toString();
        return String.valueOf(text).replaceAll("\\s+", " ");
    }

    private static Map<String, Scenario> choose(String names) {
        Map<String, Scenario> all = new LinkedHashMap<>();
        // The slow ones first, so that they do not end up alone.
        AdminBrokerScenarios.addTo(all);
        BodyScenarios.addTo(all);
        RebalanceScenarios.addTo(all);
        ConsumeScenarios.addTo(all);
        PullScenarios.addTo(all);
        SendScenarios.addTo(all);
        QueryScenarios.addTo(all);
        AdminScenarios.addTo(all);
        NamesrvScenarios.addTo(all);
        Versioned.addTo(all);
        if (names.equals("all")) {
            return all;
        }
        // Not part of "all": the broker is restarted between the two.
        ReopenScenarios.addTo(all);
        Map<String, Scenario> chosen = new LinkedHashMap<>();
        for (String name : names.split(",")) {
            if (!all.containsKey(name)) {
                System.err.println("no scenario " + name + "; there are: " + String.join(", ", all.keySet()));
                System.exit(2);
            }
            chosen.put(name, all.get(name));
        }
        return chosen;
    }

    private static Map<String, String> options(String[] args) {
        Map<String, String> options = new HashMap<>();
        for (int i = 0; i + 1 < args.length; i += 2) {
            options.put(args[i].replaceFirst("^--", ""), args[i + 1]);
        }
        if (args.length % 2 != 0 || !options.containsKey("namesrv")) {
            System.err.println("usage: CompatMain --namesrv HOST:PORT [--scenario all|NAME,NAME] [--run-id ID]");
            System.exit(2);
        }
        return options;
    }
}
