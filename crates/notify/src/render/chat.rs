//! What chat services and push services take: Slack, Teams, Discord, ntfy.
//!
//! Text from logs goes only into fields that are not read as markup, or is escaped; no message
//! can mention or ping anybody. Sizes stay below each service's documented limits.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::words;
use crate::{
    message::{Kind, Message},
    severity::Severity,
    text::{cut, harmless},
};

/// Slack: a header block holds 150 characters, a section's text 3,000, a field's 2,000.
pub(crate) fn slack(message: &Message, zone: &TimeZone) -> Value {
    let plain = |text: &str| json!({ "type": "plain_text", "text": text, "emoji": false });
    let mut blocks = vec![json!({
        "type": "header",
        "text": plain(&harmless(&words::subject(message), 145)),
    })];
    if let Some(text) = &message.text {
        blocks.push(json!({ "type": "section", "text": plain(cut(text, 2_900)) }));
    } else {
        let facts = words::facts(message, zone);
        let fields: Vec<Value> = facts
            .iter()
            .take(10)
            .map(|(name, value)| plain(&format!("{name}: {}", harmless(value, 500))))
            .collect();
        blocks.push(json!({ "type": "section", "fields": fields }));
        let lines = words::evidence(message, 2_500);
        if !lines.is_empty() {
            blocks.push(json!({ "type": "section", "text": plain(&lines) }));
        }
    }
    // In `text` (what notifications show) &, < and > are markup.
    let text = words::subject(message)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    json!({ "text": text, "blocks": blocks })
}

/// Teams: a message with an adaptive card, as a workflow's webhook takes it; 28 KB at most.
/// Text runs are not read as markup.
pub(crate) fn teams(message: &Message, zone: &TimeZone) -> Value {
    let run = |text: &str| json!({ "type": "TextRun", "text": text });
    let mono = |text: &str| json!({ "type": "TextRun", "text": text, "fontType": "Monospace" });
    let rich = |runs: Vec<Value>| json!({ "type": "RichTextBlock", "inlines": runs });
    let color = match message.severity {
        Severity::Info | Severity::Low => "Default",
        Severity::Medium => "Warning",
        Severity::High | Severity::Critical => "Attention",
    };
    let title = json!({
        "type": "TextRun",
        "text": words::subject(message),
        "weight": "Bolder",
        "size": "Medium",
        "color": color,
    });
    let mut body = vec![rich(vec![title])];
    if let Some(text) = &message.text {
        for line in cut(text, 12_000).lines().take(200) {
            body.push(rich(vec![mono(line)]));
        }
    } else {
        for (name, value) in words::facts(message, zone) {
            let value = harmless(&value, 1_000);
            body.push(rich(vec![run(&format!("{name}: ")), mono(&value)]));
        }
        for line in words::evidence(message, 6_000).lines() {
            body.push(rich(vec![mono(line)]));
        }
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body,
            },
        }],
    })
}

/// Discord: an embed's title holds 256 characters, its description 4,096, a field's value 1,024;
/// 6,000 in all.
pub(crate) fn discord(message: &Message, zone: &TimeZone) -> Value {
    let color = match message.severity {
        Severity::Info => 0x7f_8c_8d,
        Severity::Low => 0x34_98_db,
        Severity::Medium => 0xf1_c4_0f,
        Severity::High => 0xe6_7e_22,
        Severity::Critical => 0xc0_39_2b,
    };
    let text = match &message.text {
        Some(text) => cut(text, 3_000).to_owned(),
        None => words::evidence(message, 2_000),
    };
    // A code block ends at three backticks; without any there is no way out of it.
    let code = if text.is_empty() {
        String::new()
    } else {
        format!("```\n{}```", text.replace('`', "'"))
    };
    let facts = match &message.text {
        Some(_) => Vec::new(),
        None => words::facts(message, zone),
    };
    let fields: Vec<Value> = facts
        .iter()
        .take(12)
        .map(|(name, value)| {
            let value = harmless(value, 150).replace('`', "'");
            json!({ "name": name, "value": format!("`{value}`"), "inline": true })
        })
        .collect();
    json!({
        "username": "Posse",
        "allowed_mentions": { "parse": [] },
        "embeds": [{
            "title": escaped(&words::subject(message)),
            "description": code,
            "color": color,
            "timestamp": words::when(message).to_string(),
            "fields": fields,
        }],
    })
}

/// Discord's markup characters, made ordinary.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(
            c,
            '*' | '_' | '`' | '~' | '|' | '>' | '[' | ']' | '\\' | '<' | '@' | '#'
        ) {
            out.push('\\');
        }
        out.push(c);
    }
    crate::text::harmless(&out, 250)
}

/// ntfy, published as JSON; a message holds 4,096 bytes, larger ones become attachments.
pub(crate) fn ntfy(message: &Message, topic: &str, zone: &TimeZone) -> Value {
    let (priority, tag) = match message.severity {
        Severity::Info => (2, "information_source"),
        Severity::Low => (2, "eyes"),
        Severity::Medium => (3, "warning"),
        Severity::High => (4, "rotating_light"),
        Severity::Critical => (5, "rotating_light"),
    };
    let priority = if message.kind == Kind::Digest {
        2
    } else {
        priority
    };
    json!({
        "topic": topic,
        "title": words::subject(message),
        "message": cut(&words::body(message, zone), 3_900),
        "priority": priority,
        "tags": [tag, message.severity.word()],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{message::Incident, samples};

    fn hostile() -> Message {
        let mut alert = samples::alert("203.0.113.9", 1);
        alert.message = "<!channel> @everyone ```[x](http://example.net)".repeat(200);
        alert.rule = "<@U1>*a*`".into();
        let line = alert.evidence[0].clone();
        alert.evidence = vec![line; 50];
        for line in &mut alert.evidence {
            line.raw = model::RawText::new("@everyone ``` <b> ".repeat(200).as_bytes());
        }
        let mut message = Message::of(Kind::News, "web1", samples::banned(1));
        for _ in 0..9 {
            let incident = Incident::of_alert(&alert, alert.last);
            message.absorb(Message::of(Kind::News, "web1", incident));
        }
        message
    }

    #[test]
    fn sizes_stay_within_the_services_limits() {
        for message in [
            hostile(),
            Message::of(Kind::News, "web1", samples::banned(1)),
        ] {
            let zone = TimeZone::UTC;
            assert!(teams(&message, &zone).to_string().len() < 28_000);
            let slack = slack(&message, &zone);
            let header = slack["blocks"][0]["text"]["text"].as_str().unwrap();
            assert!(header.chars().count() <= 150);
            let discord = discord(&message, &zone);
            let embed = &discord["embeds"][0];
            assert!(embed["title"].as_str().unwrap().chars().count() <= 256);
            assert!(embed.to_string().len() < 6_000);
            let ntfy = ntfy(&message, "t", &zone);
            assert!(ntfy["message"].as_str().unwrap().len() < 4_096);
        }
    }

    #[test]
    fn nobody_can_be_pinged() {
        let zone = TimeZone::UTC;
        let slack = slack(&hostile(), &zone);
        assert!(!slack["text"].as_str().unwrap().contains('<'));
        for block in slack["blocks"].as_array().unwrap() {
            assert!(!block.to_string().contains("mrkdwn"));
        }
        let discord = discord(&hostile(), &zone);
        assert_eq!(discord["allowed_mentions"]["parse"], json!([]));
        let description = discord["embeds"][0]["description"].as_str().unwrap();
        assert_eq!(description.matches("```").count(), 2);
    }
}
