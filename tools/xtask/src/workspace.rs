//! Where things lie in the workspace.

use std::path::{Path, PathBuf};

/// A task ends well or with one sentence for the developer.
pub type Outcome<T = ()> = Result<T, String>;

/// The root of the workspace: two folders above this crate.
pub fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| ".".into(), PathBuf::from);
    here.ancestors().nth(2).map_or_else(|| here.clone(), Path::to_path_buf)
}

/// Where the foreign programs are built and where their servers keep stores and logs.
pub fn compat_target() -> PathBuf {
    target().join("compat")
}

/// The build folder of the workspace.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Turns an I/O error into a sentence that names the file.
pub fn at(path: &Path) -> impl FnOnce(std::io::Error) -> String + '_ {
    move |error| format!("{}: {error}", path.display())
}

/// All files below `folder`, sorted, without build output.
///
/// # Errors
/// A folder that cannot be read.
pub fn files_below(folder: &Path) -> Outcome<Vec<PathBuf>> {
    const BUILD_OUTPUT: [&str; 3] = ["target", "node_modules", ".git"];
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).map_err(at(&folder))? {
            let path = entry.map_err(at(&folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !BUILD_OUTPUT.contains(&name.as_str()) {
                    open.push(path);
                }
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
