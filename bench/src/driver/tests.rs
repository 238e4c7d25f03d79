//! The loop under a simulated clock: due times and latencies are exact.

use std::cell::RefCell;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::{Command, RequestHead, SerializeType, write_request};
use ringmq_runtime::clock::Instant;
use ringmq_runtime::net::{Listener, ReadHalf, Reuse, Stream};
use ringmq_runtime::sim::World;
use ringmq_runtime::task;

use super::clients::Place;
use super::lane::Lane;
use super::schedule::{Arrivals, Schedule, Step};
use super::share::{DRAIN_LIMIT, NO_ANSWER, Span};
use super::work::{AskedAt, Then, Work};
use super::{Load, START_DELAY, Timing, merge};
use crate::record::tally::Tally;
use crate::record::window::Window;

/// Asks for nothing, and remembers when it was asked and answered.
#[derive(Default)]
struct Echo {
    intended: RefCell<Vec<Instant>>,
    asks: std::cell::Cell<u32>,
    retires_after: Option<u32>,
    /// As of a pull: nobody knows before how many messages it brings.
    is_pull: bool,
}

impl Work for Echo {
    fn messages_of_request(&self) -> Option<u64> {
        (!self.is_pull).then_some(1)
    }

    fn ask(&self, slot: u32, asked: AskedAt, out: &mut Vec<u8>) {
        self.intended.borrow_mut().push(asked.intended);
        self.asks.set(self.asks.get() + 1);
        let head = RequestHead {
            serialize: SerializeType::RocketMq,
            code: 1,
            opaque: slot as i32,
            oneway: false,
            remark: None,
        };
        write_request(out, head, &(), &[]);
    }

    fn answered(
        &self,
        _slot: u32,
        asked: AskedAt,
        now: Instant,
        _answer: &Command<'_>,
        window: &mut Window,
    ) -> Then {
        let response = now.saturating_since(asked.intended);
        window.success(response, now.saturating_since(asked.sent), 1, 0);
        match self.retires_after {
            Some(asks) if self.asks.get() >= asks => Then::Retire,
            _ => Then::Again,
        }
    }
}

/// A server that gives every request back, and answers nothing in the time of `stall`.
async fn serve(listener: Listener, stall: std::ops::Range<u64>) {
    let started = Instant::now();
    let Ok((stream, _)) = listener.accept().await else { return };
    let (mut read, mut write) = stream.split();
    loop {
        let bytes = read.read_with(<[u8]>::to_vec).await.unwrap_or_default();
        let elapsed_ms = started.elapsed().as_millis() as u64;
        if stall.contains(&elapsed_ms) {
            task::sleep(Duration::from_millis(stall.end - elapsed_ms)).await;
        }
        if bytes.is_empty() || write.write_all(&mut [IoSlice::new(&bytes)]).await.is_err() {
            return;
        }
    }
}

/// Gives a connection to a place of this thread.
fn add_lane(load: &Load, place: usize, lane: Rc<Lane>, read: ReadHalf) {
    let Place::Here(share) = &load.places[place] else { panic!("this thread drives it") };
    share.add_lane(lane, read);
    load.lanes.set(load.lanes.get() + 1);
}

/// Runs `work` for two seconds, with a server that stalls (in ms of its life); returns the tally
/// and the start.
fn run(
    work: Rc<Echo>,
    rate: Option<f64>,
    depth: u32,
    stall: std::ops::Range<u64>,
) -> (Tally, Instant) {
    run_for(u64::MAX, work, rate, depth, stall)
}

/// The same, for at most `messages`.
fn run_for(
    messages: u64,
    work: Rc<Echo>,
    rate: Option<f64>,
    depth: u32,
    stall: std::ops::Range<u64>,
) -> (Tally, Instant) {
    World::new(11).run(async {
        let addr = SocketAddr::from(([127, 0, 0, 1], 9_000));
        let listener = Listener::bind(addr, Reuse::No).unwrap();
        let server = task::spawn("server", serve(listener, stall));
        let stream = Stream::connect(addr, Duration::from_secs(1)).await.unwrap();
        let (read, write) = stream.split();
        let step = |rate| vec![Step { length: Duration::from_secs(2), rate }];
        let schedule = rate.map(|rate| Schedule::new(step(rate), Arrivals::Constant, 0));
        let load = Load::new(schedule);
        add_lane(&load, 0, Lane::new(work, write, depth), read);
        load.stop_after(messages);
        let start = Instant::now();
        let timing = Timing { warm_up: Duration::ZERO, duration: Duration::from_secs(2) };
        let tally = load.run_unseen(timing).await;
        // Every run hangs up, so every server sees the end of its connection.
        server.await;
        (tally, start)
    })
}

