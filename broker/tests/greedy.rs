//! Clients that want more than their part: the others find places all the same.

mod support;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringmq_broker::filter::TagFilter;
use ringmq_broker::services::pull::held;
use ringmq_broker::shard::DataPlane;
use ringmq_broker::view::{Change, Group, LiveGroup, Subscription};
use ringmq_protocol::codes::{request, response};
use ringmq_protocol::headers::pull::{PullRequest, pull_flag};
use ringmq_protocol::headers::query::ViewMessageRequest;
use ringmq_runtime::sim::World;
use ringmq_runtime::task;

use support::{
    Broker, Brokers, Client, pull_header, pulled, raw, send_header, simulated, temp_dir,
};

#[test]
fn peers_that_take_no_answers_do_not_keep_the_slow_lane_from_others() {
    let world = World::new(7);
    let address = simulated::address(&world);
    let brokers = Brokers::simulated(2, 1);
    world.run(async { brokers.start_in(&world, move |_| ask_beside_the_greedy(address)).await });
}

/// Peers ask for a large message again and again, and take nothing; then somebody asks for a small
/// one a few times.
async fn ask_beside_the_greedy(address: SocketAddr) {
    const PEERS: usize = 40;
    const LOOKUPS_OF_PEER: usize = 1000;
    const LOOKUPS: usize = 400;
    let client = Client::connect(address).await.expect("it listens");
    let large = lookup(&client, &vec![b'x'; 2 << 20]).await;
    let lookups = raw::requests(request::VIEW_MESSAGE_BY_ID, &large, &[], LOOKUPS_OF_PEER);
    let mut peers = Vec::new();
    for _ in 0..PEERS {
        let (lookups, mut peer) = (lookups.clone(), raw::RawClient::connect(address).await);
        peers.push(task::spawn("a greedy peer", async move {
            peer.write(&lookups).await;
            std::future::pending::<raw::RawClient>().await
        }));
    }
    // Nothing tells when each has what it can have. Less time proves less.
    task::sleep(Duration::from_millis(300)).await;
    let small = lookup(&client, b"small").await;
    let ask = || client.connection.call(request::VIEW_MESSAGE_BY_ID, &small, &[], support::TIMEOUT);
    let calls: Vec<_> = (0..LOOKUPS).map(|_| ask()).collect();
    for call in calls {
        let answer = call.await.expect("an answer");
        assert_eq!(answer.code(), response::SUCCESS, "{:?}", answer.command().remark());
    }
}

/// Stores a message and says how to look it up.
async fn lookup(client: &Client, body: &[u8]) -> ViewMessageRequest<'static> {
    let stored = client.store("T", 0, body).await;
    let offset = client.pull("T", 0, stored).await.messages[0].physical_offset;
    ViewMessageRequest { offset, topic: None }
}

/// A pull that waits, with so much in its frame that some thousand fill what may be held.
fn large_pull<'h>(queue: i32, padding: &'h str) -> PullRequest<'h> {
    PullRequest {
        sys_flag: pull_flag::SUBSCRIPTION | pull_flag::SUSPEND,
        suspend_timeout_ms: 60_000,
        proxy_forward_client_id: Some(padding),
        ..pull_header("T", queue, 0)
    }
}

