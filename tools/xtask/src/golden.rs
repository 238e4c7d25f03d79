//! Golden bytes: what the official classes make of fixed values, kept for the tests of
//! `broker/protocol`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::java::{self, VERSION_4, VERSION_5};
use crate::process;
use crate::workspace::{Outcome, at, root};

/// File name to contents.
type Files = BTreeMap<String, String>;

/// Bytes per line of a `.hex` file.
const HEX_LINE_BYTES: usize = 32;

/// Writes `broker/protocol/tests/golden`, or with `check` compares it with what the classes make
/// now.
///
/// # Errors
/// Java or Maven fail; with `check`, any difference.
pub fn run(check: bool) -> Outcome {
    let folder = root().join("broker/protocol/tests/golden");
    let made = generate()?;
    if check { compare(&folder, &made) } else { write(&folder, &made) }
}

fn generate() -> Outcome<Files> {
    let mut files = Files::new();
    let mut facts = Vec::new();
    for (prefix, version) in [("v4", VERSION_4), ("v5", VERSION_5)] {
        let program = java::build("golden", version)?;
        let printed =
            process::output(program.command("golden.GoldenMain", 128).args([prefix, version]))?;
        for line in printed.lines() {
            let mut columns = line.split('\t');
            let (Some(name), Some(hex), Some(json)) =
                (columns.next(), columns.next(), columns.next())
            else {
                return Err(format!("the golden program printed an unexpected line: {line}"));
            };
            if hex != "-" {
                files.insert(format!("{name}.hex"), wrapped(hex));
            }
            facts.push(json.to_owned());
        }
    }
    files.insert("golden.json".into(), format!("[\n{}\n]\n", facts.join(",\n")));
    Ok(files)
}

fn wrapped(hex: &str) -> String {
    let mut out = String::with_capacity(hex.len() + hex.len() / HEX_LINE_BYTES);
    for (position, digit) in hex.char_indices() {
        if position > 0 && position % (2 * HEX_LINE_BYTES) == 0 {
            out.push('\n');
        }
        out.push(digit);
    }
    out.push('\n');
    out
}

fn write(folder: &Path, made: &Files) -> Outcome {
    std::fs::create_dir_all(folder).map_err(at(folder))?;
    for name in stored(folder)?.keys().filter(|name| !made.contains_key(*name)) {
        let path = folder.join(name);
        std::fs::remove_file(&path).map_err(at(&path))?;
    }
    for (name, contents) in made {
        let path = folder.join(name);
        std::fs::write(&path, contents).map_err(at(&path))?;
    }
    println!("{} golden files written", made.len());
    Ok(())
}

fn compare(folder: &Path, made: &Files) -> Outcome {
    let stored = stored(folder)?;
    let mut different: Vec<&String> = made
        .iter()
        .filter(|(name, text)| stored.get(*name) != Some(text))
        .map(|(n, _)| n)
        .collect();
    different.extend(stored.keys().filter(|name| !made.contains_key(*name)));
    if different.is_empty() {
        println!("golden: {} passed, 0 failed", made.len());
        return Ok(());
    }
    for name in &different {
        println!("golden: {name} differs from what the Java classes make");
    }
    println!(
        "golden: {} passed, {} failed",
        made.len().saturating_sub(different.len()),
        different.len()
    );
    Err("the golden files are stale: run `cargo xtask golden` and look at the difference".into())
}

/// The golden files in the tree; an empty map when there are none yet.
fn stored(folder: &Path) -> Outcome<Files> {
    let mut files = Files::new();
    if !folder.exists() {
        return Ok(files);
    }
    for entry in std::fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let ours = name.ends_with(".hex") || name == "golden.json";
        if ours {
            files.insert(name.to_owned(), std::fs::read_to_string(&path).map_err(at(&path))?);
        }
    }
    Ok(files)
}
