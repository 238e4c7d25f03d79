//! The writer: brings what was appended to the device, group by group. With [`FlushPolicy::Sync`]
//! each group is flushed with its last write; otherwise the `flusher` follows.
//!
//! One write is in flight. What arrives meanwhile is the next group, taken as late as possible:
//! when a write has ended and the next group is small, the shard first reads what its sockets have,
//! since a group costs as much as ten messages. Whoever waits for the group that was written waits
//! for this too, which is one round of the shard; the answers then leave while the device has the
//! next group. A lone message is written as soon as the task that appended it gives way, and no
//! round is waited for when nothing is there to be written. The writer copies each group into an
//! aligned buffer, because the direct write owns its memory while the tail stays readable: 40 ns
//! per KiB, against 30 us for the write. The page that a group ends in is written again by the next
//! group with the same bytes in front, so even a torn page keeps what it had.

use std::io;
use std::rc::Rc;

use ringmq_runtime::buffer::DmaBuffer;
use ringmq_runtime::net;
use ringmq_runtime::task::{self, Task};

use crate::log::Inner;
use crate::maker::growth_flushed;
use crate::options::{FlushPolicy, GROUP_MAX_BYTES, PAGE_BYTES};
use crate::segment::Segment;
use crate::watermarks::Group;

/// A group that waits with less than this is small: below some 50 messages of 1 KiB. A direct write
/// takes about 16 us of CPU: 0.3 us for each of 50 messages, and 1 us for each of 16.
const GROUP_SMALL_BYTES: u64 = 64 << 10;

/// Starts the writer of a log.
pub(crate) fn start(inner: &Rc<Inner>) -> Task<()> {
    let inner = inner.clone();
    task::spawn("log-writer", async move {
        let mut buffers = WriteBuffers::default();
        loop {
            let appended = inner.signals.appended.notified();
            if inner.is_fenced() {
                return;
            }
            if inner.state.borrow().marks.next_group().is_some() {
                drop(appended);
                if let Err(error) = write_group(&inner, &mut buffers).await {
                    return inner.fail("a write to the log", &error);
                }
                continue;
            }
            if inner.is_closing() {
                return;
            }
            appended.await;
        }
    })
}

async fn write_group(inner: &Inner, buffers: &mut WriteBuffers) -> io::Result<()> {
    if !await_place(inner).await {
        return Ok(());
    }
    let (group, segment) = {
        let state = inner.state.borrow();
        let group = state.marks.next_group().expect("only the writer completes groups");
        (group, state.segments.find(group.from).expect("waited for above").clone())
    };
    let submitted_at = inner.group_clock.submitted();
    let flushes = inner.options.flush == FlushPolicy::Sync;
    let mut from = group.from;
    loop {
        let part = Group { from, to: group.to.min(from + GROUP_MAX_BYTES) };
        let is_last = part.to == group.to;
        write_part(inner, buffers, part, &segment, flushes && is_last).await?;
        if is_last {
            break;
        }
        from = part.to;
    }
    if flushes && !growth_flushed(inner, segment.base).await {
        return Ok(());
    }
    inner.group_clock.completed(inner.id.at(group.to), submitted_at);
    let waits = inner.state.borrow().marks.appended() - group.to;
    if (1..GROUP_SMALL_BYTES).contains(&waits) {
        net::after_arrivals().await;
    }
    complete(inner, group, flushes);
    Ok(())
}

/// Nothing when the log was fenced while the group was on its way: what a failed flush may have
/// taken is not promised after it, and a waiter that has the error does not see its message later.
fn complete(inner: &Inner, group: Group, flushed: bool) {
    if inner.is_fenced() {
        return;
    }
    let is_more_wanted = {
        let state = &mut *inner.state.borrow_mut();
        let queues = &mut state.queues;
        state.marks.completed(group, |queue| queues.acknowledge_one(queue));
        state.counters.groups += 1;
        state.counters.flushes += u64::from(flushed);
        state.segments.is_more_wanted(group.to)
    };
    let signals = &inner.signals;
    if is_more_wanted {
        signals.segment_wanted.notify_one();
    }
    signals.acknowledged.notify_all();
    signals.room.notify_all();
    if flushed {
        signals.flushed.notify_all();
        signals.unsaved.notify_one();
    } else {
        signals.unflushed.notify_one();
    }
}

/// Waits until the next group's segment exists and is filled to its end, and until the group may
/// stay unflushed.
///
/// False when the log was fenced meanwhile.
async fn await_place(inner: &Inner) -> bool {
    let mut has_waited = false;
    loop {
        let segment_ready = inner.signals.segment_ready.notified();
        let flushed = inner.signals.flushed.notified();
        let waits_for_segment = {
            let state = inner.state.borrow();
            if state.fenced.is_some() {
                return false;
            }
            let group = state.marks.next_group().expect("only the writer completes groups");
            let is_filled = group.to <= state.segments.filled();
            let is_flushed = inner.options.flush == FlushPolicy::Sync
                || group.to - state.marks.durable() <= inner.options.unflushed_max_bytes
                || state.marks.durable() == state.marks.written();
            if is_filled && is_flushed {
                return true;
            }
            if inner.is_closing() && !is_filled && state.no_space.is_some() {
                break;
            }
            !is_filled
        };
        if waits_for_segment {
            if !std::mem::replace(&mut has_waited, true) {
                inner.state.borrow_mut().counters.segment_waits += 1;
            }
            drop(flushed);
            inner.signals.segment_wanted.notify_one();
            segment_ready.await;
        } else {
            drop(segment_ready);
            inner.signals.unflushed.notify_one();
            flushed.await;
        }
    }
    // Nobody has been promised these messages, and the space may never come.
    inner.fence("it was closed while the disk had no space for its last messages");
    false
}

