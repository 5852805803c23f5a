//! The warninglists that an operator put beside the hub: read once, at the start.
//!
//! `STATE/warninglists/NAME/list.json`, as MISP publishes them, or `NAME.json`. A list that cannot
//! be read is named and left out: reports on its addresses are then judged like any other.

use std::{
    fs,
    path::{Path, PathBuf},
};

use intel::warninglist;
use model::Prefix;
use trust::{Class, Classes};

/// Below the state folder.
const FOLDER: &str = "warninglists";
/// Lists that are read; some 150 are published.
const LISTS_MAX: usize = 1_000;

/// What is known of addresses: built in, and on the operator's lists.
pub(crate) fn classes(state: &Path) -> Classes {
    let mut known: Vec<(Prefix, Class, String)> = trust::builtin()
        .map(|(prefix, class, list)| (prefix, class, list.to_owned()))
        .collect();
    for (name, path) in lists(&state.join(FOLDER)) {
        let class = trust::class_of(&name);
        if class == Class::Plain {
            continue;
        }
        match read(&path) {
            Ok(prefixes) => known.extend(prefixes.into_iter().map(|p| (p, class, name.clone()))),
            Err(error) => {
                tracing::warn!(list = %path.display(), %error, "a warninglist was left out");
            }
        }
    }
    let named = known.iter().map(|(p, class, list)| (*p, *class, &**list));
    let classes = Classes::new(named);
    if classes.dropped() > 0 {
        tracing::warn!(
            dropped = classes.dropped(),
            "the warninglists have more networks than are kept"
        );
    }
    classes
}

/// Names and files, sorted.
fn lists(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(String, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.path();
            let name = path.file_stem()?.to_string_lossy().into_owned();
            if path.is_dir() {
                Some((name, path.join("list.json")))
            } else {
                let is_list = path.extension().is_some_and(|e| e == "json");
                is_list.then_some((name, path))
            }
        })
        .collect();
    found.sort();
    found.truncate(LISTS_MAX);
    found
}

fn read(path: &Path) -> Result<Vec<Prefix>, String> {
    let size = fs::metadata(path).map_err(|e| e.to_string())?.len();
    if size > warninglist::BYTES_MAX as u64 {
        return Err(format!("{size} bytes are too many"));
    }
    let bytes = fs::read(path).map_err(|e| e.to_string())?;
    let list = warninglist::read(&bytes).map_err(|e| e.to_string())?;
    Ok(list.prefixes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_in_both_layouts_and_a_broken_one_stops_no_other() {
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().join(FOLDER);
        fs::create_dir_all(folder.join("cloudflare")).unwrap();
        let list = |network: &str| {
            format!(r#"{{"name":"n","version":1,"type":"cidr","list":["{network}"]}}"#)
        };
        fs::write(folder.join("cloudflare/list.json"), list("198.51.100.0/24")).unwrap();
        fs::write(folder.join("smtp-senders.json"), list("203.0.113.0/25")).unwrap();
        fs::write(folder.join("rfc1918.json"), "{torn").unwrap();
        let classes = classes(state.path());
        let class = |address: &str| classes.of(address.parse().unwrap()).class;
        assert_eq!(class("198.51.100.7"), Class::Cloud);
        assert_eq!(class("203.0.113.7"), Class::Mail);
        assert_eq!(class("203.0.113.200"), Class::Plain);
        assert_eq!(class("9.9.9.9"), Class::Never);
    }
}
