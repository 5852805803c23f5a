use super::*;
use crate::{
    event::TimeMode,
    overflow::{Overflow, OverflowSource},
};
use model::Timestamp;

struct World {
    parsers: Parsers,
    symbols: Symbols,
    services: Services,
    event: Event,
    seen: Seen,
}

#[derive(Default)]
struct Seen(Vec<(String, String, bool)>);

impl Trace for Seen {
    fn node(&mut self, stage: &str, node: &str, _event: &Event, ok: bool) {
        self.0.push((stage.to_owned(), node.to_owned(), ok));
    }
}

fn load(files: &[(&str, &str)]) -> (World, Vec<Diagnostic>) {
    let files: Vec<RuleFile> = files.iter().map(|(p, t)| RuleFile::new(*p, *t)).collect();
    let mut symbols = Symbols::default();
    let mut diagnostics = Vec::new();
    let parsers = Parsers::build(&files, &mut symbols, &mut diagnostics);
    let services = Services {
        now: "2026-11-21T20:15:00Z".parse().unwrap(),
        ..Services::default()
    };
    let (event, seen) = (Event::default(), Seen::default());
    (
        World {
            parsers,
            symbols,
            services,
            event,
            seen,
        },
        diagnostics,
    )
}

fn world(files: &[(&str, &str)]) -> World {
    let (world, diagnostics) = load(files);
    assert_eq!(diagnostics, []);
    world
}

impl World {
    fn prepare(&mut self, line: &str) {
        self.event.reset(line);
        let kind = self.symbols.intern("type");
        self.event.set_field(FieldMap::Labels, kind, "app");
        self.seen.0.clear();
    }

    /// Runs a line with and without a trace: both must come to the same.
    fn run(&mut self, line: &str) -> ParseOutcome {
        self.prepare(line);
        let quick = self.parsers.run(
            &mut self.event,
            &mut self.services,
            &mut self.symbols,
            &mut NoTrace,
        );
        let quick = (quick, self.all());
        self.prepare(line);
        let outcome = self.parsers.run(
            &mut self.event,
            &mut self.services,
            &mut self.symbols,
            &mut self.seen,
        );
        assert_eq!(
            quick,
            (outcome, self.all()),
            "the index changes what happens"
        );
        outcome
    }

    fn all(&self) -> Vec<String> {
        let mut all = Vec::new();
        for map in [FieldMap::Parsed, FieldMap::Meta, FieldMap::Enriched] {
            for (sym, span) in self.event.fields(map).iter() {
                let (name, value) = (self.symbols.name(sym), self.event.read(span));
                all.push(format!("{map:?}.{name}={value}"));
            }
        }
        all.sort();
        all
    }

    fn parsed(&self, name: &str) -> &str {
        self.get(FieldMap::Parsed, name)
    }

    fn meta(&self, name: &str) -> &str {
        self.get(FieldMap::Meta, name)
    }

    fn get(&self, map: FieldMap, name: &str) -> &str {
        self.symbols.lookup(name).map_or("<none>", |sym| {
            self.event
                .fields(map)
                .find(sym)
                .map_or("<none>", |span| self.event.read(span))
        })
    }

    fn visited(&self) -> Vec<&str> {
        self.seen
            .0
            .iter()
            .map(|(_, node, _)| node.as_str())
            .collect()
    }
}

const RAW: (&str, &str) = (
    "parsers/s00-raw/raw.yaml",
    "name: raw\nonsuccess: next_stage\nstatics:\n  - parsed: message\n    expression: evt.Line.Raw\n",
);

fn second(text: &str) -> World {
    world(&[RAW, ("parsers/s01-parse/x.yaml", text)])
}

#[test]
fn a_line_no_node_takes_is_dropped() {
    let mut w = second("name: x\nfilter: evt.Parsed.message == 'yes'\nonsuccess: next_stage\n");
    assert_eq!(w.run("yes"), ParseOutcome::Parsed);
    assert_eq!(w.run("no"), ParseOutcome::Dropped);
    assert_eq!(w.visited(), ["raw", "x"]);
}

#[test]
fn files_are_in_the_order_of_their_names_wherever_they_lie() {
    let node = |name: &str| format!("name: {name}\nonsuccess: continue\n");
    let mut w = world(&[
        ("parsers/s00-raw/zeta/a.yaml", &node("first")),
        (
            "parsers/s00-raw/alpha/b.yaml",
            &format!("{}---\n{}", node("second"), node("third")),
        ),
    ]);
    assert_eq!(w.run("x"), ParseOutcome::Parsed);
    assert_eq!(w.visited(), ["first", "second", "third"]);
}

