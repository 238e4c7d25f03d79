//! What the tasks of a log and those who call it wait for.
//!
//! A signal says only that something may have changed. A task that waits takes it, looks at
//! [`State`](crate::log::State), and only then awaits it, so that a change in between is not
//! missed. `acknowledged`, `room` and `saved` have a crowd of callers waiting, the others tasks of
//! the log. All of them wake when the log is closed or fenced, and look.

use ringmq_runtime::sync::Notify;

/// The signals of one log.
#[derive(Default)]
pub(crate) struct Signals {
    /// Something was appended.
    pub(crate) appended: Notify,
    /// The acknowledged watermark moved, or the log was fenced.
    pub(crate) acknowledged: Notify,
    /// Written bytes left memory.
    pub(crate) room: Notify,
    /// Something was written that is not flushed.
    pub(crate) unflushed: Notify,
    /// The durable watermark moved.
    pub(crate) flushed: Notify,
    /// The index has something to save.
    pub(crate) unsaved: Notify,
    /// A checkpoint was written.
    pub(crate) saved: Notify,
    /// A segment was added, or grew.
    pub(crate) segment_ready: Notify,
    /// The newest segment is to grow, or the next one to be begun.
    pub(crate) segment_wanted: Notify,
    /// The log is being closed, or was fenced.
    pub(crate) ended: Notify,
}

impl Signals {
    /// The log is being closed, or was fenced: nobody waits on for what may never come.
    pub(crate) fn wake_everybody(&self) {
        for signal in [
            &self.appended,
            &self.room,
            &self.unflushed,
            &self.flushed,
            &self.unsaved,
            &self.segment_ready,
            &self.segment_wanted,
            &self.ended,
        ] {
            // The tasks of the log wait one by one and must not miss it; everybody else is woken as
            // a crowd.
            signal.notify_all();
            signal.notify_one();
        }
        self.acknowledged.notify_all();
        self.saved.notify_all();
    }
}
