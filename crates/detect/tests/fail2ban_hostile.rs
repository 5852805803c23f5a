//! No line makes a filter cost more than its step limit: published cases and lines built against
//! each filter.
//!
//! fail2ban's advisory GHSA-33wh-ccjc-p397 named the filters domino-smtp and dovecot: lines whose
//! middle repeats what several parts of a pattern can take. Here every filter meets such lines,
//! made from its own pattern texts, and the steps that its patterns took are counted.
#![expect(
    clippy::unwrap_used,
    reason = "a test says what it does and fails loudly"
)]

use std::{collections::BTreeSet, path::PathBuf, time::Instant};

use detect::fail2ban::{
    CompiledFilter, Dated, LINE_STEPS_MAX,
    format::{Files, Options, UseDns, read_filter},
};
use jiff::tz::TimeZone;
use model::Timestamp;

const NOW: Timestamp = Timestamp::from_nanos(1_124_013_600_000_000_000);

/// Bytes of a hostile line; sensors cut longer ones.
const LINE_BYTES: usize = 4_000;

fn filters() -> Files {
    let Some(folder) = outside::shared("corpora/fail2ban/filter.d") else {
        return Files::default();
    };
    let named = |path: PathBuf| {
        (
            format!("filter.d/{}", outside::name_of(&path)),
            outside::read(&path),
        )
    };
    outside::files(&folder, &[])
        .into_iter()
        .map(named)
        .collect()
}

fn names(files: &Files) -> Vec<String> {
    files
        .in_folder("filter.d", ".conf")
        .filter_map(|path| path.strip_prefix("filter.d/")?.strip_suffix(".conf"))
        .filter(|name| !name.ends_with("common"))
        .map(str::to_owned)
        .collect()
}

/// The modes that a filter's file offers.
fn modes(files: &Files, name: &str) -> BTreeSet<String> {
    let text = files.get(&format!("filter.d/{name}.conf")).unwrap();
    let modes = text
        .lines()
        .filter_map(|line| line.strip_prefix("mdre-")?.split_once([' ', '=', '-']))
        .map(|(mode, _)| mode.to_owned());
    modes.chain([String::new()]).collect()
}

fn compile(files: &Files, name: &str, mode: &str) -> CompiledFilter {
    let options: Options = [("mode".to_owned(), mode.to_owned())]
        .into_iter()
        .filter(|(_, mode)| !mode.is_empty())
        .collect();
    let filter = read_filter(files, name, &options, &Options::new())
        .unwrap_or_else(|e| panic!("{name} {mode}: {e}"));
    CompiledFilter::new(&filter, UseDns::Yes).unwrap_or_else(|e| panic!("{name} {mode}: {e}"))
}

/// What stands literally in a pattern, up to where it could be anything.
fn literal(pattern: &str) -> String {
    let mut out = String::new();
    let mut chars = pattern.trim_start_matches('^').chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('s') => out.push(' '),
                Some('d') => out.push('1'),
                Some('S' | 'w') => out.push('a'),
                Some(c) if !c.is_alphanumeric() => out.push(c),
                _ => {}
            },
            '(' | ')' | '[' | ']' | '{' | '}' | '|' | '*' | '+' | '?' | '^' | '$' => {}
            '.' => out.push('a'),
            '<' => {
                let tag: String = chars.by_ref().take_while(|c| *c != '>').collect();
                if matches!(tag.as_str(), "HOST" | "ADDR" | "IP4") {
                    out.push_str("192.0.2.1");
                }
            }
            c => out.push(c),
        }
    }
    out
}