#[test]
fn next_stage_ends_the_stage() {
    let mut w = world(&[
        (
            "parsers/s00-raw/a.yaml",
            "name: a\nonsuccess: next_stage\n---\nname: never\n",
        ),
        (
            "parsers/s01-parse/b.yaml",
            "name: b\n---\nname: c\nonsuccess: next_stage\n",
        ),
    ]);
    w.run("x");
    assert_eq!(w.visited(), ["a", "b", "c"]);
}

#[test]
fn without_next_stage_the_last_child_decides() {
    let children = "nodes:\n  - grok: {apply_on: message, pattern: '^a%{NOTSPACE:w}'}\n  \
                    - grok: {apply_on: message, pattern: '^%{NOTSPACE:w}z$'}\n";
    let mut w = second(&format!("name: x\n{children}"));
    assert_eq!(w.run("az"), ParseOutcome::Parsed);
    assert_eq!(w.run("ab"), ParseOutcome::Dropped);
    assert_eq!(w.run("bz"), ParseOutcome::Parsed);
    let mut w = second(&format!("name: x\nonsuccess: next_stage\n{children}"));
    assert_eq!(w.run("ab"), ParseOutcome::Parsed);
}

#[test]
fn a_nodes_own_grok_outweighs_its_children() {
    let mut w = second(
        "name: x\ngrok: {apply_on: message, pattern: '^%{INT:n}'}\nnodes:\n  \
         - grok: {apply_on: message, pattern: 'never%{INT:m}'}\n",
    );
    assert_eq!(w.run("42"), ParseOutcome::Parsed);
    assert_eq!(w.run("x"), ParseOutcome::Dropped);
    assert_eq!(w.run("never1"), ParseOutcome::Parsed);
}

#[test]
fn statics_follow_the_types() {
    let mut w = second(
        "name: x\nstatics:\n  - {meta: text, expression: \"'a' + 'b'\"}\n  \
         - {meta: int, expression: '6 + 1'}\n  - {meta: float, expression: '1.5'}\n  \
         - {meta: nil, expression: 'nil'}\n  - {meta: empty, value: ''}\n  \
         - {meta: fails, expression: 'evt.Unmarshaled.a.b'}\n  \
         - {target: evt.Meta.path, value: p}\n  - {parsed: five, value: 5}\n",
    );
    assert_eq!(w.run("x"), ParseOutcome::Parsed);
    assert_eq!(
        (w.meta("text"), w.meta("int"), w.meta("float")),
        ("ab", "7", "1.500000")
    );
    assert_eq!(
        (w.meta("nil"), w.meta("empty"), w.meta("fails")),
        ("<none>", "<none>", "<none>")
    );
    assert_eq!((w.meta("path"), w.parsed("five")), ("p", "5"));
}

#[test]
fn a_static_of_a_truth_value_gives_the_line_up() {
    let mut w = second("name: x\nstatics:\n  - {meta: a, expression: '1 == 1'}\n");
    assert_eq!(w.run("x"), ParseOutcome::Dropped);
    assert_eq!(w.parsers.stats().aborted, 2);
}

#[test]
fn an_unmatched_part_overwrites_with_nothing() {
    let mut w = second(
        "name: x\nstatics:\n  - {parsed: b, value: before}\n---\nname: y\n\
         grok: {apply_on: message, pattern: '^(%{INT:a}|%{WORD:b})$'}\n",
    );
    assert_eq!(w.run("42"), ParseOutcome::Parsed);
    assert_eq!((w.parsed("a"), w.parsed("b")), ("42", ""));
}

#[test]
fn groks_read_the_line_a_field_or_an_expression() {
    let mut w = second(
        "name: x\nnodes:\n  - grok: {apply_on: Line.Raw, pattern: '^%{WORD:one}'}\n  \
         - grok: {expression: 'evt.Parsed.one + evt.Parsed.one', pattern: '^%{WORD:two}$'}\n  \
         - grok: {apply_on: two, pattern: '^%{WORD:three}$'}\n",
    );
    assert_eq!(w.run("ab cd"), ParseOutcome::Parsed);
    assert_eq!(
        (w.parsed("one"), w.parsed("two"), w.parsed("three")),
        ("ab", "abab", "abab")
    );
}

#[test]
fn a_missing_input_fails_the_grok() {
    let mut w = second("name: x\ngrok: {apply_on: nowhere, pattern: '%{DATA:d}'}\n");
    assert_eq!(w.run("x"), ParseOutcome::Dropped);
}

