//! How many files a process may map: the kernel's bound, and what Apache's broker asks of it.

use crate::args::Command;
use crate::args::target::TargetArgs;
use crate::environment::fact;
use crate::error::BenchError;
use crate::versus::asked::command;
use crate::versus::plan::Block;
use crate::versus::scenario::Client;

/// The kernel's bound on the mappings of a process, 65,530 by default.
const BOUND: &str = "proc/sys/vm/max_map_count";

/// Mappings that Apache's broker needs by queue when it starts: it maps the file of each. On 40,000
/// queues it ended by itself at a bound of 65,530, so one of them is not enough.
const MAPPINGS_PER_QUEUE: usize = 2;

/// What Apache's `os.sh` sets.
const ADVISED: usize = 655_360;

/// Says before a race what its restarts will lack, if they will.
pub async fn announce(blocks: &[Block]) {
    let queues = blocks.iter().filter(|block| block.rival.is_apache()).filter_map(restarted);
    if let Some(queues) = queues.max()
        && let Some(what) = shortage(&fact(BOUND).await, queues)
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

/// Looks whether Apache's broker can start on so many queues.
///
/// # Errors
/// It cannot; the sentence tells what to set. Nothing here changes the machine.
pub async fn check(queues: usize) -> Result<(), BenchError> {
    match shortage(&fact(BOUND).await, queues) {
        Some(what) => Err(BenchError::Race(what)),
        None => Ok(()),
    }
}

/// A kernel that does not tell has no bound that is known.
fn shortage(bound: &str, queues: usize) -> Option<String> {
    let bound: usize = bound.parse().ok()?;
    let needed = queues * MAPPINGS_PER_QUEUE;
    (bound < needed).then(|| {
        format!(
            "Apache's broker cannot start again on {queues} queues: it maps a file of each, and \
             vm.max_map_count is {bound}; set it first: sysctl -w vm.max_map_count={ADVISED}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::versus::Contestant;
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
        let what = shortage("65530", 40_000).unwrap();
        assert!(what.contains("40000 queues") && what.ends_with("vm.max_map_count=655360"));
        assert_eq!((shortage("655360", 40_000), shortage("65530", 4)), (None, None));
        assert_eq!(shortage("", 40_000), None);
    }
}