/// Writes `part`, padded with zeros to the next buffer size; nothing lies behind it in the file
/// yet.
async fn write_part(
    inner: &Inner,
    buffers: &mut WriteBuffers,
    part: Group,
    segment: &Segment,
    flushes: bool,
) -> io::Result<()> {
    let need = (part.to - part.from).next_multiple_of(PAGE_BYTES);
    // Padding must not grow a file: the space may be missing, and that is no reason to fence.
    let room = segment.base + segment.filled - part.from;
    let mut buffer = buffers.take(need as usize, room as usize);
    inner.state.borrow().tail.copy(part.from, buffer.as_mut_slice());
    let len = buffer.len() as u64;
    let pos = part.from - segment.base;
    let written = match flushes {
        true => segment.file.write_and_sync(pos, buffer).await,
        false => segment.file.write_at(pos, buffer).await,
    };
    let buffer = written?;
    buffers.give_back(buffer);
    inner.state.borrow_mut().counters.bytes_written += len;
    Ok(())
}

/// Aligned buffers by size, kept: a fresh one costs page faults, and a write takes whole buffers
/// only.
///
/// The sizes are 1, 2, 3, 4, 6, 8, 12 ... 256 pages, so a group is padded by at most half its size,
/// and on average by a sixth. All of them together take 2.7 MiB, once groups of every size have
/// occurred.
#[derive(Default)]
struct WriteBuffers {
    kept: Vec<DmaBuffer>,
}

impl WriteBuffers {
    /// A buffer of at least `need` bytes and at most `room`.
    fn take(&mut self, need: usize, room: usize) -> DmaBuffer {
        let size = buffer_size(need);
        let size = if size > room { need } else { size };
        match self.kept.iter().position(|buffer| buffer.len() == size) {
            Some(index) => self.kept.swap_remove(index),
            None => DmaBuffer::alloc(size),
        }
    }

    fn give_back(&mut self, buffer: DmaBuffer) {
        if buffer_size(buffer.len()) == buffer.len() && buffer.len() <= GROUP_MAX_BYTES as usize {
            self.kept.push(buffer);
        }
    }
}

/// The smallest buffer size that holds `need` bytes: 2^n or 3 * 2^(n-1) pages.
fn buffer_size(need: usize) -> usize {
    let pages = need.div_ceil(PAGE_BYTES as usize);
    let power = pages.next_power_of_two();
    let between = power / 4 * 3;
    (if between >= pages { between } else { power }) * PAGE_BYTES as usize
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ringmq_runtime::sim::World;

    use super::*;
    use crate::append::tests::message;
    use crate::log::Log;
    use crate::options::LogOptions;
    use crate::position::LogId;

    #[test]
    fn a_write_that_ends_after_the_log_was_fenced_shows_and_acknowledges_nothing() {
        let world = World::new(1);
        let disk = world.disk(0);
        let options = LogOptions {
            segment_size_bytes: 1 << 20,
            record_size_max_bytes: 64 << 10,
            fill_step_bytes: 64 << 10,
            flush: FlushPolicy::Async { interval: Duration::from_secs(1000) },
            ..LogOptions::default()
        };
        let write_time = Duration::from_millis(10);
        world.run(async {
            let opened = Log::open(&disk, "log", LogId(0), options).await;
            let (log, _) = opened.expect("the log opens");
            let before = log.acknowledged();
            world.disk_faults(0, |faults| faults.latency = (write_time, write_time));
            log.append(&message("topic", 0, b"body"), 1).expect("room");
            // The write is on its way.
            task::sleep(write_time / 2).await;
            log.inner.fence("a flush failed");
            task::sleep(write_time * 4).await;
            assert_eq!(log.acknowledged(), before);
            let outcome = log.acknowledged_beyond(before).await;
            assert!(outcome.is_err(), "a promise after a failed flush");
            let (_, visible) = log.queue_range("topic", 0).expect("it has a message");
            assert_eq!(visible.0, 0);
        });
    }

    #[test]
    fn buffer_sizes_are_few_and_waste_at_most_half() {
        let pages = |count: usize| count * PAGE_BYTES as usize;
        for (need, size) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 6), (7, 8), (9, 12), (13, 16)] {
            assert_eq!(buffer_size(pages(need)), pages(size), "{need} pages");
        }
        assert_eq!(buffer_size(1), pages(1));
        assert_eq!(buffer_size(GROUP_MAX_BYTES as usize), GROUP_MAX_BYTES as usize);
        for need in 1..=256 {
            assert!(buffer_size(pages(need)) * 2 <= pages(need) * 3, "{need} pages");
        }
    }
}
