//! Records that the device does not give back.
//!
//! A read of many records that fails is done again one by one, so that a bad sector costs those
//! that lie on it and no others. What a client then gets:
//!
//! | the first record that cannot be read | a pull |
//! |---|---|
//! | has others in front of it | is answered with those, and goes on at that record |
//! | is the first that is wanted | is refused: the client tries again |
//! | has been so for [`LOST_AFTER`] | is answered with the records behind it |
//!
//! The last line needs a device that reads other parts of the log. So a device that fails for a
//! moment, or fails altogether, makes nobody pass over a message, and a message that is lost does
//! not keep its queue from going on for ever. The records right behind one that fails are tried
//! with it, so that a run of them is lost in the time of one. The device is not asked for any of
//! them in between ([`RETRY_AFTER`]), and seldom for what is lost. Lookups by key leave out what
//! cannot be read, and say so. Warnings tell of lost records, not more often than every
//! [`WARNING_PERIOD`]; nothing on the device is changed.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use ringmq_runtime::buffer::Shared;
use ringmq_runtime::clock::Instant;

use crate::error::ReadError;
use crate::fetch;
use crate::log::Inner;
use crate::read::Piece;
use crate::walk::Wanted;

/// How long a record has to be unreadable before it counts as lost: devices and paths to them come
/// back within some seconds, and clients try again every three.
const LOST_AFTER: Duration = Duration::from_secs(30);

/// How long the device is not asked again: a bad sector may take it seconds each time.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The same for a record that is lost. A read tries one of them at most.
const LOST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Time without a try after which a record may have been read by other ways, from the page cache or
/// by `sendfile`: when it fails again, that is the first time.
const FORGET_AFTER: Duration = Duration::from_secs(15);

/// Records that are tried behind one that could not be read.
const BEHIND_MAX: usize = 15;

/// Places that are remembered: 4 MiB of the smallest sectors. The one that was not tried for
/// longest is forgotten for a further one, and would have to be unreadable for as long again.
const PLACES_MAX: usize = 8192;

/// Least time between two warnings; the next one says how many were left out.
const WARNING_PERIOD: Duration = Duration::from_secs(10);

/// The places of one log that could not be read.
#[derive(Debug, Default)]
pub(crate) struct Unreadable {
    /// By the first byte of the record.
    places: BTreeMap<u64, Place>,
    warned_at: Option<Instant>,
    /// Warnings left out since then.
    unsaid: u64,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// Behind the record.
    end: u64,
    since: Instant,
    tried: Instant,
    is_lost: bool,
}

impl Place {
    /// Whether the device is not to be asked again yet.
    fn is_early(&self, now: Instant) -> bool {
        let pause = if self.is_lost { LOST_RETRY_AFTER } else { RETRY_AFTER };
        now.saturating_since(self.tried) < pause
    }
}

impl Unreadable {
    /// Whether the device has failed nowhere that is remembered.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether a record that touches these bytes is lost or could not be read just now.
    pub(crate) fn touches(&self, bytes: &Range<u64>, now: Instant) -> bool {
        // Records do not overlap.
        let from_behind = self.places.range(..bytes.end).rev();
        let mut touching = from_behind.take_while(|(_, place)| place.end > bytes.start);
        touching.any(|(_, place)| place.is_lost || place.is_early(now))
    }

    /// The device, or memory, has given these bytes.
    pub(crate) fn forget(&mut self, bytes: Range<u64>) {
        while let Some((&byte, _)) = self.places.range(bytes.clone()).next() {
            self.places.remove(&byte);
        }
    }

    /// The device has failed to read a record, which it was asked for at `began`; tells whether it
    /// has for so long that the record may be lost.
    fn note(&mut self, record: Range<u64>, began: Instant, now: Instant) -> bool {
        let first = Place { end: record.end, since: now, tried: now, is_lost: false };
        let place = self.places.entry(record.start).or_insert(first);
        if !place.is_lost && began.saturating_since(place.tried) > FORGET_AFTER {
            *place = first;
        }
        place.tried = now;
        let has_lasted = now.saturating_since(place.since) >= LOST_AFTER;
        if self.places.len() > PLACES_MAX {
            let others = self.places.iter().filter(|(byte, _)| **byte != record.start);
            let oldest = others.min_by_key(|(_, place)| place.tried).map(|(byte, _)| *byte);
            if let Some(oldest) = oldest {
                self.places.remove(&oldest);
            }
        }
        has_lasted
    }

    /// The record is lost; tells whether that is news.
    fn lose(&mut self, byte: u64) -> bool {
        let place = self.places.get_mut(&byte);
        place.is_some_and(|place| !std::mem::replace(&mut place.is_lost, true))
    }