#[test]
fn one_connection_does_not_keep_all_places_of_held_pulls() {
    let dir = temp_dir();
    Brokers::new(1, 1).run(dir.path(), |broker| async move {
        const PULLS: usize = 4500;
        let (greedy, client) = (broker.client().await, broker.client().await);
        let padding = "x".repeat(60 << 10);
        let mut answers = Vec::new();
        for number in 0..PULLS {
            let header = large_pull(number as i32 % 4, &padding);
            answers.push(greedy.connection.call(
                request::PULL_MESSAGE,
                &header,
                &[],
                support::TIMEOUT,
            ));
            if number % 50 == 49 {
                // What came before is handled when this is answered.
                max_offset(&greedy).await;
            }
        }
        let held = held_now(&broker);
        assert!(held > 1000, "{held} are held");

        let header = large_pull(0, &padding);
        let pull = client.connection.call(request::PULL_MESSAGE, &header, &[], support::TIMEOUT);
        let pull = task::spawn("a waiting pull", pull);
        max_offset(&client).await;
        assert!(!pull.is_finished(), "the pull of another client is held");
        assert!(held_now(&broker) > 1000, "and those of the first still are");
        client.store("T", 0, b"woken").await;
        let pulled = pulled(&pull.await.expect("an answer"));
        assert_eq!((pulled.code, pulled.messages.len()), (response::SUCCESS, 1));
    });
}

/// How many of so many pulls are answered between two turns of another task.
async fn most_answered_at_once(broker: Broker, pulls: u64) -> u64 {
    let (mut answered, mut most) = (0, 0);
    while answered < pulls {
        task::yield_now().await;
        let now = broker.data.local.counters.totals().pulls_found;
        most = most.max(now - answered);
        answered = now;
    }
    most
}

#[test]
fn pulls_of_long_lists_that_one_message_wakes_let_others_have_turns() {
    const PULLS: u64 = 200;
    let dir = temp_dir();
    Brokers::new(1, 1).run(dir.path(), |broker| async move {
        let client = broker.client().await;
        let tags: Vec<_> = (0..6_000).map(|number| format!("tag{number}")).collect();
        let tags = tags.join("||");
        let header = PullRequest { subscription: Some(&tags), ..large_pull(0, "") };
        let pull = || client.connection.call(request::PULL_MESSAGE, &header, &[], support::TIMEOUT);
        let pulls: Vec<_> = (0..PULLS).map(|_| pull()).collect();
        while (held_now(&broker) as u64) < PULLS {
            task::sleep(Duration::from_millis(1)).await;
        }
        let most = task::spawn("watch", most_answered_at_once(broker.clone(), PULLS));
        let send = send_header("T", 0, "TAGS\u{1}tag7\u{2}");
        client.call(request::SEND_MESSAGE_V2, &send, b"wanted").await;
        for pull in pulls {
            assert_eq!(pulled(&pull.await.expect("an answer")).messages.len(), 1);
        }
        let most = most.await;
        println!("of {PULLS} pulls {most} are answered at once");
        assert!(most < 50, "{most}");
    });
}

/// How many heartbeats are answered between two turns of another task, until so many are.
async fn most_beats_at_once(mut answered: u64, end: u64) -> u64 {
    let mut most = 0;
    while answered < end {
        task::yield_now().await;
        let now = support::BEATS.get();
        most = most.max(now - answered);
        answered = now;
    }
    most
}

#[test]
fn others_have_turns_between_requests_of_the_control_plane() {
    const BEATS: usize = 200;
    for shards in [1, 2] {
        let dir = temp_dir();
        Brokers::new(shards, 1).run(dir.path(), move |broker| async move {
            let beats = raw::requests(request::HEART_BEAT, &(), &[], BEATS);
            // The kernel spreads connections over the shards.
            for _ in 0..8 {
                let mut client = raw::RawClient::connect(broker.address).await;
                let first = support::BEATS.get();
                let watch = most_beats_at_once(first, first + BEATS as u64);
                let watch = task::spawn("watch", watch);
                client.exchange(&beats, BEATS).await;
                let most = watch.await;
                println!("of {BEATS} requests {most} are handled at once");
                assert!(most < 20, "{most}, {shards} shards");
            }
        });
    }
}

