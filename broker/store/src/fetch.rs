//! Getting the bytes of records.
//!
//! | where, how | piece |
//! |---|---|
//! | in the tail | slice of the tail |
//! | in extents of the log that are in memory | slices of the extents (`extents.rs`) |
//! | neighbours of [`FILE_RUN_MIN_BYTES`] and more | range of the file, sent from the page cache |
//! | others, in the page cache | copies, several in one block |
//! | others | brought into an extent or the page cache first (`cold.rs`) |
//! | others, where nobody can tell what that holds | copies of what lies around them |
//! | what lies beside a bad sector | copies, one for each record (`unreadable.rs`) |
//!
//! The log is written past the page cache, so that its readers have that to themselves.

mod copies;
mod device;

use std::ops::Range;
use std::rc::Rc;

use ringmq_runtime::buffer::Shared;

use self::copies::Copies;
pub(crate) use self::device::bytes;
use crate::cold;
use crate::error::ReadError;
use crate::log::{Inner, State};
use crate::read::Piece;
use crate::segment::Segment;
use crate::unreadable::Apart;
use crate::walk::Wanted;

/// From here on a range leaves by `sendfile`. Measured with the example `sendfile_crossover` of
/// `broker/runtime`, CPU of both ends per KiB, ext4 and loopback on a busy machine: at 32 KiB 0.4
/// us from memory and 0.55 us by `sendfile`, 0.68 if the page cache has to read; at 8 KiB 0.54 to
/// 0.92 us.
pub(crate) const FILE_RUN_MIN_BYTES: u64 = 32 << 10;

/// Adds the bytes of the first of the wanted records to `out`, as many as are in memory or in the
/// page cache, or leave from there; tells how many. Never waits for the device.
pub(crate) fn fetch_now(
    inner: &Inner,
    state: &State,
    wanted: &[Wanted],
    out: &mut Vec<Piece>,
) -> usize {
    let mut copies = Copies::default();
    let mut extents = inner.extents.borrow_mut();
    let mut fetched = 0;
    for run in runs(state, wanted) {
        let Wanted { byte, len, .. } = Wanted::all_of(run);
        if let Some(shared) = state.tail.share(byte, len as usize) {
            out.extend(copies.take());
            out.push(Piece::Memory(shared));
        } else {
            // What lies before the tail is written.
            assert!(byte < state.tail.start(), "records of the tail lie in one block");
            let Some(segment) = state.segments.find(byte) else { break };
            let pos = byte - segment.base;
            let settled = settled(state, segment);
            let next = wanted.get(fetched + run.len()).map(|next| next.byte);
            if len >= FILE_RUN_MIN_BYTES && !segment.file.failed_to_send() {
                out.extend(copies.take());
                // What was read past the page cache would be read a second time from the file.
                if !extents.share_all(byte..byte + len, |part| out.push(Piece::Memory(part))) {
                    out.push(Piece::File { view: segment.file.view(), pos, len });
                }
            } else if extents.share_record(segment, &settled, byte..byte + len, next, |part| {
                out.extend(copies.take());
                push_joined(out, part);
            }) {
                inner.unreadable.borrow_mut().forget(byte..byte + len);
            } else {
                let room = copies.room(len as usize, &wanted[fetched..], extents.pool(), out);
                if !extents.copy(segment, &settled, byte, next, room) {
                    break;
                }
                copies.advance(len as usize);
                inner.unreadable.borrow_mut().forget(byte..byte + len);
            }
        }
        fetched += run.len();
    }
    out.extend(copies.finish(extents.pool()));
    fetched
}

/// Bytes of a segment that do not change any more.
pub(crate) fn settled(state: &State, segment: &Segment) -> Range<u64> {
    segment.base..state.tail.start().min(segment.base + state.segments.size)
}

/// Adds a slice, as a part of the last one where it follows that in memory.
fn push_joined(out: &mut Vec<Piece>, shared: Shared) {
    let own = match out.last_mut() {
        Some(Piece::Memory(last)) => last.join(shared),
        _ => Err(shared),
    };
    out.extend(own.err().map(Piece::Memory));
}

/// What came of the records that a read wanted.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    /// How many of the front are done: fetched or lost. Those behind them may be read later.
    pub(crate) done: usize,
    /// Those of them that are lost.
    pub(crate) lost: Vec<Wanted>,
}

