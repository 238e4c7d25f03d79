//! Shards, the mesh between them, and how a process with shards ends.

use std::process::{Command, Stdio};
use std::time::Duration;

use futures_lite::future::poll_once;
use ringmq_runtime::shards::{Cores, ShardsConfig, block_on, run, run_with};
use ringmq_runtime::signal::{Signal, terminate};
use ringmq_runtime::{mesh, start, task};

fn floating(shards: usize) -> ShardsConfig {
    ShardsConfig::new(Cores::Floating(shards))
}

#[test]
fn every_shard_runs_and_gives_its_value() {
    let values = run(&floating(3), |context| async move {
        task::sleep(Duration::from_millis(1)).await;
        (context.shard, context.shards)
    });
    assert_eq!(values.expect("started"), [(0, 3), (1, 3), (2, 3)]);
}

#[test]
fn a_pinned_shard_says_where_it_is() {
    let cores = run(&ShardsConfig::new(Cores::Pinned(1)), |context| async move { context.core });
    let first = ringmq_runtime::shards::usable_cores().first().copied();
    assert_eq!(cores.expect("started"), [first]);
}

#[test]
fn more_shards_than_cores_are_refused_with_advice() {
    let error = run(&ShardsConfig::new(Cores::Pinned(5000)), |_| async {}).expect_err("refused");
    assert!(matches!(error, start::StartError::TooFewCores { asked: 5000, .. }), "{error}");
}

#[test]
fn shards_answer_each_other_through_full_inboxes() {
    const ROUNDS: u32 = 3000;
    // Room for 2: with 3 shards asking at once the inboxes are full most of the time.
    let ports = mesh::build::<(bool, u32)>(3, 2);
    let sums = run_with(&floating(3), ports, |context, port| async move {
        let port = std::rc::Rc::new(port);
        let asking = port.clone();
        let to = (context.shard + 1) % context.shards;
        let asker = task::spawn("asker", async move {
            for number in 0..ROUNDS {
                asking.send(to, (true, number)).await;
            }
        });
        let serving = port.clone();
        // Answers leave by a task of their own: a receiver that waits for room can deadlock.
        let (mut asked, mut answered, mut sum) = (0, 0, 0u64);
        let mut answers = Vec::new();
        while asked < ROUNDS || answered < ROUNDS {
            let (from, (is_question, number)) = serving.recv().await;
            if is_question {
                asked += 1;
                let answering = port.clone();
                answers.push(task::spawn("answer", async move {
                    answering.send(from, (false, number)).await;
                }));
            } else {
                answered += 1;
                sum += u64::from(number);
            }
        }
        asker.await;
        for answer in answers {
            answer.await;
        }
        sum
    });
    let expected = u64::from(ROUNDS) * u64::from(ROUNDS - 1) / 2;
    assert_eq!(sums.expect("started"), [expected; 3]);
}

#[test]
fn a_message_interrupts_a_busy_shard() {
    let ports = mesh::build::<u8>(2, 16);
    let seen = run_with(&floating(2), ports, |context, port| async move {
        if context.shard == 1 {
            task::sleep(Duration::from_millis(20)).await;
            port.send(0, 1).await;
            return true;
        }
        let receiver = task::spawn_urgent("receiver", async move { port.recv().await });
        let start = ringmq_runtime::clock::Instant::now();
        while !receiver.is_finished() && start.elapsed() < Duration::from_secs(10) {
            task::yield_now().await;
        }
        receiver.is_finished()
    });
    assert_eq!(seen.expect("started"), [true, true]);
}

/// Runs one test of this file again in a process of its own, in which `body` decides.
fn in_a_process(test: &str, check: impl FnOnce(&mut std::process::Child)) -> bool {
    if std::env::var_os("RINGMQ_CHILD").is_some() {
        return true;
    }
    let mut child = Command::new(std::env::current_exe().expect("own path"))
        .args(["--exact", test, "--nocapture"])
        .env("RINGMQ_CHILD", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    check(&mut child);
    false
}

#[test]
fn a_panic_on_a_shard_ends_the_process() {
    use std::os::unix::process::ExitStatusExt;
    let is_child = in_a_process("a_panic_on_a_shard_ends_the_process", |child| {
        let status = child.wait().expect("ended");
        assert_eq!(status.signal(), Some(6), "aborted: {status}");
    });
    if is_child {
        let _ = run(&floating(2), |context| async move {
            assert!(context.shard != 1, "the bug");
            std::future::pending::<()>().await;
        });
    }
}

#[test]
fn a_signal_to_end_is_seen_as_such() {
    let is_child = in_a_process("a_signal_to_end_is_seen_as_such", |child| {
        use std::io::BufRead;
        let mut lines = std::io::BufReader::new(child.stdout.take().expect("piped")).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line.contains("ready"))));
        let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        assert!(killed.expect("kill").success());
        drop(lines);
        assert!(child.wait().expect("ended").success());
    });
    if is_child {
        block_on(async {
            let mut waiter = Box::pin(terminate());
            assert!(poll_once(waiter.as_mut()).await.is_none(), "signals are caught from now on");
            println!("ready");
            let signal = task::timeout(Duration::from_secs(10), waiter).await.expect("in time");
            assert_eq!(signal.expect("installed"), Signal::Terminate);
            // Not through the test harness: its output goes to a closed pipe by now.
            std::process::exit(0);
        });
    }
}
