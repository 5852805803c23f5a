//! fail2ban's configuration and its filters' patterns.

use std::collections::BTreeMap;

use detect::fail2ban::{
    CompiledFilter, Dated, LINE_STEPS_MAX,
    format::{Files, Options, UseDns, ini, jail_names, parse_call, read_filter, read_jail},
    samples,
};
use jiff::tz::TimeZone;

use crate::NOW;

/// Files of one input; the last part is a log.
const PARTS_MAX: usize = 6;

/// Parts with a line `--- NAME` between: files of a configuration folder, and a log. Whatever they
/// say, reading ends, mistakes name the file, and no line costs more than the step limit.
pub fn fail2ban(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut files = Files::default();
    let mut log = String::new();
    for part in text.split("\n--- ").take(PARTS_MAX) {
        let (name, body) = part.split_once('\n').unwrap_or(("filter.d/x.conf", part));
        let name = name.trim_start_matches("--- ");
        if name == "log" {
            body.clone_into(&mut log);
        } else {
            if let Err(error) = ini::parse(name, body) {
                assert!(error.to_string().starts_with(name), "{error}");
            }
            files.insert(name, body);
        }
    }
    parse_call(&log);
    for name in jail_names(&files).unwrap_or_default().iter().take(5) {
        if let Err(error) = read_jail(&files, name) {
            assert!(error.to_string().contains(".conf"), "{error}");
        }
    }
    let Ok(filter) = read_filter(&files, "x", &Options::new(), &Options::new()) else {
        return;
    };
    let Ok(mut compiled) = CompiledFilter::new(&filter, UseDns::Yes) else {
        return;
    };
    for line in log.lines().take(20) {
        compiled.take(line, Dated::InLine, NOW, &TimeZone::UTC);
    }
    assert!(compiled.counts().steps_most <= LINE_STEPS_MAX);
    samples::run(&files, &BTreeMap::from([("x".to_owned(), log)]));
}
