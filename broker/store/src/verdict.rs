//! What to do with what stands behind the last good record: a table, without I/O.
//!
//! A crash explains: zeros; a record that was written in part; and, because a write of many sectors
//! may reach the device in any order, good records behind a hole, as far as unflushed writes
//! reached (the torn window of the run that crashed). Nothing but damage explains good records
//! farther on, or any behind the end of a log that was closed.

use crate::options::Repair;

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
    /// Damage; a person has to decide.
    Refuse,
    /// Damage, and a person has decided: everything behind goes.
    CutAll,
}

/// The decision.
pub(crate) fn judge(evidence: Evidence, repair: Repair) -> Verdict {
    let Evidence { was_clean, has_rest, has_near_record, has_far_record } = evidence;
    let is_damage = has_far_record || (was_clean && has_near_record);
    match (is_damage, repair) {
        (true, Repair::Refuse) => Verdict::Refuse,
        (true, Repair::Truncate) => Verdict::CutAll,
        (false, _) if has_rest => Verdict::Cut,
        (false, _) => Verdict::Continue,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_one_answer_and_only_a_crash_is_forgiven() {
        use Verdict::{Continue, Cut, CutAll, Refuse};
        // clean, rest, near, far, answer when damage is refused, answer when it is cut
        let table = [
            (false, false, false, false, Continue, Continue),
            (false, true, false, false, Cut, Cut),
            (false, true, true, false, Cut, Cut),
            (false, true, false, true, Refuse, CutAll),
            (false, true, true, true, Refuse, CutAll),
            (false, false, false, true, Refuse, CutAll),
            (true, false, false, false, Continue, Continue),
            (true, true, false, false, Cut, Cut),
            (true, true, true, false, Refuse, CutAll),
            (true, true, false, true, Refuse, CutAll),
            (true, true, true, true, Refuse, CutAll),
            (true, false, false, true, Refuse, CutAll),
        ];
        for (was_clean, has_rest, has_near_record, has_far_record, refused, cut) in table {
            let evidence = Evidence { was_clean, has_rest, has_near_record, has_far_record };
            assert_eq!(judge(evidence, Repair::Refuse), refused, "{evidence:?}");
            assert_eq!(judge(evidence, Repair::Truncate), cut, "{evidence:?}");
        }
    }
}
