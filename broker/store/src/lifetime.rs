//! How much of its positions a log has given out: expired messages give none back, so a log runs
//! out of them one day.

use crate::position::{LOG_MAX_BYTES, LogId};

/// People are told from here on, once per percent: what is left lasts nine hours at 100 MB/s.
const TOLD_FROM_PERCENT: u64 = 90;

/// Tells of a log whose segments end at `end`, if that is news after `before`.
pub(crate) fn tell(log: LogId, before: u64, end: u64) {
    if let Some(percent) = percent_to_tell(before, end) {
        tracing::warn!(
            log = log.0,
            "{percent} % of the 32 TiB of positions that a log has are given out, and expired \
             messages give none back: at the end the log takes no more messages. Let a broker \
             with a new store take over before that"
        );
    }
}

fn percent_to_tell(before: u64, end: u64) -> Option<u64> {
    let percent = |byte: u64| byte * 100 / LOG_MAX_BYTES;
    (percent(end) >= TOLD_FROM_PERCENT && percent(end) > percent(before)).then(|| percent(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_at_nine_tenths_and_at_each_percent_behind() {
        let at = |percent: u64| (LOG_MAX_BYTES * percent).div_ceil(100);
        assert_eq!(percent_to_tell(0, at(90) - 1), None);
        assert_eq!(percent_to_tell(at(90) - 1, at(90)), Some(90));
        assert_eq!(percent_to_tell(at(90), at(91) - 1), None);
        assert_eq!(percent_to_tell(at(90), at(91)), Some(91));
        assert_eq!(percent_to_tell(0, at(95)), Some(95), "a start tells what earlier ones did");
        assert_eq!(percent_to_tell(at(99), LOG_MAX_BYTES), Some(100));
    }
}