#[test]
fn a_load_for_so_many_messages_asks_for_no_more_in_either_loop() {
    for rate in [None, Some(10_000.0)] {
        let work = Rc::new(Echo::default());
        let (tally, _) = run_for(1_001, work.clone(), rate, 64, 0..0);
        assert_eq!((work.asks.get(), tally.total.messages), (1_001, 1_001), "{rate:?}");
        assert_eq!((tally.backlog(), tally.total.errors.total()), (0, 0), "{rate:?}");
    }
}

/// Runs each work over a connection of its own, in four slots, for two seconds or until `messages`
/// are counted; connection *l* is of thread *l* modulo two. Returns the tally and the
/// start.
fn run_on_two_threads(
    messages: u64,
    works: &[Rc<Echo>],
    rate: Option<f64>,
    server: fn(usize) -> Server,
) -> (Tally, Instant) {
    World::new(11).run(async {
        let step = |rate| vec![Step { length: Duration::from_secs(2), rate }];
        let schedule = rate.map(|rate| Schedule::new(step(rate), Arrivals::Constant, 0));
        let load = Load::of(vec![Place::here(schedule.clone()), Place::here(schedule)]);
        for (number, work) in works.iter().enumerate() {
            let addr = SocketAddr::from(([127, 0, 0, 1], 9_000 + number as u16));
            let listener = Listener::bind(addr, Reuse::No).unwrap();
            match server(number) {
                Server::Answers => task::spawn("server", serve(listener, 0..0)),
                Server::HangsUpAfter(ms) => task::spawn("server", hang_up(listener, ms)),
            }
            .detach();
            let stream = Stream::connect(addr, Duration::from_secs(1)).await.unwrap();
            let (read, write) = stream.split();
            add_lane(&load, number % 2, Lane::new(work.clone(), write, 4), read);
        }
        load.stop_after(messages);
        let timing = Timing { warm_up: Duration::ZERO, duration: Duration::from_secs(2) };
        let start = Instant::now() + START_DELAY;
        (load.run_unseen(timing).await, start)
    })
}

enum Server {
    Answers,
    /// So many milliseconds after it was connected to, without an answer.
    HangsUpAfter(u64),
}

/// Takes what comes until then.
async fn hang_up(listener: Listener, after_ms: u64) {
    let connection = listener.accept().await;
    task::sleep(Duration::from_millis(after_ms)).await;
    drop(connection);
}

fn echoes<const N: usize>() -> [Rc<Echo>; N] {
    std::array::from_fn(|_| Rc::default())
}

#[test]
fn threads_with_more_connections_have_more_of_the_messages() {
    let works = echoes::<3>();
    let (tally, _) = run_on_two_threads(1_200, &works, None, |_| Server::Answers);
    let asks: Vec<u32> = works.iter().map(|work| work.asks.get()).collect();
    assert_eq!((asks.iter().sum::<u32>(), tally.total.messages), (1_200, 1_200), "{asks:?}");
    assert!(asks.iter().all(|asks| (320..=480).contains(asks)), "{asks:?}");
}

#[test]
fn the_first_arrivals_of_a_schedule_are_sent_whatever_thread_they_are_of() {
    let works = echoes::<3>();
    let (tally, start) = run_on_two_threads(900, &works, Some(1_000.0), |_| Server::Answers);
    let mut intended: Vec<Instant> =
        works.iter().flat_map(|work| work.intended.borrow().clone()).collect();
    intended.sort_unstable();
    let due: Vec<Instant> = (0..900).map(|k| start + Duration::from_millis(k)).collect();
    assert!(intended == due, "{} until {:?}", intended.len(), intended.last());
    assert_eq!(tally.backlog(), 0);
    assert!(tally.elapsed() < Duration::from_secs(1), "{:?}", tally.elapsed());
}

#[test]
fn readers_take_what_others_have_no_more_of() {
    let pulls = |retires_after| Rc::new(Echo { retires_after, is_pull: true, ..Echo::default() });
    let works = [pulls(Some(100)), pulls(None)];
    let (tally, _) = run_on_two_threads(1_000, &works, None, |_| Server::Answers);
    assert!(works[0].asks.get() < 110 && tally.total.messages >= 1_000);
    assert!(tally.elapsed() < Duration::from_secs(1), "{:?}", tally.elapsed());
}

#[test]
fn what_a_lost_connection_did_not_get_another_thread_asks_for() {
    let works = echoes::<2>();
    let server = |number| if number == 0 { Server::HangsUpAfter(900) } else { Server::Answers };
    let (tally, _) = run_on_two_threads(200, &works, None, server);
    assert_eq!((works[0].asks.get(), works[1].asks.get()), (4, 200));
    assert_eq!((tally.total.messages, tally.total.errors.total()), (200, 4));
    assert!(tally.elapsed() < Duration::from_secs(1), "{:?}", tally.elapsed());
}

