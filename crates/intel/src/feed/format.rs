//! How each firewall wants its list written.

use std::fmt::Write as _;

use model::Timestamp;

use super::Row;

/// Whose list it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    CheckPoint,
    Cisco,
    Csv,
    F5,
    Fortinet,
    Juniper,
    MikroTik,
    PaloAlto,
    PfSense,
    Plain,
    Sophos,
}

impl Format {
    pub const ALL: [Self; 11] = [
        Self::CheckPoint,
        Self::Cisco,
        Self::Csv,
        Self::F5,
        Self::Fortinet,
        Self::Juniper,
        Self::MikroTik,
        Self::PaloAlto,
        Self::PfSense,
        Self::Plain,
        Self::Sophos,
    ];

    /// Its name in addresses.
    pub const fn word(self) -> &'static str {
        match self {
            Self::CheckPoint => "checkpoint",
            Self::Cisco => "cisco",
            Self::Csv => "csv",
            Self::F5 => "f5",
            Self::Fortinet => "fortinet",
            Self::Juniper => "juniper",
            Self::MikroTik => "mikrotik",
            Self::PaloAlto => "paloalto",
            Self::PfSense => "pfsense",
            Self::Plain => "plain",
            Self::Sophos => "sophos",
        }
    }

    /// By its name, or a name that other blocklist servers use; an ending such as `.txt`, which
    /// some devices insist on, is passed over.
    pub fn named(name: &str) -> Option<Self> {
        let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
        match stem.to_ascii_lowercase().as_str() {
            "plain_text" | "plain-text" | "generic" | "raw" => Some(Self::Plain),
            "paloalto-edl" | "pan-os" | "panos" | "edl" => Some(Self::PaloAlto),
            "opnsense" => Some(Self::PfSense),
            "fortigate" => Some(Self::Fortinet),
            "check-point" => Some(Self::CheckPoint),
            word => Self::ALL.into_iter().find(|f| f.word() == word),
        }
    }

    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            _ => "text/plain; charset=utf-8",
        }
    }

    /// Lines the common models hold; beyond it such a firewall takes a part or nothing.
    pub const fn lines_default(self) -> Option<usize> {
        match self {
            Self::PaloAlto => Some(50_000),
            Self::Fortinet => Some(131_072),
            _ => None,
        }
    }

    /// The limit that counts where one is asked for.
    pub fn lines(self, asked: usize) -> Option<usize> {
        let most = match self {
            Self::PaloAlto => 150_000,
            Self::Fortinet => 300_000,
            _ => usize::MAX,
        };
        Some(asked.min(most))
    }

    /// What begins a comment, where the format has whole lines of comment.
    const fn comment(self) -> Option<&'static str> {
        match self {
            Self::MikroTik | Self::PfSense | Self::Plain => Some("#"),
            // The others read every line as an entry, or want the list alone.
            _ => None,
        }
    }
}

/// What stands above the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    pub list: &'a str,
    pub rows: usize,
    /// Rows there would be without limits and pages.
    pub of: usize,
}

/// Writes a list piece by piece, so that no one has to hold all of its text.
#[derive(Clone, Debug)]
pub struct Writer {
    format: Format,
    list: String,
    /// Seconds since 1970, for formats that say how long an entry stays.
    now: i64,
}

impl Writer {
    pub fn new(format: Format, list: &str, now: i64) -> Self {
        Self {
            format,
            list: list.to_owned(),
            now,
        }
    }

    pub fn head(&self, head: &Head<'_>, out: &mut String) {
        if let Some(comment) = self.format.comment() {
            let (rows, of) = (head.rows, head.of);
            let left_out = if rows < of {
                " (the rest was left out)"
            } else {
                ""
            };
            let _ = writeln!(
                out,
                "{comment} {}: {rows} of {of} networks{left_out}",
                head.list
            );
        }
        match self.format {
            Format::Csv => out.push_str("network,family,until\n"),
            Format::CheckPoint => {
                out.push_str("#Uniq-Name,#Value,#Type,#Confidence,#Severity,#Product,#Comment\n");
            }
            Format::MikroTik => {
                for family in ["ip", "ipv6"] {
                    let _ = writeln!(
                        out,
                        "/{family}/firewall/address-list/remove [find where list=\"{}\" dynamic]",
                        self.list
                    );
                }
            }
            _ => {}
        }
    }

    pub fn row(&self, row: &Row, out: &mut String) {
        let prefix = row.prefix;
        // Writing into memory cannot fail.
        let _ = match self.format {
            Format::Juniper => writeln!(out, "{}/{}", prefix.addr(), prefix.len()),
            Format::F5 => writeln!(out, "{},{},bl,{}", prefix.addr(), prefix.len(), self.list),
            Format::Csv => {
                let family = if prefix.is_ipv4() { "ipv4" } else { "ipv6" };
                let until = Timestamp::from_seconds(row.until);
                writeln!(out, "{prefix},{family},{until}")
            }
            Format::CheckPoint => self.check_point(row, out),
            Format::MikroTik => self.mikrotik(row, out),
            Format::Cisco
            | Format::Fortinet
            | Format::PaloAlto
            | Format::PfSense
            | Format::Plain
            | Format::Sophos => writeln!(out, "{prefix}"),
        };
    }

