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
//! not keep its queue from going on for ever. Lookups by key leave out what cannot be read, unless
//! that is all there is. Warnings tell of lost records, not more often than every
//! [`WARNING_PERIOD`]; nothing on the device is changed.

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

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

/// Places that are remembered: 4 MiB of the smallest sectors. The oldest of the log is forgotten
/// for a further one, and would have to be unreadable for as long again.
const PLACES_MAX: usize = 8192;

/// Warnings are at least so far apart; the next one says how many were left out.
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
    since: Instant,
    tried: Instant,
    is_lost: bool,
}

impl Unreadable {
    /// What has failed so lately that the device need not be asked again.
    fn just_failed(&self, byte: u64, now: Instant) -> Option<Place> {
        let place = self.places.get(&byte).copied();
        place.filter(|place| now.saturating_since(place.tried) < RETRY_AFTER)
    }

    /// The device has read it.
    fn forget(&mut self, byte: u64) {
        self.places.remove(&byte);
    }

    /// The device has failed to read it; tells whether it has for so long that the record may be
    /// lost.
    fn note(&mut self, byte: u64, now: Instant) -> bool {
        let place = Place { since: now, tried: now, is_lost: false };
        let place = self.places.entry(byte).or_insert(place);
        place.tried = now;
        let has_lasted = now.saturating_since(place.since) >= LOST_AFTER;
        if self.places.len() > PLACES_MAX {
            self.places.pop_first();
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

/// Reads the records one by one, adds those that can be read to `out`, and those that are lost to
/// `lost`. How many of the front these are together, and why it is not all.
pub(crate) async fn read_apart(
    inner: &Rc<Inner>,
    records: &[Wanted],
    out: &mut Vec<Piece>,
    lost: &mut Vec<Wanted>,
) -> (usize, Option<ReadError>) {
    for (index, record) in records.iter().enumerate() {
        match read_one(inner, record).await {
            Ok(Some(bytes)) => out.push(bytes),
            Ok(None) => lost.push(*record),
            Err(error) => return (index, Some(error)),
        }
    }
    (records.len(), None)
}

/// One record; `None` if it is lost.
async fn read_one(inner: &Inner, record: &Wanted) -> Result<Option<Piece>, ReadError> {
    let just_failed = inner.unreadable.borrow().just_failed(record.byte, Instant::now());
    match just_failed {
        Some(Place { is_lost: true, .. }) => return Ok(None),
        Some(_) => {
            let source = io::Error::other("the device could not read it just now");
            return Err(ReadError::Io { log: inner.id, what: "a segment", source });
        }
        None => {}
    }
    match fetch::bytes(inner, record.byte, record.len).await {
        Ok(bytes) => {
            inner.unreadable.borrow_mut().forget(record.byte);
            Ok(Some(Piece::Memory(bytes)))
        }
        Err(ReadError::Io { source, .. }) if is_lost(inner, record.byte, &source).await => Ok(None),
        Err(error) => Err(error),
    }
}

/// Notes that a record could not be read; tells whether it counts as lost.
async fn is_lost(inner: &Inner, byte: u64, error: &io::Error) -> bool {
    let has_lasted = inner.unreadable.borrow_mut().note(byte, Instant::now());
    if !has_lasted || !device_reads(inner, byte).await {
        return false;
    }
    if inner.unreadable.borrow_mut().lose(byte) {
        warn(inner, byte, &format!("{error}; pulls go on behind it"));
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
        "the message at byte {pos} of {} cannot be read: {problem}; restore the file from a copy \
         ({unsaid} further such warnings were left out before)",
        path.display()
    );
}