#[test]
fn pattern_syntax_is_shared_and_the_first_counts() {
    let (mut w, diagnostics) = load(&[
        RAW,
        (
            "parsers/s01-parse/a.yaml",
            "name: a\npattern_syntax:\n  MINE: 'a+'\n  MINE2: '%{MINE}'\n\
             grok: {apply_on: message, pattern: '^%{MINE2:a}$'}\n",
        ),
        (
            "parsers/s01-parse/b.yaml",
            "name: b\npattern_syntax:\n  MINE: 'b+'\ngrok: {name: MINE, apply_on: message}\n---\n\
             name: c\ngrok: {apply_on: message, pattern: '^%{MINE:c}'}\n",
        ),
    ]);
    assert!(
        diagnostics
            .iter()
            .any(|d| d.line == 3 && d.message.contains("a.yaml:3"))
    );
    assert_eq!(w.run("bb"), ParseOutcome::Dropped);
    assert_eq!(w.run("aa"), ParseOutcome::Parsed);
    assert_eq!((w.parsed("a"), w.parsed("c")), ("aa", "aa"));
}

#[test]
fn whitelists_know_addresses_networks_and_expressions() {
    let mut w = second(
        "name: src\nstatics:\n  - {meta: source_ip, expression: evt.Parsed.message}\n---\n\
         name: wl\nwhitelist:\n  reason: ours\n  ip: ['::1']\n  cidr: ['10.0.0.0/8']\n  \
         expression: [\"evt.Parsed.message contains 'friend'\"]\n\
         statics:\n  - {meta: listed, value: 'yes'}\n",
    );
    for good in ["::1", "10.2.3.4", "::ffff:10.0.0.1", "a friend"] {
        assert_eq!(w.run(good), ParseOutcome::Whitelisted, "{good}");
        assert_eq!(w.event.read(w.event.whitelist_reason), "ours");
        assert_eq!(w.meta("listed"), "yes");
    }
    assert_eq!(w.run("11.0.0.1"), ParseOutcome::Parsed);
    assert_eq!(w.meta("listed"), "<none>");
}

const DATED: &str = "name: d\nstatics:\n  - {target: evt.StrTime, expression: evt.Parsed.message}\n  \
     - {method: ParseDate, expression: evt.StrTime}\n  \
     - {target: MarshaledTime, expression: evt.Enriched.MarshaledTime}\n";

#[test]
fn dates_are_the_lines_own_in_a_recording_only() {
    let at: Timestamp = "2026-11-21T20:15:00Z".parse().unwrap();
    let own: Timestamp = "2026-03-01T01:02:03Z".parse().unwrap();
    for (mode, time) in [(TimeMode::Live, at), (TimeMode::Recording, own)] {
        let mut w = second(DATED);
        (w.event.mode, w.event.time) = (mode, at);
        w.run("Mar  1 01:02:03");
        assert_eq!((w.event.marshaled_time, w.event.time), (Some(own), time));
        assert_eq!(
            w.get(FieldMap::Enriched, "MarshaledTime"),
            "2026-03-01T01:02:03Z"
        );
    }
    let mut w = second(DATED);
    w.run("no date");
    assert_eq!(w.event.marshaled_time, Some(at));
}

#[test]
fn what_is_stashed_is_found_by_later_lines_until_it_expires() {
    let mut w = second(
        "name: put\nfilter: \"evt.Parsed.message startsWith 'put'\"\n\
         grok: {apply_on: message, pattern: 'put %{WORD:k} %{WORD:v}'}\n\
         stash:\n  - {name: s, key: evt.Parsed.k, value: evt.Parsed.v, ttl: 1m, size: 10}\n---\n\
         name: get\nfilter: \"evt.Parsed.message startsWith 'get'\"\n\
         statics:\n  - {meta: found, expression: \"GetFromStash('s', 'a')\"}\n",
    );
    w.run("put a b");
    w.run("get");
    assert_eq!(w.meta("found"), "b");
    w.services.now = w.services.now.plus(std::time::Duration::from_secs(61));
    w.run("get");
    assert_eq!(w.meta("found"), "<none>");
}

fn overflow(addr: &str) -> Overflow {
    let source = OverflowSource {
        scope: Scope::Ip,
        value: addr.to_owned(),
        spelling: None,
        address: addr.parse().ok(),
        range: None,
        as_number: String::new(),
        as_name: String::new(),
        country: String::new(),
    };
    Overflow {
        scenario: "test/bf".to_owned(),
        scenario_hash: String::new(),
        sources: [(addr.to_owned(), Box::new(source))].into(),
        scope: Scope::Ip,
        events: Vec::new(),
        events_count: 1,
        first: Timestamp::EPOCH,
        last: Timestamp::EPOCH,
        message: String::new(),
        remediation: true,
        simulated: false,
        reprocess: false,
        whitelisted: false,
        whitelist_reason: String::new(),
        labels: Default::default(),
        evidence: Vec::new(),
    }
}