    /// Whether it is time for a warning, and how many were left out before it.
    fn may_warn(&mut self, now: Instant) -> Option<u64> {
        if self.warned_at.is_some_and(|at| now.saturating_since(at) < WARNING_PERIOD) {
            self.unsaid += 1;
            return None;
        }
        self.warned_at = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

/// The part of one read of a queue that is done record by record.
#[derive(Debug, Default)]
pub(crate) struct Apart {
    /// Records that are lost.
    pub(crate) lost: Vec<Wanted>,
    /// One that was lost before has been tried once more.
    has_retried: bool,
}

/// What came of a record.
enum Came {
    Read(Shared),
    Lost,
    /// It may yet be read.
    Failed(ReadError),
    /// The same, and the device was not asked.
    Spared(ReadError),
}

impl Apart {
    /// Reads the first `count` records, adds those that can be read to `out`, and notes those that
    /// are lost. How many of the front these are together, and why it is not all.
    pub(crate) async fn read(
        &mut self,
        inner: &Rc<Inner>,
        records: &[Wanted],
        count: usize,
        out: &mut Vec<Piece>,
    ) -> (usize, Option<ReadError>) {
        for (index, record) in records[..count].iter().enumerate() {
            let began = Instant::now();
            match self.read_one(inner, record).await {
                Came::Read(bytes) => out.push(Piece::Memory(bytes)),
                Came::Lost => self.lost.push(*record),
                Came::Failed(error) => {
                    self.try_behind(inner, &records[index + 1..], began).await;
                    return (index, Some(error));
                }
                Came::Spared(error) => return (index, Some(error)),
            }
        }
        (count, None)
    }

    /// Tries the records behind one that failed, up to the first that can be read, unless that
    /// takes the device long.
    async fn try_behind(&mut self, inner: &Rc<Inner>, records: &[Wanted], began: Instant) {
        for record in &records[..records.len().min(BEHIND_MAX)] {
            let can_be_read = matches!(self.read_one(inner, record).await, Came::Read(_));
            if can_be_read || began.elapsed() >= RETRY_AFTER {
                return;
            }
        }
    }

    async fn read_one(&mut self, inner: &Rc<Inner>, record: &Wanted) -> Came {
        let began = Instant::now();
        let known = inner.unreadable.borrow().places.get(&record.byte).copied();
        if let Some(place) = known {
            let is_early = place.is_early(began);
            if place.is_lost && (is_early || std::mem::replace(&mut self.has_retried, true)) {
                return Came::Lost;
            }
            if is_early {
                let source = io::Error::other("the device could not read it just now");
                return Came::Spared(ReadError::Io { log: inner.id, what: "a segment", source });
            }
        }
        let place = record.byte..record.byte + record.len;
        match fetch::bytes(inner, record.byte, record.len).await {
            Ok(bytes) => {
                inner.unreadable.borrow_mut().forget(place);
                Came::Read(bytes)
            }
            Err(ReadError::Io { source, .. }) if is_lost(inner, place, began, &source).await => {
                Came::Lost
            }
            Err(error) => Came::Failed(error),
        }
    }
}

/// Notes that a record could not be read; tells whether it counts as lost.
async fn is_lost(inner: &Inner, record: Range<u64>, began: Instant, error: &io::Error) -> bool {
    let byte = record.start;
    let has_lasted = inner.unreadable.borrow_mut().note(record, began, Instant::now());
    if !has_lasted || !device_reads(inner, byte).await {
        return false;
    }
    if inner.unreadable.borrow_mut().lose(byte) {
        let problem =
            format!("cannot be read: {error}; pulls go on behind it; restore the file from a copy");
        warn(inner, byte, &problem);
    }
    true
}

/// Whether the device reads other parts of the log: what is written last, or what the segment of
/// `byte` begins with.
async fn device_reads(inner: &Inner, byte: u64) -> bool {
    let places = {
        let state = inner.state.borrow();
        let newest = state.tail.start().checked_sub(1);
        let first = state.segments.base_of(byte);
        [newest, Some(first).filter(|first| *first != byte)]
    };
    for place in places.into_iter().flatten() {
        if fetch::bytes(inner, place, 1).await.is_ok() {
            return true;
        }
    }
    false
}

/// Says which record cannot be read, and in which file, but not too often.
pub(crate) fn warn(inner: &Inner, byte: u64, problem: &str) {
    let Some(unsaid) = inner.unreadable.borrow_mut().may_warn(Instant::now()) else { return };
    let (path, pos) = {
        let segments = &inner.state.borrow().segments;
        let base = segments.base_of(byte);
        (segments.path(base), byte - base)
    };
    tracing::warn!(
        log = inner.id.0,
        "the message at byte {pos} of {} {problem} ({unsaid} further such warnings were left out \
         before)",
        path.display()
    );
}

#[cfg(test)]
mod tests {
    use ringmq_runtime::sim::World;

    use super::*;

    #[test]
    fn the_place_that_was_not_tried_for_longest_makes_way() {
        World::new(1).run(async {
            let (mut places, began) = (Unreadable::default(), Instant::now());
            for number in 0..PLACES_MAX as u64 {
                let now = began + Duration::from_millis(number);
                let byte = 1000 * (number + 1);
                assert!(!places.note(byte..byte + 100, now, now));
            }
            let now = began + LOST_AFTER;
            places.note(0..100, now, now);
            let is_known = |byte: u64| places.places.contains_key(&byte);
            assert!(is_known(0), "the newest, though it is the first of the log");
            assert!(!is_known(1000), "the oldest");
            let touches = |bytes| places.touches(&bytes, now);
            assert!(touches(99..100) && !touches(100..2000), "not just now");
        });
    }

    #[test]
    fn what_was_not_tried_for_long_fails_for_the_first_time() {
        World::new(1).run(async {
            let (mut places, began) = (Unreadable::default(), Instant::now());
            let hour = began + Duration::from_secs(3600);
            for start in [began, hour] {
                for after in [0, 10, 20] {
                    let now = start + Duration::from_secs(after);
                    assert!(!places.note(0..100, now, now));
                }
            }
            // A device that takes its time to fail was asked all the while.
            let asked = hour + Duration::from_secs(25);
            assert!(places.note(0..100, asked, asked + Duration::from_secs(20)));
        });
    }
}
