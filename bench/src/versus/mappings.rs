//! How many files a process may map and hold open, and how many Apache's broker does, which has
//! files for each queue.

use crate::args::Command;
use crate::args::target::TargetArgs;
use crate::args::versus::{Contestant, VersusArgs};
use crate::environment::fact;
use crate::error::BenchError;
use crate::versus::asked::command;
use crate::versus::plan::Block;
use crate::versus::scenario::Client;

/// The kernel's bound on the mappings of a process, 65,530 by default.
const MAPPINGS: &str = "proc/sys/vm/max_map_count";

/// The bounds of this process; what it starts has the same.
const LIMITS: &str = "proc/self/limits";

/// Mappings that Apache's broker needs by queue when it starts: it maps the file of each. On 40,000
/// queues it ended by itself at a bound of 65,530, so one of them is not enough.
const MAPPINGS_PER_QUEUE: usize = 2;

/// What Apache's `os.sh` sets.
const ADVISED_MAPPINGS: usize = 655_360;

/// Descriptors besides those of queues: connections, jars, other files.
const OTHER_DESCRIPTORS: usize = 4_096;

/// Says before a race what its restarts will lack, if they will.
pub async fn announce(args: &VersusArgs, blocks: &[Block]) {
    let has_files =
        |rival: Contestant| rival.is_apache() && args.variant_of(rival).has_queue_files();
    let queues = blocks.iter().filter(|block| has_files(block.rival)).filter_map(restarted);
    if let Some(queues) = queues.max()
        && let Some(what) = lack(queues).await
    {
        eprintln!("{what}");
    }
}

/// Queues on which the brokers of a block start again.
fn restarted(block: &Block) -> Option<usize> {
    let Client::Restart(words) = block.scenario.client else { return None };
    let Command::Produce(args) = command(words) else { return None };
    let TargetArgs { topics, queues, .. } = args.load.target;
    usize::try_from(topics * queues).ok()
}

/// Looks whether Apache's broker can work, and start again, on `queues`.
///
/// # Errors
/// It cannot; the sentence tells what to set. Nothing here changes the machine.
pub async fn check(queues: usize) -> Result<(), BenchError> {
    match lack(queues).await {
        Some(what) => Err(BenchError::Race(what)),
        None => Ok(()),
    }
}

/// What this machine lacks for `queues`.
async fn lack(queues: usize) -> Option<String> {
    shortage(&fact(MAPPINGS).await, &fact(LIMITS).await, queues)
}

/// The same of a machine with these bounds. A kernel that does not tell has no known bound.
fn shortage(mappings: &str, limits: &str, queues: usize) -> Option<String> {
    too_few_descriptors(limits, queues).or_else(|| too_few_mappings(mappings, queues))
}

fn too_few_mappings(bound: &str, queues: usize) -> Option<String> {
    let bound: usize = bound.parse().ok()?;
    let needed = queues * MAPPINGS_PER_QUEUE;
    (bound < needed).then(|| {
        format!(
            "Apache's broker cannot start again on {queues} queues: it maps a file of each, and \
             vm.max_map_count is {bound}; set it first: sysctl -w \
             vm.max_map_count={ADVISED_MAPPINGS}"
        )
    })
}

/// It keeps the file of each queue open, and refuses all sends once it cannot open one more. A JVM
/// raises its own bound to the hard one.
fn too_few_descriptors(limits: &str, queues: usize) -> Option<String> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let hard: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    let needed = queues + OTHER_DESCRIPTORS;
    (hard < needed).then(|| {
        format!(
            "Apache's broker cannot work on {queues} queues: it keeps a file of each open, and the \
             hard limit of open files is {hard}; raise it first: ulimit -Hn {needed}, as root"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versus::plan::Side;
    use crate::versus::scenario::by_name;

    #[test]
    fn the_queues_of_a_restart_are_those_of_its_scenario() {
        let of = |name| {
            let scenario = by_name(name).unwrap();
            restarted(&Block {
                scenario,
                rival: Contestant::Tuned,
                has_null: false,
                first: Side::Ours,
            })
        };
        assert_eq!((of("topics-10k"), of("pull-32")), (Some(40_000), None));
    }

    #[test]
    fn too_low_a_bound_is_told_with_what_to_set() {
        let limits = |hard: &str| {
            format!(
                "Limit   Soft Limit  Hard Limit  Units\nMax open files   1024   {hard}  files\n"
            )
        };
        let enough = limits("1048576");
        let what = shortage("65530", &enough, 40_000).unwrap();
        assert!(what.contains("40000 queues") && what.ends_with("vm.max_map_count=655360"));
        let what = shortage("655360", &limits("20000"), 40_000).unwrap();
        assert!(what.contains("open files is 20000; ") && what.contains("ulimit -Hn 44096"));
        assert_eq!(shortage("655360", &enough, 40_000), None);
        assert_eq!(shortage("65530", &limits("20000"), 4), None);
        // Unlimited, or not told.
        assert_eq!(shortage("", &limits("unlimited"), 40_000), None);
        assert_eq!(shortage("", "", 40_000), None);
    }
}
