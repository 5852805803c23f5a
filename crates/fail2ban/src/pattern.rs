//! fail2ban's tags in patterns (`<HOST>`, `<F-USER>…</F-USER>`) as Python's regular expressions.
//!
//! Last step of reading: what comes out is a plain regular expression in Python's syntax whose
//! named groups say what each part means (`ip4`, `ip6`, `dns`, `fid`, `mlfid`, `user`, …).

use crate::UseDns;

/// Four decimal numbers; how large they may be is checked where an address is made of them.
const IP4: &str = r"\d{1,3}(?:\.\d{1,3}){3}";
/// Hexadecimal groups with one or two colons between, loosely; checked like [`IP4`].
const IP6: &str = r"(?:::|[\da-fA-F]{1,4}:{1,2}){1,7}(?:[\da-fA-F]{1,4}|:)";
/// A host's name.
const DNS: &str = r"[\w\-.^_]*\w";

/// The pattern with every known tag replaced. A tag that is none stays as text.
pub fn expand(pattern: &str, dns: UseDns) -> String {
    let mut out = String::with_capacity(pattern.len() * 2);
    let mut rest = pattern;
    let mut skips = 0;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        let replaced = after.split_once('>').and_then(|(tag, after)| {
            let text = match tag {
                "SKIPLINES" => {
                    skips += 1;
                    format!(r"(?P<skiplines{skips}>(?:(?:.*\n)*?))")
                }
                _ => replacement(tag, dns)?,
            };
            Some((text, after))
        });
        match replaced {
            Some((text, after)) => {
                out.push_str(&text);
                rest = after;
            }
            None => {
                out.push('<');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// What `<tag>` stands for; `None` if it is not one of fail2ban's.
fn replacement(tag: &str, dns: UseDns) -> Option<String> {
    let ip4 = || format!("(?:::f{{4,6}}:)?(?P<ip4>{IP4})");
    let ip6 = || format!("(?P<ip6>{IP6})");
    let dns_name = || format!("(?P<dns>{DNS})");
    let address = || format!(r"\[?(?:{}|{})\]?", ip4(), ip6());
    let id = || r"(?P<fid>\S+)".to_owned();
    Some(match tag {
        "HOST" | "F-HOST/" => match dns {
            UseDns::Raw => format!("(?:{}|{})", address(), id()),
            UseDns::No => format!("(?:{})", address()),
            UseDns::Yes => format!(r"(?:{}|{})", address(), dns_name()),
        },
        "ADDR" | "F-ADDR/" => format!("(?:{})", address()),
        "IP4" | "F-IP4/" => ip4(),
        "IP6" | "F-IP6/" => format!(r"(?:\[?{}\]?)", ip6()),
        "DNS" | "F-DNS/" => dns_name(),
        "CIDR" => r"(?P<cidr>\d+)".to_owned(),
        "SUBNET" => format!(r"(?:{}(?:/(?P<cidr>\d+))?)", address()),
        "F-ID/" => id(),
        "F-PORT/" => r"(?P<fport>\w+)".to_owned(),
        _ => {
            if let Some(name) = tag.strip_prefix("/F-") {
                is_name(name).then(|| ")".to_owned())?
            } else {
                let name = tag.strip_prefix("F-")?;
                let (name, content) = match name.strip_suffix('/') {
                    Some(name) => (name, r"\S+)"),
                    None => (name, ""),
                };
                if !is_name(name) {
                    return None;
                }
                format!("(?P<{}>{content}", group_name(name))
            }
        }
    })
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

/// The group that `<F-NAME>` opens: `ID` and `PORT` have names of their own.
fn group_name(name: &str) -> String {
    match name {
        "ID" => "fid".to_owned(),
        "PORT" => "fport".to_owned(),
        _ => name.to_ascii_lowercase().replace('-', "_"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_groups() {
        let got = expand(
            r"^<F-NOFAIL>x</F-NOFAIL> <F-ALT_USER1>\S*</F-ALT_USER1><W><F-RCPT/>",
            UseDns::Yes,
        );
        assert_eq!(got, r"^(?P<nofail>x) (?P<alt_user1>\S*)<W>(?P<rcpt>\S+)");
        assert_eq!(
            expand("<F-ID>a</F-ID><F-PORT/>", UseDns::Yes),
            r"(?P<fid>a)(?P<fport>\w+)"
        );
        assert!(expand("<HOST>", UseDns::Yes).contains("(?P<dns>"));
        assert!(!expand("<HOST>", UseDns::No).contains("(?P<dns>"));
        assert!(!expand("<ADDR>", UseDns::Yes).contains("(?P<dns>"));
        let twice = expand("<SKIPLINES>x<SKIPLINES>", UseDns::Yes);
        assert!(twice.contains("skiplines1") && twice.contains("skiplines2"));
    }

    #[test]
    fn what_is_no_tag_stays() {
        for text in ["a < b", "<co ts=\"x\">", "<", "<F->", "(?P<x>y)", "<é>"] {
            assert_eq!(expand(text, UseDns::Yes), text);
        }
    }
}