#[test]
fn overflows_pass_their_own_stages() {
    let mut w = world(&[
        (
            "postoverflows/s00-enrich/range.yaml",
            "name: range\nfilter: evt.Overflow.Alert.Remediation == true\nstatics:\n  \
             - {target: evt.Overflow.Alert.Source.Value, value: '192.0.2.0/24'}\n  \
             - {target: evt.Overflow.Alert.Source.Scope, value: Range}\n",
        ),
        (
            "postoverflows/s01-whitelist/wl.yaml",
            "name: wl\nwhitelist: {reason: ours, cidr: ['198.51.100.0/24']}\n",
        ),
    ]);
    for (addr, wanted) in [
        ("192.0.2.7", ParseOutcome::Parsed),
        ("198.51.100.7", ParseOutcome::Whitelisted),
    ] {
        w.event.reset("");
        w.event.overflow = Some(Box::new(overflow(addr)));
        let (services, symbols) = (&mut w.services, &mut w.symbols);
        let outcome = w
            .parsers
            .run_postoverflow(&mut w.event, services, symbols, &mut NoTrace);
        assert_eq!(outcome, wanted);
        let overflow = w.event.overflow.as_ref().unwrap();
        let source = overflow.sources.values().next().unwrap();
        assert_eq!(
            (&source.scope, &*source.value),
            (&Scope::Range, "192.0.2.0/24")
        );
        assert_eq!(overflow.whitelisted, wanted == ParseOutcome::Whitelisted);
    }
}

#[test]
fn a_broken_document_is_left_out_and_explained() {
    let (mut w, diagnostics) = load(&[
        RAW,
        (
            "parsers/s01-parse/x.yaml",
            "name: good\n---\nname: bad\nfilter: evt.Parsed.message ==\n---\nname: worse\n\
             onsucess: next_stage\n---\nname: grokless\ngrok: {apply_on: message, name: NOPE}\n",
        ),
    ]);
    let lines: Vec<u32> = diagnostics.iter().map(|d| d.line).collect();
    assert_eq!(lines, [4, 7, 10], "{diagnostics:?}");
    assert_eq!(diagnostics[1].fix, "did you mean `onsuccess`?");
    assert_eq!(w.run("x"), ParseOutcome::Parsed);
    assert_eq!(w.visited(), ["raw", "good"]);
}

#[test]
fn mistakes_in_statics_and_whitelists_are_explained() {
    let (_, diagnostics) = load(&[(
        "parsers/s00-raw/x.yaml",
        "name: x\nonsuccess: next\nstatics:\n  - {value: a}\n  - {meta: a}\n  \
         - {method: ParseDat, value: a}\nwhitelist: {reason: r, cidr: ['10.0.0.0/33']}\n",
    )]);
    let text: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    let has = |words: &str| text.iter().any(|t| t.contains(words));
    assert!(
        has("unknown onsuccess `next`") && has("where its value goes"),
        "{text:?}"
    );
    assert!(
        has("has no value") && has("did you mean `ParseDate`?"),
        "{text:?}"
    );
    assert!(has("prefix length"), "{text:?}");
}

#[test]
fn the_index_follows_a_field_that_a_node_changes() {
    let mut w = second(
        "name: a\nfilter: evt.Parsed.program == 'one'\nstatics:\n  - {parsed: program, value: two}\n\
         ---\nname: b\nfilter: evt.Parsed.program == 'two'\nstatics:\n  - {meta: b, value: 'yes'}\n\
         ---\nname: c\nfilter: evt.Parsed.program == 'one'\nstatics:\n  - {meta: c, value: 'no'}\n",
    );
    w.prepare("x");
    assert_eq!(w.run("x"), ParseOutcome::Dropped);
    let mut w = world(&[
        (
            "parsers/s00-raw/r.yaml",
            "name: r\nonsuccess: next_stage\nstatics:\n  - {parsed: program, value: one}\n",
        ),
        (
            "parsers/s01-parse/x.yaml",
            "name: a\nfilter: evt.Parsed.program == 'one'\nstatics:\n  \
             - {parsed: program, value: two}\n---\nname: b\n\
             filter: evt.Parsed.program == 'two'\nstatics:\n  - {meta: b, value: 'yes'}\n---\n\
             name: c\nfilter: evt.Parsed.program == 'one'\nstatics:\n  - {meta: c, value: 'no'}\n",
        ),
    ]);
    assert_eq!(w.run("x"), ParseOutcome::Parsed);
    assert_eq!((w.meta("b"), w.meta("c")), ("yes", "<none>"));
}
