//! What to do with what stands behind the last good record: a table, without I/O.
//!
//! A crash explains: zeros; a record that was written in part; and, because a write of many sectors
//! may reach the device in any order, good records behind a hole, as far as unflushed writes
//! reached (the torn window of the run that crashed). Nothing but damage explains good records
//! farther on, or any behind the end of a log that was closed.

/// What stands behind the last good record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// The last run ended cleanly.
    pub(crate) was_clean: bool,
    /// Some byte behind the last good record is not zero.
    pub(crate) has_rest: bool,
    /// A record that knows its own place stands behind, inside of the torn window.
    pub(crate) has_near_record: bool,
    /// The same, outside of the torn window.
    pub(crate) has_far_record: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on behind the last good record.
    Continue,
    /// Zero what a crash left behind the last good record, then go on.
    ///
    /// The zeros matter: a whole record left there would come back to life once new records end
    /// exactly where it begins.
    Cut,
    /// Damage; a person has to restore the file.
    Refuse,
}

/// The decision.
pub(crate) fn judge(evidence: Evidence) -> Verdict {
    let Evidence { was_clean, has_rest, has_near_record, has_far_record } = evidence;
    let is_damage = has_far_record || (was_clean && has_near_record);
    match (is_damage, has_rest) {
        (true, _) => Verdict::Refuse,
        (false, true) => Verdict::Cut,
        (false, false) => Verdict::Continue,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_one_answer_and_only_a_crash_is_forgiven() {
        use Verdict::{Continue, Cut, Refuse};
        // clean, rest, near, far, answer
        let table = [
            (false, false, false, false, Continue),
            (false, true, false, false, Cut),
            (false, true, true, false, Cut),
            (false, true, false, true, Refuse),
            (false, true, true, true, Refuse),
            (false, false, false, true, Refuse),
            (true, false, false, false, Continue),
            (true, true, false, false, Cut),
            (true, true, true, false, Refuse),
            (true, true, false, true, Refuse),
            (true, true, true, true, Refuse),
            (true, false, false, true, Refuse),
        ];
        for (was_clean, has_rest, has_near_record, has_far_record, answer) in table {
            let evidence = Evidence { was_clean, has_rest, has_near_record, has_far_record };
            assert_eq!(judge(evidence), answer, "{evidence:?}");
        }
    }
}
