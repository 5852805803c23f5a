//! Names of accounts in log lines: where programs write them. A name that stands somewhere else is
//! found only when an event told it.

use std::ops::Range;

use super::cut::addresses;

/// Names of fields whose value is an account.
const KEYS: [&str; 22] = [
    "user",
    "username",
    "user_name",
    "user.name",
    "uname",
    "ruser",
    "luser",
    "duser",
    "suser",
    "src_user",
    "dst_user",
    "target_user",
    "source_user",
    "targetusername",
    "subjectusername",
    "sasl_username",
    "logname",
    "acct",
    "account",
    "login",
    "mailbox",
    "email",
];
/// Of those, the ones that a space alone parts from the value: `user ada`.
const SPACED: [&str; 2] = ["user", "username"];
/// What stands before `for NAME from` in the lines of an SSH server.
const METHODS: [&str; 5] = [
    "password",
    "publickey",
    "keyboard-interactive",
    "gssapi",
    "hostbased",
];
const HOMES: [&str; 2] = ["/home/", "/Users/"];
const OPENERS: [char; 8] = ['<', '"', '\'', '[', '(', '{', '\\', ' '];
const ENDERS: [char; 14] = [
    ' ', '\t', ',', ';', '"', '\'', '<', '>', '[', ']', '(', ')', '}', '&',
];

/// Places of account names, in no order; they may overlap.
pub(super) fn accounts(line: &str) -> Vec<Range<usize>> {
    let lower = line.to_ascii_lowercase();
    let mut found = Vec::new();
    fields(&lower, line, &mut found);
    found.extend(logged_in(&lower));
    found.extend(web_user(line));
    mail_addresses(line, &mut found);
    for home in HOMES {
        for (at, _) in line.match_indices(home) {
            let start = at + home.len();
            found.push(start..value_end(line, start, &['/']));
        }
    }
    found.retain(|place| text(line, place).contains(char::is_alphanumeric));
    found
}

fn text<'l>(line: &'l str, place: &Range<usize>) -> &'l str {
    line.get(place.clone()).unwrap_or_default()
}

fn value_end(line: &str, start: usize, also: &[char]) -> usize {
    let rest = line.get(start..).unwrap_or_default();
    let ends = |c: char| ENDERS.contains(&c) || also.contains(&c);
    start + rest.find(ends).unwrap_or(rest.len())
}

/// `user=NAME`, `"user":"NAME"`, `user: NAME`, `invalid user NAME from`.
fn fields(lower: &str, line: &str, found: &mut Vec<Range<usize>>) {
    let mut before = "";
    let mut at = 0;
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    while let Some(start) = lower.get(at..).and_then(|rest| rest.find(inner)) {
        let start = at + start;
        let rest = lower.get(start..).unwrap_or_default();
        let end = start + rest.find(|c| !inner(c)).unwrap_or(rest.len());
        let word = lower.get(start..end).unwrap_or_default();
        at = end;
        if KEYS.contains(&word) && !lower.get(..start).is_some_and(|t| t.ends_with('/')) {
            let refused = matches!(before, "invalid" | "illegal" | "authenticating");
            match separator(lower, word, end) {
                Some((value, ' ')) if refused => found.push(value..before_source(line, value)),
                Some((value, _)) => found.extend(value_at(lower, value)),
                None => {}
            }
        }
        before = word;
    }
}

/// Where the value begins, and what parts it from its key.
fn separator(lower: &str, key: &str, end: usize) -> Option<(usize, char)> {
    let rest = lower.get(end..)?;
    let bare = rest.trim_start_matches(['"', '\'', '\\']);
    let is_quoted = bare.len() < rest.len();
    let sign = bare.trim_start_matches(' ').chars().next()?;
    let at = lower.len() - bare.len();
    match sign {
        '=' if bare.starts_with('=') => Some((at + 1, '=')),
        ':' if is_quoted || key != "login" => {
            let after = at + bare.find(':')? + 1;
            let spaces = lower.get(after..)?;
            Some((after + spaces.len() - spaces.trim_start().len(), ':'))
        }
        _ if SPACED.contains(&key) && bare.starts_with(' ') && !is_quoted => Some((at + 1, ' ')),
        _ => None,
    }
}

fn value_at(lower: &str, start: usize) -> Option<Range<usize>> {
    let rest = lower.get(start..)?;
    if rest.starts_with(' ') {
        return None;
    }
    let mut value = rest.trim_start_matches(OPENERS);
    // `"user":{"name":"ada"}`
    if let Some(after) = value.strip_prefix("name\"") {
        value = after
            .trim_start_matches([':', '='])
            .trim_start_matches(OPENERS);
    }
    let begin = lower.len() - value.len();
    let quote = lower.get(..begin)?.chars().next_back();
    let end = match quote.filter(|c| matches!(c, '"' | '\'')) {
        Some(quote) => begin + value.find(quote).unwrap_or(value.len()),
        None => value_end(lower, begin, &[]),
    };
    (begin < end).then_some(begin..end)
}

