//! Reading ahead must show nowhere: not in alerts, not in counts, not in what is remembered.

use model::{Alert, LineOrigin, RecordMeta, SourceId, SourceInfo, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::engine::{Engine, EngineOptions, RuleFile, Rules};

/// One that remembers and one that asks, one with names made up of the line, a whitelist.
fn engine() -> Engine {
    let files = [
        (
            "rules/x/s01-parse/a.yaml",
            "name: me/login\nonsuccess: next_stage\n\
             grok: {pattern: '^login %{WORD:user} from %{IP:ip}$', apply_on: Line.Raw}\n\
             stash:\n- {name: users, key: evt.Parsed.user, value: evt.Parsed.ip, ttl: 1h}\n\
             statics: [{meta: kind, value: login}]\n",
        ),
        (
            "rules/x/s01-parse/b.yaml",
            "name: me/bad\nonsuccess: next_stage\n\
             grok: {pattern: '^bad %{WORD:user} from %{IP:ip}$', apply_on: Line.Raw}\n\
             statics:\n- {meta: kind, value: bad}\n\
             - {meta: source_ip, expression: evt.Parsed.ip}\n",
        ),
        (
            "rules/x/s01-parse/c.yaml",
            "name: me/by-name\nonsuccess: next_stage\n\
             grok: {pattern: '^named %{WORD:user}$', apply_on: Line.Raw}\n\
             statics:\n- {meta: kind, value: bad}\n\
             - {meta: source_ip, expression: \"GetFromStash('users', evt.Parsed.user)\"}\n",
        ),
        (
            "rules/x/s01-parse/d.yaml",
            "name: me/key\nonsuccess: next_stage\n\
             grok: {pattern: '^key %{WORD:key} %{IP:ip}$', apply_on: Line.Raw}\n\
             nodes:\n- filter: evt.SetMeta(evt.Parsed.key, evt.Parsed.ip)\n\
             statics:\n- {meta: kind, value: bad}\n\
             - {meta: source_ip, expression: evt.Parsed.ip}\n",
        ),
        (
            "rules/x/s02-enrich/a.yaml",
            "name: me/list\nwhitelist: {reason: ours, ip: [192.0.2.1]}\n",
        ),
        (
            "rules/x/s02-enrich/b.yaml",
            "name: me/all\nfilter: 'true'\nstatics: [{method: ParseDate, value: '2026-01-01T00:00:00Z'}]\n",
        ),
        (
            "rules/x/scenarios/a.yaml",
            "type: leaky\nname: me/leaky\ndescription: d\nfilter: evt.Meta.kind == 'bad'\n\
             groupby: evt.Meta.source_ip\ncapacity: 2\nleakspeed: 1m\n",
        ),
    ];
    let files = files.map(|(path, text)| RuleFile::new(path, text)).to_vec();
    let (rules, found) = Rules::load(files, &[]);
    assert_eq!(found, []);
    Engine::new(rules, EngineOptions::default())
}

fn source() -> SourceInfo {
    SourceInfo {
        name: "log".into(),
        module: "file".into(),
        labels: [("type".to_owned(), "test".to_owned())].into(),
    }
}

fn meta(line: u64, text: &[u8]) -> RecordMeta {
    RecordMeta {
        source: SourceId(0),
        origin: LineOrigin::Stream { line },
        received: Timestamp::from_seconds(1_000),
        text: 0..text.len(),
        raw: 0..0,
        truncated: false,
        catch_up: false,
    }
}

fn record<'a>(meta: &'a RecordMeta, text: &'a [u8]) -> Record<'a> {
    Record {
        meta,
        text,
        raw: text,
    }
}

fn in_order(engine: &mut Engine, lines: &[Vec<u8>]) -> Vec<Alert> {
    let mut alerts = Vec::new();
    for (number, text) in (1..).zip(lines) {
        let meta = meta(number, text);
        engine.observe(
            &record(&meta, text),
            &source(),
            Clock::Recording,
            &mut alerts,
        );
    }
    alerts
}

/// Two readers take turns; the one that is on learns names only when it is told to.
fn ahead(engine: &mut Engine, lines: &[Vec<u8>], batch: usize) -> Vec<Alert> {
    let mut readers = [engine.reader(&source()), engine.reader(&source())];
    let mut found = [Ahead::default(), Ahead::default()];
    let mut alerts = Vec::new();
    let numbered: Vec<(u64, &Vec<u8>)> = (1..).zip(lines).collect();
    for (round, pair) in numbered.chunks(2 * batch).enumerate() {
        // Both batches are read before the first is poured.
        let parts: Vec<_> = pair.chunks(batch).collect();
        for ((part, reader), found) in parts.iter().zip(&mut readers).zip(&mut found) {
            if round % 3 == 2 {
                reader.learn(&engine.names());
            }
            for (number, text) in *part {
                let meta = meta(*number, text);
                reader.read(&record(&meta, text), &source(), Clock::Recording, found);
            }
        }
        for (part, found) in parts.iter().zip(&mut found) {
            for (number, text) in *part {
                let (meta, record_of) = (meta(*number, text), record);
                let record = record_of(&meta, text);
                engine.observe_ahead(&record, &source(), Clock::Recording, found, &mut alerts);
            }
            found.clear();
        }
    }
    alerts
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let ip = (1u8..5).prop_map(|n| format!("192.0.2.{n}"));
    let user = prop_oneof!["[ab]", "[a-c]{2}"];
    prop_oneof![
        (user.clone(), ip.clone()).prop_map(|(u, ip)| format!("login {u} from {ip}").into_bytes()),
        (user.clone(), ip.clone()).prop_map(|(u, ip)| format!("bad {u} from {ip}").into_bytes()),
        user.clone().prop_map(|u| format!("named {u}").into_bytes()),
        (user, ip).prop_map(|(u, ip)| format!("key {u} {ip}").into_bytes()),
        Just(b"bad \xff from 192.0.2.3".to_vec()),
        Just(b"of no concern".to_vec()),
    ]
}

proptest! {
    #[test]
    fn reading_ahead_changes_nothing(
        lines in proptest::collection::vec(line(), 0..200),
        batch in 1usize..20,
    ) {
        let (mut one, mut other) = (engine(), engine());
        let expected = in_order(&mut one, &lines);
        let got = ahead(&mut other, &lines, batch);
        prop_assert_eq!(expected, got);
        prop_assert_eq!(one.stats(), other.stats());
        prop_assert_eq!(one.snapshot(), other.snapshot());
    }
}

#[test]
fn what_hangs_on_other_lines_is_left_for_its_turn() {
    let mut engine = engine();
    let mut reader = engine.reader(&source());
    let finding = |reader: &mut Reader, text: &[u8]| {
        let (mut found, meta) = (Ahead::default(), meta(1, text));
        reader.read(
            &record(&meta, text),
            &source(),
            Clock::Recording,
            &mut found,
        );
        found.findings[0]
    };
    let read = Finding::Read(ParseOutcome::Parsed, Wording::Exact);
    assert_eq!(finding(&mut reader, b"bad a from 192.0.2.2"), read);
    assert_eq!(
        finding(&mut reader, b"login a from 192.0.2.2"),
        Finding::InOrder
    );
    assert_eq!(finding(&mut reader, b"named a"), Finding::InOrder);
    assert_eq!(
        finding(&mut reader, b"key unheard 192.0.2.2"),
        Finding::InOrder
    );
    let lines = [b"key unheard 192.0.2.2".to_vec()];
    in_order(&mut engine, &lines);
    reader.learn(&engine.names());
    assert_eq!(finding(&mut reader, &lines[0]), read);
}