#[test]
fn a_run_tells_that_all_its_connections_were_closed_and_not_that_it_closed_them() {
    let is_finished = |server: fn(usize) -> Server| {
        let (tally, _) = run_on_two_threads(u64::MAX, &echoes::<2>(), None, server);
        tally.is_finished
    };
    assert!(is_finished(|_| Server::HangsUpAfter(900)));
    assert!(!is_finished(|number| match number {
        0 => Server::HangsUpAfter(900),
        _ => Server::Answers,
    }));
    assert!(!is_finished(|_| Server::Answers));
}

#[test]
fn an_open_loop_keeps_its_due_times_through_a_stall() {
    let work = Rc::new(Echo::default());
    let (tally, start) = run(work.clone(), Some(1_000.0), 4_096, 500..1_000);
    let intended = work.intended.borrow();
    for (k, &due) in intended.iter().enumerate() {
        assert_eq!(due, start + Duration::from_millis(k as u64), "request {k}");
    }
    // Half a second of requests waited, on average half of it, and each of them counts.
    let response = &tally.total.response;
    assert!(response.percentile_us(75.0 + 12.0) > 240_000.0, "{}", response.percentile_us(87.0));
    assert!(response.percentile_us(70.0) < 50_000.0);
    assert!((1_950..=2_001).contains(&tally.total.messages), "{}", tally.total.messages);
    assert_eq!(tally.backlog(), 0, "what is due at the very end is sent, too");
}

#[test]
fn the_wait_for_a_free_slot_is_response_time_and_not_service_time() {
    let (tally, _) = run(Rc::new(Echo::default()), Some(1_000.0), 1, 500..1_000);
    let total = &tally.total;
    let long = |latencies: &crate::record::latencies::Latencies| {
        latencies.histogram().count_between(100_000_000, 600_000_000)
    };
    assert!(long(&total.service) <= 1, "one request waited for the server");
    assert!(long(&total.response) >= 300, "all others waited for that one");
}

#[test]
fn a_stall_at_the_end_of_a_run_is_seen() {
    let (tally, _) = run(Rc::new(Echo::default()), Some(1_000.0), 4_096, 1_500..5_000);
    assert!(tally.total.response.max_us() > 3_000_000.0);
    assert!(tally.messages() <= 1_510, "late answers are no throughput");
    assert!(tally.total.response.count() >= 1_990, "and no request is forgotten");
}

#[test]
fn answers_that_never_come_are_failures() {
    let (tally, _) = run(Rc::new(Echo::default()), Some(1_000.0), 16, 500..60_000);
    assert_eq!(tally.total.errors.kinds().collect::<Vec<_>>(), [(NO_ANSWER, 16, "")]);
    let waited = format!("within {} s after", DRAIN_LIMIT.as_secs());
    assert!(NO_ANSWER.contains(&waited), "{NO_ANSWER}: {waited}");
}

#[test]
fn a_rate_above_what_is_served_leaves_a_backlog() {
    let (tally, _) = run(Rc::new(Echo::default()), Some(1_000.0), 1, 500..60_000);
    assert!((1_450..=1_510).contains(&tally.backlog()), "{}", tally.backlog());
}

#[test]
fn a_closed_loop_asks_again_as_soon_as_it_is_answered() {
    let work = Rc::new(Echo::default());
    let (tally, _) = run(work.clone(), None, 3, 0..0);
    assert_eq!(tally.total.response.max_us(), tally.total.service.max_us());
    assert!(work.asks.get() > 1_000 && work.asks.get() - tally.total.messages as u32 <= 6);
}

#[test]
fn intervals_of_all_threads_are_one_without_loss() {
    let span = |ms: u64, backlog: u64| {
        let mut window = Box::<Window>::default();
        for latency in 1..=ms {
            let latency = Duration::from_millis(latency);
            window.success(latency, latency / 2, 2, 10);
        }
        window.failure("SYSTEM_BUSY");
        let since = Duration::from_secs(5);
        Span { window, since, length: Duration::from_millis(ms), backlog }
    };
    let mut spans = [span(100, 1), span(300, 2), span(200, 4)];
    let all = merge(&mut spans);
    assert_eq!((all.since, all.length), (Duration::from_secs(5), Duration::from_millis(200)));
    assert_eq!((all.backlog, all.window.messages, all.window.bytes), (7, 1_200, 6_000));
    assert_eq!((all.window.response.count(), all.window.errors.total()), (600, 3));
    let up_to_100_ms = all.window.response.histogram().count_between(0, 100_000_000);
    assert_eq!(up_to_100_ms, 300);
}

#[test]
fn a_run_ends_when_its_last_slot_has_retired() {
    let work = Rc::new(Echo { retires_after: Some(10), ..Echo::default() });
    let (tally, _) = run(work.clone(), None, 2, 0..0);
    assert!((10..=11).contains(&work.asks.get()));
    assert!(tally.elapsed() < Duration::from_secs(1));
}