/// Names may hold spaces and the word `from`; what follows the last one is the address.
fn before_source(line: &str, start: usize) -> usize {
    let rest = line.get(start..).unwrap_or_default();
    if let Some(from) = rest.rfind(" from ") {
        return start + from;
    }
    let next = addresses(rest).into_iter().last();
    next.map_or_else(
        || value_end(line, start, &[]),
        |(place, _)| start + rest.get(..place.start).unwrap_or_default().trim_end().len(),
    )
}

/// `Failed password for NAME from`.
fn logged_in(lower: &str) -> Option<Range<usize>> {
    let at = lower.find(" for ")?;
    let before = lower.get(..at)?;
    if !METHODS.iter().any(|method| before.contains(method)) {
        return None;
    }
    let start = at + " for ".len();
    let name = lower.get(start..)?;
    let skipped = ["invalid user ", "illegal user "]
        .iter()
        .find(|words| name.starts_with(**words))
        .map_or(0, |words| words.len());
    let start = start + skipped;
    let end = start + lower.get(start..)?.rfind(" from ")?;
    Some(start..end)
}

/// The third word of the common log format: `ADDRESS - NAME [22/Nov/2026…`.
fn web_user(line: &str) -> Option<Range<usize>> {
    let is_date = |(at, _): &(usize, &str)| {
        let mut after = line.get(at + 2..).unwrap_or_default().bytes();
        let digits = after.by_ref().take(2).all(|b| b.is_ascii_digit());
        digits && after.next() == Some(b'/')
    };
    let (end, _) = line.match_indices(" [").find(is_date)?;
    let head = line.get(..end)?;
    let start = head.rfind(' ')? + 1;
    let name = head.get(start..)?;
    (name != "-" && head.get(..start)?.contains(' ')).then_some(start..end)
}

fn mail_addresses(line: &str, found: &mut Vec<Range<usize>>) {
    let local = |c: char| c.is_alphanumeric() || "._%+=-".contains(c);
    let domain = |c: char| c.is_alphanumeric() || ".-".contains(c);
    let mut from = 0;
    for (at, _) in line.match_indices('@') {
        let before = line.get(from..at).unwrap_or_default();
        let name = before.len() - before.trim_end_matches(local).len();
        let after = line.get(at + 1..).unwrap_or_default();
        let host = after.len() - after.trim_start_matches(domain).len();
        if name > 0 && host > 0 {
            let end = at
                + 1
                + after
                    .get(..host)
                    .unwrap_or_default()
                    .trim_end_matches('.')
                    .len();
            // `from=ada@…`: the sign belongs to the field.
            let start = before
                .get(before.len() - name..)
                .and_then(|n| n.rfind('='))
                .map_or(at - name, |sign| at - name + sign + 1);
            found.push(start..end);
            from = end.max(at + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Vec<&str> {
        let mut places = accounts(line);
        places.sort_by_key(|p| (p.start, p.end));
        places.dedup();
        places.iter().map(|p| &line[p.clone()]).collect()
    }

    #[test]
    fn names_are_found_where_programs_write_them() {
        for (line, names) in [
            (
                "sshd[1]: Failed password for ada from 203.0.113.9 port 5 ssh2",
                vec!["ada"],
            ),
            (
                "Failed password for invalid user a from b from 203.0.113.9 port 5",
                vec!["a from b"],
            ),
            ("Invalid user ada from 203.0.113.9 port 5", vec!["ada"]),
            (
                "Connection closed by authenticating user ada l 203.0.113.9 port 5",
                vec!["ada l"],
            ),
            ("Disconnected from user ada 203.0.113.9 port 5", vec!["ada"]),
            (
                "logname= uid=0 ruser= rhost=203.0.113.9  user=root",
                vec!["root"],
            ),
            ("session opened for user ada(uid=7) by (uid=0)", vec!["ada"]),
            (
                "imap-login: Aborted (user=<ada@mill.example>, rip=203.0.113.9)",
                vec!["ada@mill.example"],
            ),
            ("{\"user\":{\"name\":\"ada l\"},\"n\":1}", vec!["ada l"]),
            ("{\"username\": \"ada\"}", vec!["ada"]),
            (
                "203.0.113.9 - ada [22/Nov/2026:10:00:00 +0000] \"GET /login HTTP/1.1\"",
                vec!["ada"],
            ),
            (
                "203.0.113.9 - - [22/Nov/2026:10:00:00 +0000] \"GET /user HTTP/1.1\"",
                vec![],
            ),
            ("to=<bob@mill.example>, x", vec!["bob@mill.example"]),
            ("COMMAND=/home/ada/x.sh", vec!["ada"]),
            ("acct=\"ada\" exe=\"/usr/sbin/sshd\"", vec!["ada"]),
            ("Connection from 203.0.113.9 port 5", vec![]),
        ] {
            assert_eq!(found(line), names, "{line}");
        }
    }
}
