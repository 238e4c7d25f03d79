//! `bench report`: the page of saved results.

use std::path::Path;

use crate::args::commands::ReportArgs;
use crate::documents::{self, Wanted};
use crate::ending::Ending;
use crate::error::BenchError;
use crate::report::{Report, html};

/// Reads the results and writes their page.
///
/// # Errors
/// A file cannot be read or written, or is no result of bench.
pub async fn run(args: &ReportArgs) -> Result<Ending, BenchError> {
    let mut reports: Vec<Report> = Vec::new();
    for path in &args.results {
        reports.push(documents::read(path, Wanted::Result).await?);
    }
    let names = names(&args.results);
    let shown: Vec<_> = names
        .into_iter()
        .zip(&reports)
        .map(|(name, report)| html::Shown::new(name, report))
        .collect();
    html::write(&args.output, &shown).await?;
    eprintln!("written: {}", args.output.display());
    Ok(Ending::Good)
}

/// What the results are called: the names of their files, or the whole paths where those are alike.
fn names(paths: &[impl AsRef<Path>]) -> Vec<String> {
    let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let stems: Vec<_> = paths.iter().filter_map(|path| stem(path.as_ref())).collect();
    let alike = stems.iter().enumerate().any(|(at, stem)| stems[..at].contains(stem));
    match alike || stems.len() < paths.len() {
        true => paths.iter().map(|path| path.as_ref().display().to_string()).collect(),
        false => stems,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_called_as_their_files() {
        assert_eq!(names(&["x/before.json", "after.json"]), ["before", "after"]);
        assert_eq!(names(&["x/run.json", "y/run.json"]), ["x/run.json", "y/run.json"]);
    }
}
