//! What tests use and this project does not hold: corpora of rules and logs, outside checkers.
//!
//! They lie in `$POSSE_SHARED`, else in `../shared` beside the workspace. Where something is
//! missing the test says so loudly and passes.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests: they say what is missing, and stop at the first surprise"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The file or folder `part`, such as `corpora/sigma`.
pub fn shared(part: &str) -> Option<PathBuf> {
    let root = std::env::var_os("POSSE_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = root.join(part);
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: {} is not there", path.display());
    None
}

/// All files below a folder whose names end in one of `endings`, or all files; sorted.
pub fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let name = path.to_string_lossy();
            if path.is_dir() {
                folders.push(path);
            } else if endings.is_empty() || endings.iter().any(|end| name.ends_with(end)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The text of a file, whatever its bytes.
pub fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
}

/// The name of a file without its folders.
pub fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// A tool of the Python packages that judge court packs (`bagit.py`, `case_validate`,
/// `stix2_validator`), where `.ci/run` has put them: `$POSSE_PACK_TOOLS`, else
/// `~/.cache/posse-tools/bin`.
pub fn pack_tool(name: &str) -> Option<PathBuf> {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let folder = std::env::var_os("POSSE_PACK_TOOLS")
        .map_or_else(|| home().join(".cache/posse-tools/bin"), PathBuf::from);
    let tool = folder.join(name);
    if tool.exists() {
        return Some(tool);
    }
    println!(
        "SKIPPED: no {name} in {}; .ci/run installs it",
        folder.display()
    );
    None
}

/// The auditor of ledgers that shares no code with us, where Python has what it needs.
pub fn ledger_auditor() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let script = shared("check/verify_tlog.py")?;
        let ready = Command::new("python3")
            .args(["-c", "import cryptography"])
            .output();
        if ready.is_ok_and(|output| output.status.success()) {
            return Some(script);
        }
        println!("SKIPPED: no python3 with the package cryptography");
        None
    };
    FOUND.get_or_init(find).clone()
}
