//! What the help says besides commands and flags: examples, exit codes, the words of the tables.

/// Examples of all commands, and the exit codes.
pub const EXAMPLES: &str = "\
Examples:
  bench produce                   a broker of its own on real files
  bench produce -n 127.0.0.1:9876 -t BenchTopic
                                  a running cluster
  bench produce -c 64 -d 32 --flush sync
                                  64 connections, 32 messages in flight on each
  bench produce --rate 10k -c 16  open loop: latency from the intended send time
  bench produce --client-cores 1  the client bound to a core off the broker's
  bench produce --verify          prove that everything acknowledged can be read
  bench consume                   fill a topic and pull it over and over
  bench consume -n 127.0.0.1:9876 --from last --produce 5k
                                  the age of messages as they arrive
  bench consume --cold -c 4 -d 1  a catch-up from the device
  bench end-to-end --rate 5k      from the intended send time to a consumer
  bench mixed --rate 10k --readers 4
                                  producers beside a catch-up
  bench idle -c 100 -d 100        what 10,000 pulls cost that wait for nothing
  bench knee --bound p99=5ms      the highest rate that keeps a promise
  bench run bench/scenarios/sync-64x1.toml --json
  bench produce --duration 25 -o before
                                  a result to compare: 25 s, or --repeat 3
  bench compare before.json after.json
                                  is the second one worse? (exit code 5)
  bench produce --rate 10k --report run.html
                                  a page with plots
  bench report before.json after.json -o o.html
                                  saved results side by side
  bench switch sendStageTracing=false,true -c 64 -d 32
                                  what a setting costs, within one run
  bench limits -c 64 -d 1         what this machine allows a broker
  bench limits -n 127.0.0.1:9876  what the way to a running cluster takes
  bench versus --against tuned,ours --scenarios sync-64x1
                                  the race against Apache RocketMQ 5.5.0
  bench consume --profile flame.svg
                                  what code the broker's CPU time goes to (perf)
  bench crash --rounds 20 --flush sync
                                  kill -9 the broker under load, restart, prove

Exit codes: 0 done, 1 failed (the text says why), 2 wrong command line or
scenario file, 3 requests failed, most of an open loop was never sent, or
nothing was counted, 4 a proof failed: an acknowledged message is missing,
doubled, corrupt or out of order, or nothing was acknowledged, 5 a comparison
found something worse or a race was lost, 6 a comparison or a race had too
little to tell anything, or to say whether a goal is reached, 7 a race was not
lost and has a goal that is missed, or limited by the machine, 130 stopped by
Ctrl-C and 143 by SIGTERM: nothing more is sent, answers are awaited for 3 s,
the table tells what was measured until then, and the broker that bench started
is ended and its files removed.";

/// What stands in the tables, for who meets it the first time.
pub const WORDS: &str = "\
Words of the tables:
  closed loop           every answer sends the next request: says how much, not
                        how late under load
  open loop             requests have due times (--rate), whatever the broker
                        does
  service time          from handing a request to its connection until its
                        answer
  from intended time    the same from its due time (response time): the wait for
                        a free slot counts
  since its birth       age of a message when it arrives, by the clock of its
                        producer
  p99                   99 of 100 values are at most so large
  values beyond         how many are larger: a percentile that rests on three of
                        them says little, and one that rests on none is a dash
  backlog               requests that were due and not sent at the end, since no
                        slot was free
  empty answers         pulls that were answered and brought no message
  mean of               of a comparison: of the repetitions, or of the seconds
                        of a single run; its p99 is the mean of theirs, not that
                        of all requests together
  read, decode, hop, append, submit, flushed, written
                        stages of a send in the broker (--stages), one behind
                        the other: waits for room, is parsed, goes to the shard
                        of its log, is in the log, waits for the group before
                        it, is written (SYNC_FLUSH: and flushed), is answered
  broker, per message   what its process and its device used, divided by the
                        messages
  waited for CPU        time that its threads could run and had no core
  log flushes           of its commit logs; 0.05 means that 20 messages shared
                        one
  device writes, bytes, flushes
                        of the whole device, so also what others had it do
  null broker           reads, writes, flushes, answers and delivers, and does
                        nothing else: how far a broker built as ours could get
  floor                 a round trip and a write one after the other: no lone
                        request is faster
  meanwhile             CPU time that the host took, and the share of the time
                        in which anybody on the machine waited for a CPU or for
                        I/O: much of it spoils the figures";

/// The examples of one command; none of one that no user calls.
pub fn examples_of(command: &str) -> Option<String> {
    let begin = format!("  bench {command} ");
    let mut is_its_own = false;
    let own = EXAMPLES.lines().filter(|line| {
        // Below words that are too long for their line stands what they do.
        is_its_own = line.starts_with(&begin) || (is_its_own && line.starts_with("   "));
        is_its_own
    });
    let lines: Vec<&str> = own.collect();
    (!lines.is_empty()).then(|| format!("Examples:\n{}", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_columns_fits_a_terminal_of_80() {
        // clap breaks longer lines, and knows nothing of columns.
        for line in EXAMPLES.lines().chain(WORDS.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
