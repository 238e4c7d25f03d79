//! What an executor does when each task that was ready has had its turn. Pure: the `driver` tells
//! what it sees and carries out what is decided here.

/// What the driver sees when nothing is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Idle {
    pub(super) now_ns: u64,
    /// A timer that was over has made a task ready.
    pub(super) has_fired: bool,
    /// When the executor has something to do without anybody's call; `u64::MAX` for never.
    pub(super) next_ns: u64,
    /// An operation of glommio's rings is under way, which only glommio ends.
    pub(super) needs_glommio: bool,
    /// Until then the sockets are looked at without waiting for them.
    pub(super) spin_end_ns: u64,
    /// From then on so little comes that a wait in glommio costs nothing.
    pub(super) quiet_ns: u64,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Tasks are ready, or the next timer is over: another round.
    Run,
    /// glommio wants the thread and gives it back soon.
    GiveWay,
    /// Looks for what comes, without waiting, until then.
    Spin { until_ns: u64 },
    /// Waits for sockets, other threads and the ring until then.
    Sleep { until_ns: u64 },
    /// The same, in glommio.
    Park { until_ns: u64 },
}

/// Decides what comes next. `idle` is asked only if it matters: to tell, it reads the clock.
pub(super) fn decide(is_preempted: bool, ready: usize, idle: impl FnOnce() -> Idle) -> Step {
    if is_preempted {
        return Step::GiveWay;
    }
    if ready > 0 {
        return Step::Run;
    }
    let Idle { now_ns, has_fired, next_ns, needs_glommio, spin_end_ns, quiet_ns } = idle();
    let spin_end_ns = next_ns.min(spin_end_ns);
    if has_fired || next_ns <= now_ns {
        Step::Run
    } else if needs_glommio {
        // Before any spinning: what glommio does would wait for the end of that.
        Step::Park { until_ns: next_ns }
    } else if now_ns < spin_end_ns {
        Step::Spin { until_ns: spin_end_ns }
    } else if quiet_ns <= now_ns {
        Step::Park { until_ns: next_ns }
    } else {
        Step::Sleep { until_ns: next_ns.min(quiet_ns) }
    }
}

#[cfg(test)]
mod tests {
    use super::Step::{GiveWay, Park, Run, Sleep, Spin};
    use super::*;

    const NEVER: u64 = u64::MAX;

    /// At 100, when something came lately, with nothing to wait for but others.
    const BUSY: Idle = Idle {
        now_ns: 100,
        has_fired: false,
        next_ns: NEVER,
        needs_glommio: false,
        spin_end_ns: 0,
        quiet_ns: 500,
    };

    #[test]
    fn what_comes_next_for_all_that_the_driver_may_see() {
        let quiet = Idle { quiet_ns: 100, ..BUSY };
        let polling = Idle { spin_end_ns: 150, ..BUSY };
        let in_glommio = Idle { needs_glommio: true, ..BUSY };
        let due = |idle| Idle { next_ns: 100, ..idle };
        let in_50 = |idle| Idle { next_ns: 150, ..idle };
        let fired = |idle| Idle { has_fired: true, ..idle };
        let table = [
            ("others are waited for here", BUSY, Sleep { until_ns: 500 }),
            ("until the next timer", in_50(BUSY), Sleep { until_ns: 150 }),
            ("not longer than it is busy", Idle { next_ns: 900, ..BUSY }, Sleep { until_ns: 500 }),
            ("a timer is over", due(BUSY), Run),
            ("a timer was over", fired(BUSY), Run),
            ("nothing came for long", quiet, Park { until_ns: NEVER }),
            ("nor will before the timer", in_50(quiet), Park { until_ns: 150 }),
            ("a timer is over in the quiet", due(quiet), Run),
            ("a timer was over in the quiet", fired(quiet), Run),
            ("polling comes before sleeping", polling, Spin { until_ns: 150 }),
            ("and ends at the timer", Idle { next_ns: 120, ..polling }, Spin { until_ns: 120 }),
            ("and its end", Idle { now_ns: 150, ..polling }, Sleep { until_ns: 500 }),
            ("polling comes before quiet", Idle { quiet_ns: 0, ..polling }, Spin { until_ns: 150 }),
            ("a timer comes before polling", due(polling), Run),
            ("glommio works", in_glommio, Park { until_ns: NEVER }),
            ("until the timer", in_50(in_glommio), Park { until_ns: 150 }),
            ("a timer comes before glommio", due(in_glommio), Run),
            ("a task before glommio", fired(in_glommio), Run),
            (
                "glommio works before polling",
                Idle { needs_glommio: true, ..polling },
                Park { until_ns: NEVER },
            ),
        ];
        for (case, idle, step) in table {
            assert_eq!(decide(false, 0, || idle), step, "{case}: {idle:?}");
        }
    }

    #[test]
    fn neither_ready_tasks_nor_glommio_wait_for_the_clock() {
        let unasked = || panic!("the clock is read");
        assert_eq!(decide(false, 1, unasked), Run);
        assert_eq!(decide(true, 0, unasked), GiveWay);
        assert_eq!(decide(true, 1, unasked), GiveWay);
    }
}
