//! Builds the Maven projects below `tools/compat` and makes their command lines.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;
use crate::workspace::{Outcome, at, compat_target, files_below, root};

/// The newest version of the official client and servers.
pub const VERSION_5: &str = "5.5.0";
/// The most deployed version of the official client.
pub const VERSION_4: &str = "4.9.7";

/// A built Maven project.
pub struct Program {
    class_path: String,
}

impl Program {
    /// A command that runs `main` with at most `heap_mib` MiB of heap; arguments are still to be
    /// added.
    pub fn command(&self, main: &str, heap_mib: u32) -> Command {
        self.command_with(&[], main, heap_mib)
    }

    /// The same with more options for the JVM.
    pub fn command_with(&self, options: &[String], main: &str, heap_mib: u32) -> Command {
        let mut command = Command::new("java");
        command
            .args(options)
            .arg(format!("-Xmx{heap_mib}m"))
            .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", &self.class_path])
            .arg(main);
        command
    }
}

/// Builds `tools/compat/PROJECT` for a client version, unless nothing changed since the last time.
///
/// # Errors
/// Maven is missing or fails.
pub fn build(project: &str, version: &str) -> Outcome<Program> {
    let source = root().join("tools/compat").join(project);
    build_in(&source, &compat_target().join(format!("{project}-{version}")), version)
}

/// Builds the project in the folder `source`; classes and class path go below `out`.
///
/// # Errors
/// Maven is missing or fails.
pub fn build_in(source: &Path, out: &Path, version: &str) -> Outcome<Program> {
    let stamp_file = out.join("built-from");
    let stamp = fingerprint(source, version)?;
    if std::fs::read_to_string(&stamp_file).ok().as_deref() != Some(&stamp) {
        let shown = source.strip_prefix(root()).unwrap_or(source);
        println!("building {} for {version}", shown.display());
        maven(source, out, version)?;
        std::fs::write(&stamp_file, &stamp).map_err(at(&stamp_file))?;
    }
    let list = out.join("classpath.txt");
    let libraries = std::fs::read_to_string(&list).map_err(at(&list))?;
    let classes = out.join("classes");
    Ok(Program { class_path: format!("{}:{}", classes.display(), libraries.trim()) })
}

fn maven(source: &Path, out: &Path, version: &str) -> Outcome {
    std::fs::create_dir_all(out).map_err(at(out))?;
    process::quiet(
        Command::new("mvn")
            .args(["-q", "-B", "-Dstyle.color=never", "process-classes"])
            .arg(format!("-Drocketmq.version={version}"))
            .arg(format!("-Dcompat.target={}", out.display()))
            .current_dir(source),
    )
}

/// Changes whenever a source file or the version does.
fn fingerprint(source: &Path, version: &str) -> Outcome<String> {
    let mut hasher = DefaultHasher::new();
    version.hash(&mut hasher);
    let files: Vec<PathBuf> = files_below(source)?;
    for file in files {
        file.hash(&mut hasher);
        std::fs::read(&file).map_err(at(&file))?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}
