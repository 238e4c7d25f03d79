//! Every strategy against the answers of the official Java client, and the law of shares.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

/// Printed by `tests/golden/AllocationVectors.java`.
const VECTORS: &str = include_str!("../../../tests/golden/allocation.txt");

struct NamePrefix;

impl RoomOf for NamePrefix {
    fn broker(&self, queue: &MessageQueue) -> Option<String> {
        self.member(&queue.broker_name)
    }
    fn member(&self, client_id: &str) -> Option<String> {
        client_id.split('@').next().map(str::to_owned)
    }
}

fn strategies() -> Vec<Arc<dyn AllocationStrategy>> {
    let averagely = Arc::new(Averagely);
    vec![
        averagely.clone(),
        Arc::new(Circle),
        Arc::new(ConsistentHash::default()),
        Arc::new(MachineRoom::new(["r1".to_owned(), "r3".to_owned()])),
        Arc::new(Nearby::new(averagely, Arc::new(NamePrefix))),
    ]
}

fn queue(text: &str) -> MessageQueue {
    let (broker, id) = text.rsplit_once(':').expect("broker:id");
    MessageQueue::new("Orders", broker, id.parse().expect("a number"))
}

#[test]
fn shares_equal_those_of_the_java_client() {
    let mut cases = 0;
    for line in VECTORS.lines() {
        let [name, member, members, queues, share] =
            line.split('\t').collect::<Vec<_>>().try_into().expect("five columns");
        let strategy = strategies().into_iter().find(|s| s.name() == name).expect(name);
        let members: Vec<_> = members.split(',').map(str::to_owned).collect();
        let queues: Vec<_> = queues.split(',').map(queue).collect();
        let expected: Vec<_> = share.split(',').filter(|s| !s.is_empty()).map(queue).collect();
        assert_eq!(strategy.allocate(member, &queues, &members), expected, "{line}");
        cases += 1;
    }
    assert_eq!(cases, 110);
}

#[test]
fn fixed_share_keeps_only_queues_that_exist() {
    let fixed = Fixed::new(vec![queue("b1:0"), queue("b9:0")]);
    let all = [queue("b1:0"), queue("b1:1")];
    assert_eq!(fixed.allocate("anybody", &all, &[]), [queue("b1:0")]);
}

#[test]
fn a_member_that_has_not_registered_gets_nothing() {
    let members = ["r1@a".to_owned()];
    for strategy in strategies() {
        assert_eq!(strategy.allocate("r1@b", &[queue("r1@b1:0")], &members), []);
    }
}

proptest! {
    #[test]
    fn shares_are_disjoint_and_together_complete(
        brokers in 1..4usize,
        each in 0..9i32,
        n in 1..12usize,
    ) {
        let queues: Vec<_> = (0..brokers)
            .flat_map(|b| (0..each).map(move |id| MessageQueue::new("T", format!("r1@b{b}"), id)))
            .collect();
        let members: Vec<_> = (0..n).map(|i| format!("r{}@{i:03}", i % 3)).collect();
        for strategy in strategies() {
            let mut seen = BTreeSet::new();
            for member in &members {
                for queue in strategy.allocate(member, &queues, &members) {
                    prop_assert!(seen.insert(queue), "{} gives a queue twice", strategy.name());
                }
            }
            prop_assert_eq!(seen.len(), queues.len(), "{} forgets a queue", strategy.name());
        }
    }
}
