//! Messages in the forms that each kind of channel takes. Pure.
//!
//! Everything that came from a log went through `text::harmless` when its incident was made; what
//! is left to do here is each form's own quoting and size limits.

pub(crate) mod chat;
pub(crate) mod journal;
pub(crate) mod json;
pub(crate) mod pager;
pub(crate) mod syslog;
pub(crate) mod words;

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        message::{Incident, Kind, Message},
        samples,
    };

    fn message(texts: &[String; 4], times: usize) -> Message {
        let mut alert = samples::alert("203.0.113.9", 1);
        let [rule, value, text, line] = texts.clone();
        (alert.rule, alert.value, alert.message) = (rule, value, text);
        for evidence in &mut alert.evidence {
            evidence.raw = model::RawText::Text(line.clone());
        }
        let incident = Incident::of_alert(&alert, alert.last);
        let mut message = Message::of(Kind::News, &texts[0], incident.clone());
        for _ in 1..times {
            message.absorb(Message::of(Kind::News, "h", incident.clone()));
        }
        message
    }

    proptest! {
        /// Whatever an attacker writes: one line stays one line, and nothing steers a terminal.
        #[test]
        fn no_text_leaves_its_place(
            texts in [".*", ".*", "(?s).{0,900}", "(?s)[\\PC\\pC]{0,900}"],
            times in 1usize..9,
        ) {
            let zone = TimeZone::UTC;
            let message = message(&texts, times);
            let plain = |text: &str| !text.chars().any(char::is_control);
            prop_assert!(plain(&words::subject(&message)));
            prop_assert!(words::body(&message, &zone).lines().all(plain));
            for (_, fact) in words::facts(&message, &zone) {
                prop_assert!(plain(&fact));
            }
            let line = syslog::rfc5424(&message, 10, 7, &zone);
            prop_assert!(plain(&line) && line.len() <= syslog::BYTES_MAX);
            prop_assert!(plain(&syslog::local(&message, 10, 7, &zone)));
            prop_assert!(chat::teams(&message, &zone).to_string().len() < 28_000);
            let discord = chat::discord(&message, &zone);
            let shown = discord["embeds"][0]["description"].as_str().unwrap_or_default();
            prop_assert!(shown.matches("```").count() <= 2);
            let back = Message::decode(&message.encode());
            prop_assert_eq!(back.ok(), Some(message));
        }
    }
}
