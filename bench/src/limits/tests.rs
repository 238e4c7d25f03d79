//! What reports say of the null broker and of floors.

use std::net::SocketAddr;

use comfy_table::Table;
use ringmq_protocol::record::{NewRecord, Placement, encode, encoded_len};

use super::*;
use crate::args::target::Flush;
use crate::end_to_end;
use crate::record::tally::Tally;
use crate::record::window::Window;
use crate::report::outcome::Outcome;

/// So many stored messages with bodies of `body_bytes`, one behind the other.
pub fn messages(count: usize, body_bytes: usize) -> Vec<u8> {
    stored(&vec![7; body_bytes], count)
}

/// The same with that body.
pub fn stored(body: &[u8], count: usize) -> Vec<u8> {
    let host = SocketAddr::from(([127, 0, 0, 1], 10_911));
    let record = NewRecord {
        topic: "T",
        queue_id: 0,
        flag: 0,
        sys_flag: 0,
        born_at_ms: 1,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: "",
        extra: &[],
        with_record_crc: false,
    };
    let mut bytes = vec![0; encoded_len(&record).unwrap() * count];
    let mut at = 0;
    while at < bytes.len() {
        let placement = Placement { queue_offset: 0, physical_offset: 0, stored_at_ms: 1 };
        at += encode(&mut bytes[at..], &record, placement).unwrap();
    }
    bytes
}

/// What a null broker did: a thousand messages per second with a median of 100 us.
pub fn null_broker(latency_of: &str) -> NullBroker {
    NullBroker {
        latency_of: latency_of.to_owned(),
        messages_per_second: 1_000.0,
        cpu_us_per_message: 2.0,
        p50_us: Some(100.0),
        p99_us: Some(200.0),
        closed_loop_per_second: None,
        lost: None,
    }
}

/// Limits of sends to a broker of our own: a floor of 330 us.
pub fn limits_of_sends() -> Limits {
    let floor = SendFloor {
        flush: Flush::Sync.key().to_owned(),
        null_server_us: 30.0,
        write_us: 20.0,
        write_and_flush_us: 300.0,
    };
    Limits { floor: Floor::Send(floor), null_broker: Some(null_broker(SENDS)), null_beside: None }
}

/// A second with `messages`, each of which took `us`, half of that in service.
fn outcome(messages: u64, us: u64) -> Outcome {
    let mut window = Window::default();
    for _ in 0..messages {
        let latency = Duration::from_micros(us);
        window.success(latency, latency / 2, 1, 10);
    }
    let mut tally = Tally::default();
    tally.add(&window, Duration::ZERO, Duration::from_secs(1), 0);
    Outcome::of_run(&Measured::of(tally))
}

/// The cells of a table, row by row, without the header.
fn cells(table: &Table) -> Vec<Vec<String>> {
    let row = |row: &comfy_table::Row| row.cell_iter().map(|cell| cell.content()).collect();
    table.row_iter().map(row).collect()
}

#[test]
fn a_load_stands_beside_the_null_broker_in_shares_and_multiples() {
    let outcome = outcome(800, 250);
    let (_, table) = limits_of_sends().tables(&[("the broker", SENDS, &outcome)]).remove(0);
    // Histograms keep three digits.
    let expected = [
        ["msg/s, as scheduled", "1000", "800", "80 %"],
        ["CPU us per message", "2.0", "", ""],
        ["p50 us", "100.0", "250.1", "2.50 x"],
        ["p99 us", "200.0", "250.1", "1.25 x"],
    ];
    assert_eq!(cells(&table), expected);
}

#[test]
fn loads_beside_are_compared_where_they_do_the_same_as_the_null_broker() {
    let (ages, sends, reads) = (outcome(10, 300), outcome(10, 200), outcome(10, 100));
    let loads = [
        ("end to end", end_to_end::LATENCY_OF, &ages),
        ("sends", SENDS, &sends),
        ("reads", PULLS, &reads),
    ];
    let header = |latency_of: &str| {
        let limits = Limits { null_broker: Some(null_broker(latency_of)), ..limits_of_sends() };
        let (_, table) = limits.tables(&loads).remove(0);
        let header = table.header().unwrap();
        header.cell_iter().skip(2).step_by(2).map(|cell| cell.content()).collect::<Vec<_>>()
    };
    assert_eq!(header(SENDS), ["end to end", "sends"]);
    assert_eq!(header(PULLS), ["end to end", "reads"]);
}

#[test]
fn latencies_of_a_closed_loop_are_told_as_such_beside_the_null_broker() {
    let mut outcome = outcome(800, 250);
    outcome.response = outcome.service.clone();
    let rows = |latency_of: &str| {
        let loads = [("the broker", latency_of, &outcome)];
        let (_, table) = limits_of_sends().tables(&loads).remove(0);
        let head = table.header().unwrap().cell_iter().next().unwrap().content();
        (head, cells(&table).into_iter().map(|row| row[0].clone()).collect::<Vec<_>>())
    };
    let (head, names) = rows(SENDS);
    assert_eq!(head, "in this closed loop");
    assert_eq!(
        names,
        ["msg/s", "CPU us per message", "p50 us, closed loop", "p99 us, closed loop"]
    );
    assert_eq!(rows(AGES).0, "under this load", "the age of a message is no request's");
}