#[test]
fn requests_of_others_pass_those_of_the_control_plane_that_wait_for_a_turn() {
    const PEERS: usize = 6;
    const BEATS: usize = 200;
    const MEANWHILE_MAX: u64 = 100;
    let dir = temp_dir();
    Brokers::new(2, 1).run(dir.path(), |broker| async move {
        // The kernel spreads connections over the shards.
        let (mut clients, mut peers) = (Vec::new(), Vec::new());
        for _ in 0..PEERS {
            clients.push(broker.client().await);
            peers.push(raw::RawClient::connect(broker.address).await);
        }
        clients[0].store("T", 0, b"a message").await;
        let (beats, first) =
            (raw::requests(request::HEART_BEAT, &(), b"long", BEATS), support::BEATS.get());
        for peer in &mut peers {
            peer.write(&beats).await;
        }
        while support::BEATS.get() == first {
            task::yield_now().await;
        }
        for client in &clients {
            let before = support::BEATS.get();
            max_offset(client).await;
            let meanwhile = support::BEATS.get() - before;
            println!("{meanwhile} before an answer, of {BEATS} for each of {PEERS}");
            assert!(meanwhile < MEANWHILE_MAX, "{meanwhile}");
        }
    });
}

#[test]
fn a_group_that_was_refused_is_asked_for_again_later() {
    let world = World::new(13);
    let address = simulated::address(&world);
    let ask = move |data: Rc<DataPlane>| async move {
        let client = Client::connect(address).await.expect("it listens");
        let group = support::REFUSED_ONCE_GROUP;
        let header = PullRequest { consumer_group: group, ..pull_header("T", 0, 0) };
        for _ in 0..100 {
            client.pull_with(&header).await;
        }
        assert!(data.local.view().group(group).is_none(), "no pull asks again by itself");
        task::sleep(Duration::from_secs(120)).await;
        client.pull_with(&header).await;
        client.pull_with(&header).await;
        assert!(data.local.view().group(group).is_some(), "it is made");
    };
    world.run(async { Brokers::simulated(1, 1).start_in(&world, ask).await });
}

/// A group whose subscription of "T" has this version.
fn subscribed(version: i64) -> Change {
    let subscription = Subscription { version, is_tag: true, filter: TagFilter::All };
    let live = LiveGroup {
        subscriptions: Arc::new(std::iter::once(("T".to_owned(), subscription)).collect()),
        ..LiveGroup::default()
    };
    let name = "consumers".to_owned();
    Change::Group(Arc::new(Group {
        name,
        consume_enabled: true,
        live: Some(live),
        ..Group::default()
    }))
}

#[test]
fn pulls_of_a_newer_subscription_are_told_of_once_a_second() {
    let world = World::new(12);
    let address = simulated::address(&world);
    let brokers = Brokers::simulated(2, 2);
    let ask = move |data: Rc<DataPlane>| async move {
        data.publish(subscribed(1));
        let client = Client::connect(address).await.expect("it listens");
        let newer = PullRequest { sys_flag: 0, sub_version: 2, ..pull_header("T", 0, 0) };
        let pull = || client.connection.call(request::PULL_MESSAGE, &newer, &[], support::TIMEOUT);
        let times_old = async || {
            let answer = client.call(support::TIMES_OLD, &(), &[]).await;
            String::from_utf8_lossy(answer.body()).parse::<usize>().expect("a number")
        };
        for pull in (0..1000).map(|_| pull()).collect::<Vec<_>>() {
            let code = pull.await.expect("an answer").code();
            assert_eq!(code, response::SUBSCRIPTION_NOT_LATEST);
        }
        assert_eq!(times_old().await, 1, "of 1000 pulls");
        task::sleep(Duration::from_secs(2)).await;
        pull().await.expect("an answer");
        assert_eq!(times_old().await, 2, "later another one");
    };
    world.run(async { brokers.start_in(&world, ask).await });
}

async fn max_offset(client: &Client) {
    let fields = [("topic", "T"), ("queueId", "0")];
    client.number(request::GET_MAX_OFFSET, &fields, "offset").await;
}

fn held_now(broker: &Broker) -> usize {
    held::count(&broker.data)
}