/// Adds the bytes of the wanted records to `out`: of all of them, unless the device cannot read
/// some.
///
/// # Errors
/// When the device cannot read the first of them, or a segment is gone.
pub(crate) async fn fetch(
    inner: &Rc<Inner>,
    wanted: &[Wanted],
    out: &mut Vec<Piece>,
) -> Result<Fetched, ReadError> {
    let are_sparse = cold::are_sparse(wanted);
    let (mut rest, mut apart) = (wanted, Apart::default());
    let (mut is_followed, mut was_brought) = (false, false);
    while let Some(missing) = fetch_cached(inner, &mut rest, out)? {
        let sound = device::count_sound(inner, rest, are_sparse);
        let step = next_step(sound, &missing, was_brought);
        if step == Step::Bring {
            if !std::mem::replace(&mut is_followed, true) {
                cold::follow(inner, wanted, true);
            }
            let first = missing.count.min(sound);
            cold::bring(inner, &rest[..sound], first, are_sparse).await;
            was_brought = true;
            continue;
        }
        let in_one_go = step == Step::Together;
        let (read, problem) =
            device::read(inner, rest, are_sparse, in_one_go, &mut apart, out).await;
        rest = &rest[read..];
        match problem {
            Some(ReadError::Io { .. }) if rest.len() < wanted.len() => break,
            Some(error) => return Err(error),
            None => was_brought = false,
        }
    }
    if !is_followed {
        cold::follow(inner, wanted, false);
    }
    Ok(Fetched { done: wanted.len() - rest.len(), lost: apart.lost })
}

/// The neighbours that the page cache lacked when a read came to them.
struct Missing {
    /// Records before them that were fetched just now.
    fetched: usize,
    /// How many they are.
    count: usize,
    /// Whether anybody can tell what the page cache holds of their file.
    tells_cached: bool,
}

/// Takes the records from the front of `rest` that [`fetch_now`] adds to `out`. None when that is
/// all of them.
///
/// # Errors
/// When the segment of the next one is gone.
fn fetch_cached(
    inner: &Inner,
    rest: &mut &[Wanted],
    out: &mut Vec<Piece>,
) -> Result<Option<Missing>, ReadError> {
    let state = inner.state.borrow();
    let fetched = fetch_now(inner, &state, rest, out);
    *rest = &rest[fetched..];
    let Some(run) = runs(&state, rest).next() else { return Ok(None) };
    let byte = run[0].byte;
    let segment = state.segments.find(byte).ok_or_else(|| device::gone(inner, byte))?;
    let tells_cached = segment.file.tells_cached();
    Ok(Some(Missing { fetched, count: run.len(), tells_cached }))
}

/// What is done next about records that the page cache lacks.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// The device brings them into the page cache or into extents, where they are looked for again.
    Bring,
    /// They are read past the page cache, in one go.
    Together,
    /// The same, record by record.
    Apart,
}

/// `sound` records of the front lie where the device has not failed lately; `was_brought`: the
/// first of them was brought just now.
fn next_step(sound: usize, missing: &Missing, was_brought: bool) -> Step {
    // It came and made way again before anything was read: so it would the next time.
    let is_in_vain = was_brought && missing.fetched == 0;
    match sound {
        // The device is not asked for all of a place where it has failed.
        0 => Step::Apart,
        _ if missing.tells_cached && !is_in_vain => Step::Bring,
        _ => Step::Together,
    }
}

/// Neighbours, of which each group becomes one piece: all in one block of the tail, or none in it.
pub(crate) fn runs<'a>(
    state: &'a State,
    wanted: &'a [Wanted],
) -> impl Iterator<Item = &'a [Wanted]> {
    let is_together = |a: &Wanted, b: &Wanted| match state.tail.bytes_from(a.byte) {
        Some(bytes) => a.len + b.len <= bytes.len() as u64,
        None => b.byte < state.tail.start(),
    };
    wanted.chunk_by(move |a, b| a.byte + a.len == b.byte && is_together(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_brought_once_and_where_that_is_vain_or_blind_read() {
        for (sound, fetched, tells_cached, was_brought, expected) in [
            (0, 0, true, false, Step::Apart),
            (0, 3, false, true, Step::Apart),
            (1, 0, true, false, Step::Bring),
            (5, 3, true, false, Step::Bring),
            (5, 3, true, true, Step::Bring),
            (5, 0, true, true, Step::Together),
            (5, 0, false, false, Step::Together),
            (5, 3, false, false, Step::Together),
        ] {
            let missing = Missing { fetched, count: 1, tells_cached };
            let seen = next_step(sound, &missing, was_brought);
            assert_eq!(seen, expected, "{sound} {fetched} {tells_cached} {was_brought}");
        }
    }
}