    /// One indicator a line; networks are ranges there, and every name is used once.
    fn check_point(&self, row: &Row, out: &mut String) -> std::fmt::Result {
        let (prefix, list) = (row.prefix, &self.list);
        let name = prefix.to_string().replace(['.', ':', '/'], "-");
        if prefix.is_host() {
            writeln!(out, "{list}-{name},{prefix},IP,high,high,AB,{list}")
        } else {
            let (first, last) = (prefix.addr(), prefix.last());
            writeln!(
                out,
                "{list}-{name},{first}-{last},IP Range,high,high,AB,{list}"
            )
        }
    }

    /// One command a line. An entry that is there already, such as a person's own, must not end
    /// the script.
    fn mikrotik(&self, row: &Row, out: &mut String) -> std::fmt::Result {
        let prefix = row.prefix;
        let family = if prefix.is_ipv4() { "ip" } else { "ipv6" };
        // Its IPv6 lists hold networks only.
        let length = if prefix.is_ipv4() || !prefix.is_host() {
            ""
        } else {
            "/128"
        };
        let left = row.until.saturating_sub(self.now).max(1);
        let (days, hours, minutes, seconds) =
            (left / 86_400, left / 3_600 % 24, left / 60 % 60, left % 60);
        writeln!(
            out,
            ":do {{ /{family}/firewall/address-list/add list=\"{}\" address={prefix}{length} \
             timeout={days}d{hours:02}:{minutes:02}:{seconds:02} }} on-error={{}}",
            self.list
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format) -> Vec<String> {
        let writer = Writer::new(format, "posse", 1_000);
        let mut out = String::new();
        let head = Head {
            list: "posse",
            rows: 3,
            of: 9,
        };
        writer.head(&head, &mut out);
        for text in ["192.0.2.4", "198.51.100.0/24", "2001:db8::1"] {
            let prefix = text.parse().unwrap();
            writer.row(
                &Row {
                    prefix,
                    until: 1_000 + 93_784,
                },
                &mut out,
            );
        }
        assert!(out.ends_with('\n'));
        out.lines().map(str::to_owned).collect()
    }

    #[test]
    fn plain_lists_have_one_network_a_line() {
        for format in [
            Format::Cisco,
            Format::Fortinet,
            Format::PaloAlto,
            Format::Sophos,
        ] {
            assert_eq!(
                written(format),
                ["192.0.2.4", "198.51.100.0/24", "2001:db8::1"]
            );
        }
        for format in [Format::Plain, Format::PfSense] {
            let lines = written(format);
            assert_eq!(lines[0], "# posse: 3 of 9 networks (the rest was left out)");
            assert_eq!(lines[1..], ["192.0.2.4", "198.51.100.0/24", "2001:db8::1"]);
        }
    }

    #[test]
    fn formats_of_their_own() {
        assert_eq!(
            written(Format::Juniper),
            ["192.0.2.4/32", "198.51.100.0/24", "2001:db8::1/128"]
        );
        assert_eq!(
            written(Format::F5),
            [
                "192.0.2.4,32,bl,posse",
                "198.51.100.0,24,bl,posse",
                "2001:db8::1,128,bl,posse"
            ]
        );
        assert_eq!(
            written(Format::CheckPoint)[1..],
            [
                "posse-192-0-2-4,192.0.2.4,IP,high,high,AB,posse",
                "posse-198-51-100-0-24,198.51.100.0-198.51.100.255,IP Range,high,high,AB,posse",
                "posse-2001-db8--1,2001:db8::1,IP,high,high,AB,posse",
            ]
        );
        assert_eq!(
            written(Format::Csv)[1],
            "192.0.2.4,ipv4,1970-01-02T02:19:44Z"
        );
        let script = written(Format::MikroTik);
        assert!(script[1].starts_with("/ip/firewall/address-list/remove"));
        assert_eq!(
            script[3],
            ":do { /ip/firewall/address-list/add list=\"posse\" address=192.0.2.4 \
             timeout=1d02:03:04 } on-error={}"
        );
        assert!(script[5].contains("/ipv6/") && script[5].contains("address=2001:db8::1/128 "));
    }

    #[test]
    fn names_lead_to_formats() {
        for format in Format::ALL {
            assert_eq!(Format::named(format.word()), Some(format));
        }
        assert_eq!(Format::named("juniper.txt"), Some(Format::Juniper));
        assert_eq!(Format::named("plain_text"), Some(Format::Plain));
        assert_eq!(Format::named("unknown"), None);
    }
}
