//! What the kernel says of a thread that says nothing itself.

/// What a thread of this process does: the letter of its state, as in proc(5), and in which
/// function of the kernel it waits, where that is told. `R` has a core or waits for one, `S`
/// sleeps, `D` waits for a device.
pub(crate) fn activity(thread: libc::pid_t) -> String {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/self/task/{thread}/{name}"));
    let Some(state) = read("stat").ok().as_deref().and_then(state) else {
        return "not known".to_owned();
    };
    match read("wchan").unwrap_or_default().trim() {
        "" | "0" => format!("state {state}"),
        function => format!("state {state} in {function}"),
    }
}

/// The state in a line of `stat`: what stands behind the name, which may have any characters.
fn state(stat: &str) -> Option<char> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.trim_start().chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::interrupt;

    #[test]
    fn a_thread_that_asks_runs_and_one_that_is_not_there_is_not_known() {
        assert!(activity(interrupt::this_thread()).starts_with("state R"));
        assert_eq!(activity(0), "not known");
    }

    #[test]
    fn the_state_stands_behind_a_name_of_any_characters() {
        assert_eq!(state("12 (a) b) S 1 2"), Some('S'));
        assert_eq!(state("12 (a"), None);
    }
}
