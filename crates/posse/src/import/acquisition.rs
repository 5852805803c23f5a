//! What an installed CrowdSec reads, as `[[source]]` tables of our configuration.

use std::fmt::Write as _;

use super::installed::Acquisition;

/// Tables for what we can read too, and a comment for each that we cannot.
pub(super) fn as_toml(documents: &[Acquisition]) -> String {
    let mut text = String::new();
    for document in documents {
        let kind = document.labels.get("type").map_or("syslog", String::as_str);
        let mut labels = String::new();
        for (key, value) in document.labels.iter().filter(|(key, _)| *key != "type") {
            let _ = writeln!(labels, "labels.{} = {}", quoted(key), quoted(value));
        }
        let mut table = |input: String| {
            let kind = quoted(kind);
            let _ = write!(text, "[[source]]\n{input}\ntype = {kind}\n{labels}\n");
        };
        let files = document
            .filename
            .iter()
            .chain(document.filenames.iter().flatten());
        let mut known = false;
        for file in files {
            known = true;
            table(format!("file = {}", quoted(file)));
        }
        if let Some(matches) = &document.journalctl_filter {
            known = true;
            let matches: Vec<String> = matches.iter().map(|m| quoted(m)).collect();
            table(format!("journal = [{}]", matches.join(", ")));
        }
        let source = document.source.as_deref().unwrap_or("file");
        if source == "syslog" {
            known = true;
            let address = document.listen_addr.as_deref().unwrap_or("127.0.0.1");
            let port = document.listen_port.unwrap_or(514);
            let address = if address.contains(':') {
                format!("[{address}]")
            } else {
                address.into()
            };
            table(format!(
                "syslog_udp = {}",
                quoted(&format!("{address}:{port}"))
            ));
        }
        if !known {
            let source = source.escape_debug();
            let _ = write!(
                text,
                "# the source `{source}` cannot be read here; log to a file, syslog or the journal\n\n"
            );
        }
    }
    text
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_tables_are_our_configuration() {
        let documents = [
            Acquisition {
                filenames: Some(vec!["/var/log/nginx/*.log".into()]),
                labels: [("type", "nginx"), ("site", "a \"b\"")]
                    .map(|(k, v)| (k.to_owned(), v.to_owned()))
                    .into(),
                ..Acquisition::default()
            },
            Acquisition {
                source: Some("journalctl".into()),
                journalctl_filter: Some(vec!["_SYSTEMD_UNIT=ssh.service".into()]),
                ..Acquisition::default()
            },
            Acquisition {
                source: Some("kafka".into()),
                ..Acquisition::default()
            },
            Acquisition {
                source: Some("syslog".into()),
                listen_addr: Some("::1".into()),
                ..Acquisition::default()
            },
        ];
        let text = as_toml(&documents);
        let config = Config::parse("posse.toml", &text).unwrap();
        assert_eq!(config.sources().len(), 3, "{text}");
        assert!(text.contains("`kafka` cannot be read here"), "{text}");
    }
}
