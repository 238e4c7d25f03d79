//! Whether this process may open as many files as its logs will have.

/// Descriptors that an open file of a log has: for direct I/O, for the helper threads, for sending
/// and for the page cache (`ringmq_runtime::disk`).
const PER_SEGMENT: u64 = 4;

/// Of the descriptors that the process may open, connections may have one in this many: without any
/// left a log gets no new segment and saves no index, and the broker takes no messages any more.
pub const FILES_PER_CONNECTION_MIN: usize = 2;

/// What to tell people when `left` descriptors do not suffice for the files of `segment_bytes` each
/// that a disk of `disk_bytes` can hold.
pub fn shortage(left: usize, segment_bytes: u64, disk_bytes: u64) -> Option<String> {
    let room = left as u64 / PER_SEGMENT;
    let wanted = disk_bytes / segment_bytes.max(1);
    (wanted > room).then(|| {
        format!(
            "the disk can hold {wanted} files of the message logs, and each keeps {PER_SEGMENT} \
             descriptors, but besides connections only {left} may be open: with more than {room} \
             files, {} MiB of messages, no further one can be made and sends are refused. Raise \
             the limit of open files (ulimit -n, LimitNOFILE) to {}, or keep messages for less \
             time (fileReservedTime)",
            (room.saturating_mul(segment_bytes)) >> 20,
            // Connections may have the other half.
            2 * PER_SEGMENT * (wanted + 1)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_too_low_for_the_disk_is_named_with_one_that_is_not() {
        let shortage_of = |limit: usize| shortage(limit / 2, 1 << 30, 300 << 30);
        let text = shortage_of(1024).expect("128 files of 300");
        assert!(text.contains("more than 128") && text.contains("131072 MiB"), "{text}");
        assert!(text.contains(" to 2408"), "{text}");
        assert_eq!(shortage_of(2408), None);
        assert_eq!(shortage_of(1 << 20), None);
    }
}
