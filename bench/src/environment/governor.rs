//! How the cores choose their frequency: a governor that saves power spoils a figure.

use std::collections::BTreeMap;
use std::path::Path;

use ringmq_runtime::disk::Disk;

use super::fact_below;

/// Where the kernel has a folder for each core.
const CORES: &str = "sys/devices/system/cpu";

/// The governor of all cores of the machine whose files are below `root`. Where they differ, which
/// cores have which; a core that tells none, such as one that is switched off, is left out. Empty
/// where none tells, as on most virtual machines.
pub async fn of_cores(root: &Path) -> String {
    let mut governors: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for core in cores(root).await {
        let file = format!("{CORES}/cpu{core}/cpufreq/scaling_governor");
        let governor = fact_below(root, &file).await;
        if !governor.is_empty() {
            governors.entry(governor).or_default().push(core);
        }
    }
    let on = |(name, cores): (&String, &Vec<usize>)| match governors.len() {
        1 => name.clone(),
        _ => format!("{name} on {}", ranges(cores)),
    };
    governors.iter().map(on).collect::<Vec<_>>().join(" and ")
}

/// The numbers of the cores, ascending; none where that is not told.
async fn cores(root: &Path) -> Vec<usize> {
    let folders = async { Disk::live(root)?.list(CORES).await }.await.unwrap_or_default();
    let number = |name: &str| name.strip_prefix("cpu")?.parse().ok();
    let mut cores: Vec<usize> = folders.iter().filter_map(|folder| number(&folder.name)).collect();
    cores.sort_unstable();
    cores
}

/// Ascending numbers of cores as the kernel lists them, such as `cores 0-2,5`.
fn ranges(cores: &[usize]) -> String {
    let range = |run: &[usize]| match run {
        [one] => one.to_string(),
        _ => format!("{}-{}", run[0], run[run.len() - 1]),
    };
    let runs = cores.chunk_by(|one, next| one + 1 == *next).map(range);
    let name = if cores.len() == 1 { "core" } else { "cores" };
    format!("{name} {}", runs.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::tests::with_files;

    /// What is told of a machine whose cores have these files.
    fn check(files: &[(&str, &str)], expected: &str) {
        let paths: Vec<_> = files.iter().map(|(file, _)| format!("{CORES}/{file}")).collect();
        let texts = files.iter().map(|(_, text)| *text);
        let files: Vec<_> = paths.iter().map(String::as_str).zip(texts).collect();
        assert_eq!(with_files(&files, of_cores), expected, "{files:?}");
    }

    #[test]
    fn a_governor_that_all_cores_have_is_told_once() {
        check(&[("cpu0/cpufreq/scaling_governor", "performance\n")], "performance");
        let alike = [
            ("cpu0/cpufreq/scaling_governor", "schedutil\n"),
            ("cpu1/cpufreq/scaling_governor", "schedutil\n"),
            ("cpu2/online", "0\n"),
            ("cpufreq/boost", "1\n"),
        ];
        check(&alike, "schedutil");
    }

    #[test]
    fn governors_that_differ_are_told_with_their_cores() {
        let both = [
            ("cpu0/cpufreq/scaling_governor", "powersave\n"),
            ("cpu1/cpufreq/scaling_governor", "performance\n"),
        ];
        check(&both, "performance on core 1 and powersave on core 0");
        let many = [
            ("cpu10/cpufreq/scaling_governor", "performance\n"),
            ("cpu2/cpufreq/scaling_governor", "powersave\n"),
            ("cpu3/cpufreq/scaling_governor", "performance\n"),
            ("cpu8/cpufreq/scaling_governor", "performance\n"),
            ("cpu9/cpufreq/scaling_governor", "performance\n"),
        ];
        check(&many, "performance on cores 3,8-10 and powersave on core 2");
    }

    #[test]
    fn a_machine_without_frequencies_tells_no_governor() {
        check(&[], "");
        check(&[("cpu0/online", "1\n"), ("cpuidle/current_driver", "none\n")], "");
    }
}
