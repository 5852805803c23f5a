//! The language as a whole: what constructs and functions give, what errors say, what is bounded.

mod bounds;
mod calls;
mod corpus;
mod operators;
mod surroundings;

use std::{cell::RefCell, collections::BTreeMap};

use model::{AlertEvent, Scope, Timestamp};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    event::Event,
    overflow::{Overflow, OverflowSource},
    regex_syntax,
};

/// Everything an expression needs, filled with a little of each.
struct World {
    event: Event,
    symbols: Symbols,
    services: Services,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            event: Event::default(),
            symbols: Symbols::default(),
            services: Services::default(),
        };
        world
            .event
            .reset("<34>Nov 21 host sshd[7]: Failed password for root from 192.0.2.7");
        world.event.time = "2026-11-21T19:05:09Z".parse().unwrap();
        world.set(FieldMap::Parsed, "program", "sshd");
        world.set(FieldMap::Parsed, "status", "404");
        world.set(FieldMap::Parsed, "path", "/A/b%20c.PHP?x=1");
        world.set(FieldMap::Parsed, "kv", "a=1 b=\"x y\"");
        world.set(
            FieldMap::Parsed,
            "json",
            r#"{"a": {"b": [1, "two", {"c": "q\"r"}]}, "n": 1600000000}"#,
        );
        world.set(FieldMap::Meta, "log_type", "ssh_failed-auth");
        world.set(FieldMap::Meta, "service", "ssh");
        world.set(FieldMap::Labels, "type", "syslog");
        world.event.unmarshaled.insert(
            "j".into(),
            json!({"list": ["a", "b", {"k": "v"}], "n": 200, "f": 1.5, "t": true, "nil": null,
                   "obj": {"x": "y"}, "s": "text"}),
        );
        world
            .event
            .unmarshaled
            .insert("kv".into(), json!({"OUT": "", "IN": "eth0"}));
        world.event.string_maps.insert("kv".into());
        world.services.now = "2026-11-21T20:00:00Z".parse().unwrap();
        world.services.hostname = "guard".into();
        let lines = ["/admin", "/backup", "%ff"].map(String::from).to_vec();
        world
            .services
            .data
            .insert("paths.txt", DataFile::Strings(lines.into()));
        let lines = ["", "192.0.2.0/24", "198.51.100.7", "2001:db8::/32", "x/y"];
        let lines = lines.map(String::from).to_vec();
        world
            .services
            .data
            .insert("networks.txt", DataFile::Strings(lines.into()));
        let regexes = vec![regex_syntax::compile("(?i)^bad.*bot$").unwrap()];
        world
            .services
            .data
            .insert("bots.txt", DataFile::Regexes(regexes.into()));
        let row = LookupRow {
            kind: LookupKind::Contains,
            pattern: "wp-".into(),
            tag: "wordpress".into(),
        };
        world
            .services
            .data
            .insert("tech.json", DataFile::Map(Lookup::new(vec![row]).0));
        world
            .services
            .stash
            .set("progs", "42", "cron", Timestamp::MAX, 8);
        world
    }

    fn set(&mut self, map: FieldMap, name: &str, value: &str) {
        let sym = self.symbols.intern(name);
        self.event.set_field(map, sym, value);
    }

    fn overflow(mut self) -> Self {
        let source = OverflowSource {
            scope: Scope::Ip,
            value: "192.0.2.7".into(),
            spelling: None,
            address: Some("192.0.2.7".parse().unwrap()),
            range: Some("192.0.2.0/24".parse().unwrap()),
            as_number: "64500".into(),
            as_name: "Example".into(),
            country: "FR".into(),
        };
        let meta = [("exe", "/usr/bin/dpkg")].into_iter().collect();
        self.event.overflow = Some(Box::new(Overflow {
            scenario: "test/ssh-bf".into(),
            scenario_hash: String::new(),
            sources: BTreeMap::from([("192.0.2.7".to_owned(), Box::new(source))]),
            scope: Scope::Ip,
            events: vec![AlertEvent {
                time: self.event.time,
                meta,
            }],
            events_count: 6,
            first: self.event.time,
            last: self.event.time,
            message: String::new(),
            remediation: true,
            simulated: false,
            reprocess: false,
            whitelisted: false,
            whitelist_reason: String::new(),
            labels: Default::default(),
            evidence: Vec::new(),
        }));
        self
    }

    /// The value as `toJSON`-like text, or `error: …`.
    fn show(&mut self, source: &str) -> String {
        let expr = match compile(source, Vars::Event, &mut self.symbols) {
            Ok(expr) => expr,
            Err(e) => return format!("compile error at {}: {} ({})", e.offset, e.message, e.fix),
        };
        let effects = RefCell::default();
        let env = Env::new(&self.event, &self.symbols, &self.services, &effects);
        match expr.eval(&env) {
            Err(e) => format!("error: {e}"),
            Ok(Value::Text(text)) => text.to_string(),
            Ok(Value::Int(n)) => n.to_string(),
            Ok(Value::Float(f)) => format!("{f:?}"),
            Ok(value) => {
                let mut machine = eval::Machine::new(&env);
                functions::show(&mut machine, &value)
            }
        }
    }

    fn test(&mut self, source: &str) -> bool {
        let expr = compile(source, Vars::Event, &mut self.symbols)
            .unwrap_or_else(|e| panic!("{source}: {e} ({})", e.fix));
        let effects = RefCell::default();
        let env = Env::new(&self.event, &self.symbols, &self.services, &effects);
        expr.test(&env).unwrap_or_else(|e| panic!("{source}: {e}"))
    }
}

#[track_caller]
fn check(world: &mut World, table: &[(&str, &str)]) {
    for (source, expected) in table {
        assert_eq!(&world.show(source), expected, "{source}");
    }
}