#[test]
fn what_ran_beside_stands_beside_what_the_null_broker_did_of_it() {
    let (ages, sends) = (outcome(10, 300), outcome(10, 200));
    let loads = [("end to end", end_to_end::LATENCY_OF, &ages), ("sends", SENDS, &sends)];
    let limits = Limits {
        null_broker: Some(null_broker(end_to_end::LATENCY_OF)),
        null_beside: Some(NullBroker { cpu_us_per_message: 0.0, ..null_broker(SENDS) }),
        ..limits_of_sends()
    };
    let tables = limits.tables(&loads);
    let titles: Vec<&str> = tables.iter().map(|(title, _)| title.as_str()).collect();
    let of = |loads: &str| format!("{loads} beside what this machine allows");
    assert_eq!(titles, [of("Deliveries"), of("Sends")]);
    let tables: Vec<_> = tables.iter().map(|(_, table)| cells(table)).collect();
    assert_eq!(tables[0][2], ["p50 us", "100.0", "300.0", "3.00 x"]);
    assert_eq!(tables[1][1], ["CPU us per message", "-", "", ""]);
    assert_eq!(tables[1][2], ["p50 us", "100.0", "200.1", "2.00 x"]);
}

#[test]
fn the_knee_is_told_as_a_share_of_the_null_brokers_closed_loop() {
    let closed_loop_per_second = Some(4_000.0);
    let null_broker = NullBroker { closed_loop_per_second, ..null_broker(SENDS) };
    let limits = Limits { null_broker: Some(null_broker), ..limits_of_sends() };
    let (_, table) = limits.tables(&[("the broker", SENDS, &outcome(1_000, 10))]).remove(0);
    assert_eq!(cells(&table)[1], ["msg/s, its closed loop", "4000", "1000", "25 %"]);
}

#[test]
fn a_floor_tells_its_parts_and_the_multiple() {
    let lines = limits_of_sends().floor.describe("send", &outcome(9, 1_320));
    assert!(lines[0].starts_with("floor of a lone send with SYNC_FLUSH: 330 us"), "{lines:?}");
    assert!(lines[1].contains(": 2.00 x that floor"), "{lines:?}");
    let floor = PullFloor {
        null_server_us: 50.0,
        answer_messages: 32,
        answer_bytes: 32_000,
        device_read_bytes_per_s: 1e8,
    };
    let lines = Floor::Pull(floor).describe("pull", &outcome(25_000, 200));
    let [device, floor, multiple] = &lines[..] else { panic!("{lines:?}") };
    assert!(device.contains("100000 msg/s of a cold") && device.ends_with("25 % of that"));
    assert!(floor.contains("32 messages, 32000 bytes: 50 us") && multiple.contains(": 2.00 x"));
}

#[test]
fn the_floor_of_a_running_cluster_is_the_way_to_its_nearest_broker() {
    let round_trip = |broker: &str, p50_us| RoundTrip {
        broker: broker.to_owned(),
        connect_us: 400.0,
        p50_us,
        p99_us: 900.0,
        requests: 100,
    };
    let round_trips = vec![round_trip("far:1", 800.0), round_trip("near:1", 500.0)];
    let floor = Floor::Remote { round_trips };
    assert_eq!(floor.us(), Some(500.0));
    let lines = floor.describe("send", &outcome(9, 2_000));
    assert!(lines[1].contains("near:1: p50 500 us, p99 900 us; TCP connect 400 us"));
    assert!(lines[2].contains(": 2.00 x"), "{lines:?}");
    let nobody = Floor::Remote { round_trips: Vec::new() };
    assert_eq!((nobody.us(), nobody.describe("send", &outcome(9, 2_000)).len()), (None, 0));
}

#[test]
fn limits_are_read_as_they_were_saved_and_as_older_releases_saved_them() {
    let pull = Floor::Pull(PullFloor {
        null_server_us: 1.5,
        answer_messages: 2,
        answer_bytes: 3,
        device_read_bytes_per_s: 4.5,
    });
    let remote = Floor::Remote { round_trips: Vec::new() };
    let same = |limits: &Limits| {
        let json = serde_json::to_value(limits).unwrap();
        let read: Limits = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), json);
        read
    };
    assert!(matches!(same(&limits_of_sends()).floor, Floor::Send(_)));
    let limits = Limits { floor: pull, null_broker: Some(null_broker(PULLS)), null_beside: None };
    assert!(matches!(same(&limits).floor, Floor::Pull(_)));
    let limits = Limits { floor: remote, null_broker: None, null_beside: None };
    assert!(matches!(same(&limits).floor, Floor::Remote { .. }));
    let older = r#"{"flush": "SYNC_FLUSH", "null_server_us": 30.0, "write_us": 20.0,
        "write_and_flush_us": 300.0, "null_broker": {"messages_per_second": 1000.0,
        "cpu_us_per_message": 2.0, "p50_us": 100.0, "p99_us": 200.0}}"#;
    let older: Limits = serde_json::from_str(older).unwrap();
    assert_eq!(older.null_broker.unwrap().latency_of, SENDS);
    assert_eq!(older.floor.us(), Some(330.0));
}