fn hostile(stem: &str) -> Vec<String> {
    let fillers = [
        " ", "a", "a ", "1", ":", "\"", "\"a", "[", "] ", "=", ", ", "x=1 ", "x=1, ", " from ",
        "'", "(", ".", "é", "a:a ", "; ", "user=a ", "ip=", "::", "1.2.3.4 ", "[a] ", "\\",
        "\"a\" ",
    ];
    let starts = [
        format!("Aug 14 11:00:00 host {stem}"),
        format!("2005-08-14 11:00:00 {stem}"),
        stem.to_owned(),
    ];
    let mut lines = Vec::new();
    for start in &starts {
        for filler in fillers {
            let fill = filler.repeat(LINE_BYTES / filler.len());
            lines.push(format!("{start}{fill}"));
            lines.push(format!("{start}{fill}{stem}!"));
            let half = start.len() / 2;
            if start.is_char_boundary(half) {
                lines.push(format!("{}{fill}{}", &start[..half], &start[half..]));
            }
        }
    }
    lines
}

/// Feeds the lines and returns the most steps of any.
fn feed(filter: &mut CompiledFilter, lines: &[String]) -> (u32, u64) {
    for line in lines {
        filter.take(line, Dated::InLine, NOW, &TimeZone::UTC);
    }
    (filter.counts().steps_most, filter.counts().step_limit)
}

#[test]
fn every_filter_loads_in_every_mode() {
    let files = filters();
    let mut compiled = 0;
    for name in names(&files) {
        for mode in modes(&files, &name) {
            compile(&files, &name, &mode);
            compiled += 1;
        }
    }
    println!("{compiled} filters and modes compile");
    assert!(files.is_empty() || compiled >= 90, "{compiled}");
}

#[test]
fn published_cases_stay_below_the_limit() {
    let files = filters();
    if files.is_empty() {
        return;
    }
    for (name, start, filler) in [
        (
            "domino-smtp",
            "[28325:00010-3735542592] 2005-08-14 11:00:00 smtp: ",
            "a ",
        ),
        ("domino-smtp", "2005-08-14 11:00:00 SMTP Server: ", "a b "),
        (
            "domino-smtp",
            "2005-08-14 11:00:00 SMTP Server: Authentication failed for user ",
            "; ",
        ),
        (
            "dovecot",
            "Aug 14 11:00:00 host dovecot: imap-login: Disconnected",
            " (auth failed",
        ),
        (
            "dovecot",
            "Aug 14 11:00:00 host dovecot: pop3-login: Aborted login: ",
            "a: ",
        ),
        (
            "dovecot",
            "Aug 14 11:00:00 host dovecot: auth: pam(",
            ",192.0.2.1): ",
        ),
        (
            "dovecot",
            "Aug 14 11:00:00 host dovecot: auth-worker(1): ",
            "conn unix:a (pid=1): ",
        ),
    ] {
        let mut filter = compile(&files, name, "");
        let lines: Vec<String> = [100, 1_000, 16_000]
            .iter()
            .map(|bytes| format!("{start}{}!", filler.repeat(bytes / filler.len())))
            .collect();
        let (most, limited) = feed(&mut filter, &lines);
        println!("{name}: at most {most} of {LINE_STEPS_MAX} steps on a line");
        assert_eq!(limited, 0, "{name}: {start}{filler}…");
    }
}

#[test]
fn no_line_costs_more_than_the_limit() {
    let files = filters();
    let mut worst = (0, String::new());
    for name in names(&files) {
        let options = Options::new();
        let read = read_filter(&files, &name, &options, &options).unwrap();
        let stems: BTreeSet<String> = read
            .failregex
            .iter()
            .take(6)
            .map(|pattern| literal(pattern).chars().take(200).collect())
            .collect();
        let mut filter = compile(&files, &name, "");
        let start = Instant::now();
        let mut fed = 0;
        for stem in &stems {
            let lines = hostile(stem);
            fed += lines.len();
            feed(&mut filter, &lines);
        }
        let counts = filter.counts();
        let each = start.elapsed().as_micros() / u128::try_from(fed.max(1)).unwrap();
        println!(
            "{name}: {fed} lines, {each} us each, at most {} steps, {} at the limit, {} patterns \
             backtrack",
            counts.steps_most,
            counts.step_limit,
            filter.backtracking()
        );
        assert!(counts.steps_most <= LINE_STEPS_MAX);
        if counts.steps_most > worst.0 {
            worst = (counts.steps_most, name);
        }
    }
    println!("most steps: {} ({})", worst.0, worst.1);
}
