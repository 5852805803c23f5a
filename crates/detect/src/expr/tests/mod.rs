//! The language as a whole: what constructs and functions give, what errors say, what is bounded.

mod corpus;

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
            labels: BTreeMap::new(),
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

#[test]
fn operators_and_literals() {
    check(
        &mut World::new(),
        &[
            ("1 + 2 * 3 ** 2", "19.0"),
            ("-2 ** 2", "-4.0"),
            ("7 % 4 - 1", "2"),
            ("7 / 2", "3.5"),
            ("1..3", "[1 2 3]"),
            ("'a' + \"b\" + `c`", "abc"),
            ("not true || !false", "true"),
            ("1 < 2 and 2 <= 2 and 'a' < 'b' and 1.5 > 1", "true"),
            ("1 == 1.0 && nil == nil && 'a' != 'b'", "true"),
            ("2 in [1, 2] and 3 not in [1, 2] and 'x' in {x: 1}", "true"),
            ("not ('a' in ['b'])", "true"),
            (
                "not 'a' in ['b']",
                "compile error at 4: not needs true or false, not text (compare it, as in \
             evt.Meta.service != '')",
            ),
            ("true ? 'y' : 'n'", "y"),
            ("false ? 1 : true ? 2 : 3", "2"),
            ("nil ?? 'd'", "d"),
            ("'x' ?? 'd'", "x"),
            ("[1, [2, 'a'], {k: nil}]", "[1 [2 a] map[k:<nil>]]"),
            ("{Jan: '01', 'Feb': '02'}['Feb']", "02"),
            ("{Jan: '01'}['Mar']", "<nil>"),
            ("[1,2,3][-1]", "3"),
            ("[1,2,3][1:]", "[2 3]"),
            ("[1,2,3,4][-2:]", "[3 4]"),
            ("'abcdef'[2:4] + 'abc'[:1] + 'abc'[9:]", "cda"),
            ("[1][5]", "error: index out of range"),
            ("let x = 2; let y = x * 3; y + x", "8"),
            ("if 1 == 1 { 'a' } else if true { 'b' } else { 'c' }", "a"),
            ("[3,1,2] | sort() | map({# * 2})", "[2 4 6]"),
            ("1; 2; 3", "3"),
            ("0x1F + 1_000 + .5", "1031.5"),
            ("duration('90s')", "1m30s"),
            ("10 % 0", "error: division by zero"),
            ("'a' + 1", "error: + does not work on string and int"),
        ],
    );
}

#[test]
fn text_operators_take_nil_as_false() {
    let mut world = World::new();
    for (source, expected) in [
        ("evt.Line.Raw contains 'Failed'", true),
        ("evt.Parsed.program startsWith 'ss'", true),
        ("evt.Parsed.program not startsWith 'x'", true),
        ("evt.Parsed.program endsWith 'hd'", true),
        ("evt.Parsed.program matches '^s+hd$'", true),
        ("evt.Parsed.program matches Lower('^S+HD$')", true),
        (
            "evt.Parsed.program matches ('^' + evt.Parsed.program)",
            true,
        ),
        ("evt.Unmarshaled.j.none contains 'x'", false),
        ("evt.Unmarshaled.none startsWith 'x'", false),
        ("'x' endsWith evt.Unmarshaled.none", false),
        ("evt.Unmarshaled.none matches 'x'", false),
        ("evt.Unmarshaled.none in ['', nil]", true),
        ("evt.Unmarshaled.j.n in [200, '200']", true),
        ("evt.Unmarshaled.j.n == 200", true),
        ("evt.Unmarshaled.j.s in ['a', 'text']", true),
    ] {
        assert_eq!(world.test(source), expected, "{source}");
    }
    check(
        &mut world,
        &[
            (
                "evt.Unmarshaled.j.n contains 'x'",
                "error: contains does not work on float and string",
            ),
            ("evt.Line.Raw matches evt.Unmarshaled.j.bad", "false"),
            (
                "evt.Line.Raw matches ('(' + evt.Parsed.program)",
                "error: matches: the pattern does not compile",
            ),
        ],
    );
}

#[test]
fn missing_keys_are_empty_in_string_maps_and_nil_elsewhere() {
    check(
        &mut World::new(),
        &[
            ("evt.Parsed.none", ""),
            ("evt.Meta['no' + 'ne']", ""),
            ("evt.Enriched.none == ''", "true"),
            ("evt.Line.Labels.type", "syslog"),
            ("evt.Unmarshaled.kv.none == ''", "true"),
            ("evt.Unmarshaled['kv'].IN", "eth0"),
            ("evt.Unmarshaled.j.none", "<nil>"),
            (
                "evt.Unmarshaled.j.none.x",
                "error: cannot read a part of nil",
            ),
            ("evt.Unmarshaled.j.none?.x.y[0]", "<nil>"),
            ("evt.Unmarshaled.j?.obj?.x", "y"),
            ("evt.Unmarshaled.j.none?.arn ?? evt.Unmarshaled.j.s", "text"),
            ("evt.Unmarshaled.j.list[2].k", "v"),
            ("evt.Unmarshaled.j['obj']['x']", "y"),
            ("get(evt.Unmarshaled.j, 'none') == nil", "true"),
            ("get(evt.Unmarshaled.j.list, 9) == nil", "true"),
            ("evt.Unmarshaled.j.nil == nil", "true"),
            ("evt.Unmarshaled.j.t ? 'a' : 'b'", "a"),
            (
                "evt.Unmarshaled.j.none ? 'a' : 'b'",
                "error: a condition must be true or false, not nil",
            ),
            ("int(evt.Unmarshaled.j.n)", "200"),
            ("evt.Unmarshaled.j.f", "1.5"),
            ("len(evt.Unmarshaled.j.list) + len(evt.Parsed.program)", "7"),
            (
                "Upper(evt.Unmarshaled.j.none)",
                "error: upper wants text but got nil",
            ),
            (
                "evt.Overflow.Alert.Remediation",
                "error: cannot read a part of nil",
            ),
        ],
    );
}

#[test]
fn closures() {
    check(
        &mut World::new(),
        &[
            (
                "any([1, 2], {# == 2}) && all([1, 2], # > 0) && none([], true) && one([1, 2], {# == 1})",
                "true",
            ),
            ("filter(1..6, # % 2 == 0)", "[2 4 6]"),
            ("map([{a: 'x'}, {a: 'y'}], .a)", "[x y]"),
            ("count(['a', 'b', 'a'], {# == 'a'})", "2"),
            ("find([1, 5, 7], # > 4)", "5"),
            ("findIndex([1, 5, 7], # > 4)", "1"),
            ("findLast([1, 5, 7], # > 4)", "7"),
            ("findLastIndex([1], # > 4)", "-1"),
            ("sum([1, 2.5])", "3.5"),
            ("sum(['a', 'bc'], len(#))", "3"),
            ("reduce(1..4, #acc + #, 10)", "20"),
            ("map(['a', 'b'], # + string(#index))", "[a0 b1]"),
            (
                "groupBy(['a', 'bb', 'c'], string(len(#)))",
                "map[1:[a c] 2:[bb]]",
            ),
            (
                "sortBy([{n: 2}, {n: 1}], .n, 'desc')",
                "[map[n:2] map[n:1]]",
            ),
            ("map([[1, 2], [3]], {map(#, {# * 10})})", "[[10 20] [30]]"),
            ("any(['x'], {let y = # + '!'; y == 'x!'})", "true"),
            ("any(File('paths.txt'), {'/x/backup' contains #})", "true"),
            ("any(File('none.txt'), {true})", "false"),
            (
                "any(['B', 'c'], {Lower(evt.Parsed.path) contains Lower(#)})",
                "true",
            ),
            (
                "any(nil, {true})",
                "error: a closure function wants a list but got nil",
            ),
        ],
    );
}

#[test]
fn text_functions() {
    check(
        &mut World::new(),
        &[
            ("Upper('aé') + Lower('AÉ') + upper('ß')", "AÉaéß"),
            (
                "TrimSpace('  a ') + Trim('xxaxx', 'x') + TrimLeft('xa', 'x') + TrimRight('ax', 'x')",
                "aaaa",
            ),
            (
                "TrimPrefix('abc', 'ab') + TrimSuffix('abc', 'bc') + trimSuffix('a,', ',')",
                "caa",
            ),
            ("hasPrefix('abc', 'a') && hasSuffix('abc', 'c')", "true"),
            ("Split('a:b:c', ':')[-1]", "c"),
            ("Split('abc', '')", "[a b c]"),
            ("SplitN('a:b:c', ':', 2)", "[a b:c]"),
            ("SplitAfter('a:b', ':')", "[a: b]"),
            ("split('a,b,c', ',', 2)", "[a b,c]"),
            ("Join(['a', 'b'], '-') + join(['c'])", "a-bc"),
            ("Fields(' a  b ')", "[a b]"),
            (
                "Replace('aaa', 'a', 'b', 2) + ReplaceAll('aa', 'a', 'c') + replace('x', 'x', 'y')",
                "bbaccy",
            ),
            (
                "Index('abc', 'c') + indexOf('abc', 'z') + lastIndexOf('aba', 'a')",
                "3",
            ),
            ("repeat('ab', 2)", "abab"),
            ("B64Decode('YWI=') + toBase64('ab')", "abYWI="),
            ("B64Decode('!')", "error: B64Decode: the text is not base64"),
            ("Match('*.PHP*', evt.Parsed.path)", "true"),
            (
                "PathUnescape('a%20b+c') + QueryUnescape('a%20b+c') + PathUnescape('%zz')",
                "a b+ca b c%zz",
            ),
            (
                "QueryEscape('a b&c') + PathEscape('a b&c')",
                "a+b%26ca%20b&c",
            ),
            ("ParseUri('/x?a=1&a=2&b=3')['a'][1]", "2"),
            ("ExtractQueryParam('/x?a=1&a=2', 'a')", "[1 2]"),
            (
                "string(1.0) + string(nil) + string([1]) + ToString(5)",
                "1<nil>[1]",
            ),
        ],
    );
}

#[test]
fn formats_as_go_does() {
    check(
        &mut World::new(),
        &[
            ("Sprintf('%v', evt.Unmarshaled.j.n * 8000000)", "1.6e+09"),
            (
                "Sprintf('%v %v %v %v', 200.0, 0.00001, 123456.5, 1000000.0)",
                "200 1e-05 123456.5 1e+06",
            ),
            (
                "Sprintf('%s is %d years, %f%%, %.2f', 'x', 7, 1.5, 2.345)",
                "x is 7 years, 1.500000%, 2.35",
            ),
            (
                "Sprintf('%5d|%-5s|%05d|%x|%q|%t', 42, 'ab', -42, 255, 'a\"', true)",
                "   42|ab   |-0042|ff|\"a\\\"\"|true",
            ),
            ("Sprintf('%d', 'x')", "%!d(string=x)"),
            ("Sprintf('%s')", "%!s(MISSING)"),
            ("Sprintf('a', 1)", "a%!(EXTRA int=1)"),
            ("Sprintf('%v %v', [1, 'a'], nil)", "[1 a] <nil>"),
            ("Sprintf('%')", "%!(NOVERB)"),
        ],
    );
}

#[test]
fn json_and_xml_functions() {
    check(
        &mut World::new(),
        &[
            ("JsonExtract(evt.Parsed.json, 'a.b[1]')", "two"),
            ("JsonExtract(evt.Parsed.json, 'a.b[2].c')", "q\\\"r"),
            (
                "JsonExtractUnescape(evt.Parsed.json, 'a', 'b', '[2]', 'c')",
                "q\"r",
            ),
            ("JsonExtractUnescape(evt.Parsed.json, 'n')", ""),
            ("JsonExtract(evt.Parsed.json, 'none')", ""),
            ("JsonExtractSlice(evt.Parsed.json, 'a.b')[1]", "two"),
            ("JsonExtractObject(evt.Parsed.json, 'a').b[0]", "1.0"),
            ("JsonExtractObject(evt.Parsed.json, 'n')", "<nil>"),
            (
                "ToJsonString({b: 1, a: ['<', nil, 1.5, 2.0]})",
                r#"{"a":["\u003c",null,1.5,2],"b":1}"#,
            ),
            ("fromJSON('{\"a\": [1]}').a[0]", "1.0"),
            ("fromJSON('{')", "error: fromJSON: the text is not JSON"),
            (
                "XMLGetNodeValue('- <E xmlns=\"u\"><D N=\"a\">1</D></E>', \"/E/D[@N='a']\")",
                "1",
            ),
            (
                "XMLGetAttributeValue('<E><D N=\"a\">1</D></E>', '/E/D', 'N')",
                "a",
            ),
            ("XMLGetNodeValue('no xml', '/E')", ""),
        ],
    );
}

#[test]
fn address_and_number_functions() {
    check(
        &mut World::new(),
        &[
            (
                "IpInRange('192.0.2.7', '192.0.2.0/24') && !IpInRange('192.0.2.7', '192.0.2.7')",
                "true",
            ),
            (
                "IpInRange('x', '192.0.2.0/24') || IpInRange('192.0.2.7', 'x')",
                "false",
            ),
            ("IpInRange('::ffff:192.0.2.7', '192.0.2.0/24')", "true"),
            (
                "IpToRange('192.0.2.7', '/24') + ' ' + IpToRange('2001:db8::1', '64')",
                "192.0.2.0/24 2001:db8::/64",
            ),
            ("IpToRange('192.0.2.7', '99')", ""),
            (
                "IsIP('::1') && IsIPV4('1.2.3.4') && IsIPV6('::1') && !IsIPV4('::1') && !IsIP('1.2.3')",
                "true",
            ),
            (
                "round(Distance('51.45', '1.15', '41.54', '12.27'))",
                "1389.0",
            ),
            ("Distance('0.0', '0', '41.54', '12.27')", "0.0"),
            (
                "Distance('', '1', '1', '1')",
                "error: Distance: a coordinate is not a number",
            ),
            ("int('12') + int(3.9) + int(-3.9)", "12"),
            ("int('')", "error: int: the text is not a whole number"),
            ("float('1.5') + Atof('x')", "1.5"),
            ("max(1, 3, 2) + min([4, 2])", "5"),
            (
                "mean([1, 2, 3]) + median([1, 2, 3, 4]) + abs(-1) + ceil(0.5) + floor(1.5)",
                "7.5",
            ),
            ("ParseUnix('1600000000.5')", "2020-09-13T12:26:40Z"),
            ("type('a') + type(1) + type(nil)", "stringintnil"),
            ("bitand(6, 3) + bitor(4, 1) + bitxor(5, 1)", "11"),
            ("FloatApproxEqual(1.0, 1.0000001)", "true"),
            (
                "keys({a: 1}) == ['a'] && values({a: 1}) == [1] && toPairs({a: 1}) == [['a', 1]]",
                "true",
            ),
            (
                "fromPairs([['a', 1]]).a + first([7]) + last([8]) + take([1, 2], 1)[0]",
                "17",
            ),
            (
                "reverse([1, 2]) == [2, 1] && uniq([1, 1]) == [1] && flatten([[1], 2]) == [1, 2]",
                "true",
            ),
            (
                "KeyExists('program', evt.Parsed) && !KeyExists('x', evt.Unmarshaled.j)",
                "true",
            ),
            ("'program' in evt.Parsed && 'x' not in evt.Parsed", "true"),
        ],
    );
}

#[test]
fn services_and_times() {
    check(
        &mut World::new(),
        &[
            ("TimeNow() + Hostname()", "2026-11-21T20:00:00Zguard"),
            (
                "evt.Time.Hour() >= 18 && evt.Time.Weekday().String() == 'Saturday'",
                "true",
            ),
            (
                "evt.Time.Month().String() + string(evt.Time.Year())",
                "November2026",
            ),
            (
                "evt.Time.Format('02/Jan/2006 15:04:05')",
                "21/Nov/2026 19:05:09",
            ),
            ("now() - evt.Time > duration('50m')", "true"),
            ("now().Sub(evt.Time)", "54m51s"),
            (
                "MedianInterval([date('2026-01-01'), date('2026-01-02'), date('2026-01-05')])",
                "48h0m0s",
            ),
            (
                "AverageInterval([date('2026-01-01'), date('2026-01-05')])",
                "96h0m0s",
            ),
            (
                "MedianInterval([])",
                "error: MedianInterval: two times are needed at least",
            ),
            (
                "GetFromStash('progs', '42') + GetFromStash('progs', '43')",
                "cron",
            ),
            (
                "RegexpInFile('BadXBot', 'bots.txt') && !RegexpInFile('x', 'bots.txt')",
                "true",
            ),
            (
                "LookupFile('/wp-login', 'tech.json') + LookupFile('/x', 'tech.json')",
                "wordpress",
            ),
            ("FileMap('tech.json')[0].tag", "wordpress"),
            (
                "GetDecisionsCount('192.0.2.7') + GetDecisionsSinceCount('192.0.2.7', '24h')",
                "0",
            ),
            (
                "evt.GetType() + evt.GetMeta('service') + evt.GetMeta('none')",
                "logssh",
            ),
            ("LogInfo('seen %s', evt.Parsed.program)", "true"),
        ],
    );
    check(
        &mut World::new().overflow(),
        &[
            ("evt.GetType()", "overflow"),
            (
                "evt.Overflow.Alert.GetScenario() + evt.Overflow.Alert.GetScope()",
                "test/ssh-bfIp",
            ),
            (
                "evt.Overflow.Alert.Source.IP + evt.Overflow.Alert.Source.Range",
                "192.0.2.7192.0.2.0/24",
            ),
            ("evt.Overflow.Sources['192.0.2.7'].GetValue()", "192.0.2.7"),
            ("'192.0.2.7' in evt.Overflow.GetSources()", "true"),
            (
                "evt.Overflow.Alert.Remediation == true && evt.Overflow.Alert.GetEventsCount() == 6",
                "true",
            ),
            (
                "all(evt.Overflow.Alert.Events, {.GetMeta('exe') in ['/usr/bin/dpkg', '/x']})",
                "true",
            ),
            (
                "evt.Overflow.Alert.Events[0].GetMeta('timestamp')[4:]",
                "-11-21T19:05:09Z",
            ),
            ("evt.GetMeta('exe')", "/usr/bin/dpkg"),
            (
                "IpToRange(evt.Overflow.Alert.Source.IP, '/64') == ''",
                "true",
            ),
        ],
    );
}

#[test]
fn writes_come_out_as_effects_and_are_seen_by_the_rest() {
    let mut world = World::new();
    let effects = RefCell::new(Vec::new());
    let run = |world: &mut World, source: &str| {
        let expr = compile(source, Vars::Event, &mut world.symbols).unwrap();
        let env = Env::new(&world.event, &world.symbols, &world.services, &effects);
        expr.test(&env)
    };
    let set = "evt.SetMeta('cve', 'CVE-1') && evt.Meta.cve == 'CVE-1' && evt.SetParsed('p', 'q')";
    assert_eq!(run(&mut world, set), Ok(true));
    let json = "UnmarshalJSON(evt.Parsed.json, evt.Unmarshaled, 'new') in ['', nil] \
                && evt.Unmarshaled.new.a.b[1] == 'two'";
    assert_eq!(run(&mut world, json), Ok(true));
    let pairs = "ParseKV(evt.Parsed.kv, evt.Unmarshaled, 'pairs') == nil \
                 && evt.Unmarshaled.pairs.b == 'x y' && evt.Unmarshaled.pairs.none == ''";
    assert_eq!(run(&mut world, pairs), Ok(true));
    assert!(
        run(
            &mut world,
            "UnmarshalJSON('{', evt.Unmarshaled, 'x') in ['', nil]"
        )
        .is_err()
    );
    assert!(
        run(
            &mut world,
            "ParseKV('nothing', evt.Unmarshaled, 'x') in ['', nil]"
        )
        .is_err()
    );
    assert!(run(&mut world, "ParseKV('a=1', evt.Unmarshaled, 'j') == nil").is_err());
    assert_eq!(run(&mut world, "LogInfo('x %d', 5)"), Ok(true));

    let log = apply_effects(
        &mut effects.borrow_mut(),
        &mut world.event,
        &mut world.symbols,
    );
    assert_eq!(log, ["x 5"]);
    assert!(effects.borrow().is_empty());
    check(
        &mut world,
        &[
            ("evt.Meta.cve + evt.Parsed.p", "CVE-1q"),
            ("evt.Unmarshaled.new.n", "1600000000.0"),
            ("evt.Unmarshaled.pairs.a + evt.Unmarshaled.pairs.none", "1"),
        ],
    );
}

struct Queue(Vec<(&'static str, Timestamp)>);

impl QueueView for Queue {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn field(&self, index: usize, map: FieldMap, _: Sym) -> &str {
        if map == FieldMap::Meta {
            self.0[index].0
        } else {
            ""
        }
    }

    fn time(&self, index: usize) -> Timestamp {
        self.0[index].1
    }
}

#[test]
fn conditions_see_the_queue() {
    let mut world = World::new();
    let at = Timestamp::from_seconds;
    let queue = Queue(vec![
        ("a", at(0)),
        ("b", at(700)),
        ("b", at(1500)),
        ("b", at(2200)),
    ]);
    let effects = RefCell::default();
    for (source, expected) in [
        (
            "len(queue.Queue) >= 4 && queue.Queue[-1].Meta.exe == queue.Queue[1].Meta.exe",
            true,
        ),
        (
            "any(queue.Queue, {.Meta.exe in ['a', 'z']}) and !all(queue.Queue, {#.Meta.exe == 'a'})",
            true,
        ),
        (
            "count(queue.Queue, #.Meta.exe startsWith 'b' or #.Meta.exe == 'c') > 2",
            true,
        ),
        (
            "let failed = filter(queue.Queue, {#.Meta.log_type == 'b'}); len(failed) >= 3 && \
             MedianInterval(map(failed[-3:], {#.Time})) > duration('10m')",
            true,
        ),
        (
            "leaky.Total_count == 4 && queue.Queue[0].GetMeta('exe') == 'a'",
            true,
        ),
        ("len(queue.Queue) == 1", false),
    ] {
        let expr = compile(source, Vars::Condition, &mut world.symbols).unwrap();
        let mut env = Env::new(&world.event, &world.symbols, &world.services, &effects);
        env.queue = Some(&queue);
        assert_eq!(expr.test(&env), Ok(expected), "{source}");
    }
    let expr = compile("len(queue.Queue) > 0", Vars::Condition, &mut world.symbols).unwrap();
    let env = Env::new(&world.event, &world.symbols, &world.services, &effects);
    assert_eq!(expr.test(&env), Err(EvalError::Unset { name: "queue" }));
}

struct Results<'w>(&'w Event);

impl Object for Results<'_> {
    fn member(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "s01-parse" => Some(Value::object(self)),
            "Evt" => Some(Value::event(self.0)),
            "Success" => Some(Value::Bool(true)),
            "Overflow" => self.0.overflow.as_deref().map(Value::overflow),
            _ => None,
        }
    }

    fn item(&self, index: usize) -> Option<Value<'_>> {
        (index == 0).then_some(Value::object(self))
    }

    fn length(&self) -> Option<usize> {
        Some(1)
    }
}

#[test]
fn assertions_look_into_results() {
    let mut world = World::new().overflow();
    let effects = RefCell::default();
    for source in [
        "len(results) == 1",
        r#"results["s01-parse"][0].Success == true"#,
        r#"results["s01-parse"][0].Evt.Parsed["program"] == "sshd""#,
        r#"results["s01-parse"][0].Evt.Meta["log_type"][4:] == "failed-auth""#,
        r#"results["s01-parse"][0].Evt.Unmarshaled["j"]["n"] == 200"#,
        r#"FloatApproxEqual(results["s01-parse"][0].Evt.Unmarshaled["j"]["f"], 1.500000)"#,
        r#"results["s01-parse"][0].Evt.Whitelisted == false"#,
        r#"basename("/a/b/" + results["s01-parse"][0].Evt.Parsed["program"]) == "sshd""#,
        r#""192.0.2.7" in results[0].Overflow.GetSources()"#,
        r#"results[0].Overflow.Sources["192.0.2.7"].IP == "192.0.2.7""#,
        r#"results[0].Overflow.Sources["192.0.2.7"].GetScope() == "Ip""#,
        r#"results[0].Overflow.Alert.Events[0].GetMeta("exe") == "/usr/bin/dpkg""#,
        r#"results[0].Overflow.Alert.GetScenario() == "test/ssh-bf""#,
        r#"results[0].Overflow.Alert.Remediation == true"#,
        r#"results[0].Overflow.Alert.GetEventsCount() == 6"#,
    ] {
        let expr = compile(source, Vars::Results, &mut world.symbols)
            .unwrap_or_else(|e| panic!("{source}: {e}"));
        let results = Results(&world.event);
        let mut env = Env::new(&world.event, &world.symbols, &world.services, &effects);
        env.results = Some(&results);
        assert_eq!(expr.test(&env), Ok(true), "{source}");
    }
}

#[test]
fn mistakes_are_found_when_rules_load() {
    let mut symbols = Symbols::default();
    for (source, offset, message, fix) in [
        ("evt.Prased.x == 'a'", 3, ".Prased", "did you mean .Parsed"),
        (
            "evnt.Parsed.x == 'a'",
            0,
            "unknown name evnt",
            "did you mean evt",
        ),
        ("evt.Parsed.x == abc", 16, "unknown name abc", "quote it"),
        (
            "Uper(evt.Parsed.x) == 'A'",
            0,
            "unknown function Uper",
            "did you mean Upper()",
        ),
        ("Upper() == 'A'", 0, "takes 1 arguments", "Upper(text)"),
        ("Upper(5) == 'A'", 0, "must be text", "Upper(text)"),
        ("evt.Parsed.x == 5", 13, "compares text", "int(field)"),
        ("evt.Parsed.x", 0, "", ""),
        (
            "evt.Parsed.x && true",
            10,
            "true or false, not text",
            "compare it",
        ),
        (
            "evt.Parsed.x matches '('",
            21,
            "regular expression",
            "balance",
        ),
        ("evt.Parsed.x = 'a'", 13, "unexpected \"=\"", "=="),
        ("evt.Parsed.x == 'a", 16, "without an end", "same quote"),
        ("(evt.Parsed.x == 'a'", 20, "expected \")\"", "close"),
        (
            "evt.Parsed.x == 'a' evt.Parsed.y",
            20,
            "unexpected evt",
            "operator is missing",
        ),
        ("any(File('x'))", 0, "", ""),
        ("# == 1", 0, "outside of a closure", "any("),
        ("evt.Nope()", 3, "no method", ""),
        (
            "evt.SetMeta('a')",
            3,
            "takes a key and a value",
            "evt.SetMeta",
        ),
        (
            "UnmarshalJSON(evt.Line.Raw, evt.Parsed, 'x')",
            31,
            "only write into evt.Unmarshaled",
            "evt.Unmarshaled",
        ),
        ("queue.Queue[0].Meta.x == ''", 0, "unknown name queue", ""),
        ("basename('x') == 'x'", 0, "test assertions only", ""),
        (
            "let evt = 1; true",
            0,
            "already has a meaning",
            "another name",
        ),
        ("if true { true }", 16, "if without else", "else"),
        ("", 0, "empty", ""),
    ] {
        match compile(source, Vars::Event, &mut symbols) {
            Ok(_) => assert!(
                message.is_empty() && !source.is_empty(),
                "{source} compiles"
            ),
            Err(e) => {
                assert!(
                    e.message.contains(message) && !message.is_empty(),
                    "{source}: {e:?}"
                );
                assert!(e.fix.contains(fix) && !e.fix.is_empty(), "{source}: {e:?}");
                assert_eq!(e.offset, offset, "{source}: {e:?}");
            }
        }
    }
}

#[test]
fn requirements_are_sure_facts() {
    let mut symbols = Symbols::default();
    let mut facts = |source: &str| {
        let expr = compile(source, Vars::Event, &mut symbols).unwrap();
        let show = |atoms: &[FieldAtom]| -> Vec<String> {
            atoms
                .iter()
                .map(|a| format!("{:?}.{}={}", a.map, symbols.name(a.sym), a.any_of.join("|")))
                .collect()
        };
        let r = expr.requirements();
        (show(&r.equals), show(&r.contains), r.line_contains.concat())
    };
    let source = "evt.Meta.log_type in ['a', 'b'] && (evt.Meta.service == 'x' || evt.Meta.service == 'y') \
                  && evt.Line.Raw contains 'Failed' && not (evt.Parsed.z == 'q')";
    let (equals, contains, line) = facts(source);
    assert_eq!(equals, ["Meta.log_type=a|b", "Meta.service=x|y"]);
    assert_eq!(contains, ["Meta.log_type=a|b", "Meta.service=x|y"]);
    assert_eq!(line, ["Failed"]);
    let (equals, contains, _) = facts("evt.Meta.a == 'x' || evt.Meta.b == 'y'");
    assert!(equals.is_empty() && contains.is_empty());
    let (equals, contains, _) =
        facts("evt.Meta.a == '' && any(File('f'), {evt.Parsed.u contains 'lit' && # == 'x'})");
    assert_eq!(
        (equals, contains),
        (vec!["Meta.a=".to_owned()], vec!["Parsed.u=lit".to_owned()])
    );
    let (equals, ..) = facts("if evt.Meta.s == 'http' { let t = 1; t == 1 } else { false }");
    assert_eq!(equals, ["Meta.s=http"]);
    let (_, contains, _) = facts("evt.Parsed.u endsWith '.php' || evt.Parsed.u contains 'wp-'");
    assert_eq!(contains, ["Parsed.u=.php|wp-"]);
    let expr = compile(
        "File('a.txt') == [] && LookupFile(evt.Parsed.q, 'b.json') == ''",
        Vars::Event,
        &mut symbols,
    );
    let requirements = expr.unwrap().program.requirements;
    assert_eq!(requirements.files, ["a.txt", "b.json"]);
    assert_eq!(
        requirements.reads,
        [(FieldMap::Parsed, symbols.intern("q"))]
    );
}

#[test]
fn a_list_asked_at_once_answers_like_one_by_one() {
    let mut world = World::new();
    // `true &&` hides the comparison, so that the closure runs for each line.
    let bodies = [
        "evt.Parsed.path contains #",
        "Upper(evt.Parsed.path) contains Upper(#)",
        "Lower(evt.Parsed.path) startsWith #",
        "evt.Parsed.path endsWith #",
        "evt.Parsed.path == #",
        "evt.Parsed.path contains Replace(#, '/', '', 1)",
    ];
    let mut seen = [0; 2];
    for path in [
        "",
        "/x/admin",
        "/ADMIN",
        "/admin",
        "a%ff",
        "%FF",
        "/backup/",
        "/adm\u{131}n",
    ] {
        world.set(FieldMap::Parsed, "path", path);
        for body in bodies {
            let at_once = world.test(&format!("any(File('paths.txt'), {{ {body} }})"));
            let one_by_one = world.test(&format!("any(File('paths.txt'), {{ true && {body} }})"));
            assert_eq!(at_once, one_by_one, "{path} {body}");
            seen[usize::from(at_once)] += 1;
            let choice = format!("any(File('paths.txt'), {{ {body} ? # endsWith 'n' : false }})");
            let expected = format!("any(File('paths.txt'), {{ {body} && # endsWith 'n' }})");
            assert_eq!(world.test(&choice), world.test(&expected), "{path} {body}");
        }
    }
    assert!(seen.iter().all(|count| *count > 8), "{seen:?}");
    assert!(!world.test("any(File('gone.txt'), { evt.Parsed.path contains # })"));
}

#[test]
fn long_chains_are_flat_and_deep_ones_are_refused() {
    let mut world = World::new();
    let chain: Vec<String> = (0..5_000)
        .map(|i| format!("evt.Parsed.program == 'p{i}'"))
        .collect();
    assert!(!world.test(&chain.join(" || ")));
    assert!(world.test(&format!(
        "{} || evt.Parsed.program == 'sshd'",
        chain.join(" or ")
    )));
    let all: Vec<String> = (0..5_000)
        .map(|i| format!("evt.Parsed.program != 'p{i}'"))
        .collect();
    assert!(world.test(&all.join(" && ")));
    assert_eq!(world.show(&vec!["'ab'"; 2_000].join(" + ")).len(), 4_000);
    for deep in [
        format!("{}1{}", "(".repeat(50_000), ")".repeat(50_000)),
        format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000)),
        "!".repeat(50_000),
        "-".repeat(50_000),
        vec!["1"; 50_000].join(" - "),
        vec!["1"; 50_000].join(" ** "),
        format!("evt{}", ".a".repeat(50_000)),
        format!("evt.Unmarshaled{}", "[0]".repeat(50_000)),
        format!("{}1", "true ? 1 : ".repeat(50_000)),
        format!("{}1", "let x = 1; ".repeat(50_000)),
        format!("{}1{}", "any([1], {".repeat(50_000), "})".repeat(50_000)),
    ] {
        let e = compile(&deep, Vars::Event, &mut world.symbols)
            .err()
            .map(|e| e.message);
        assert!(e.is_some(), "{}", &deep[..40]);
    }
    let fits = format!("{}true{}", "!(".repeat(40), ")".repeat(40));
    assert!(world.test(&fits));
}

/// What is just not too deep must fit the stack of a thread, also when it is not optimised.
#[test]
fn the_deepest_expressions_fit_the_stack() {
    let mut world = World::new();
    let mut deepest = |make: &dyn Fn(usize) -> String| {
        let fits = |n: &usize| compile(&make(*n), Vars::Event, &mut Symbols::default()).is_ok();
        let most = (1..200).rev().find(fits).unwrap_or_default();
        assert!(most >= 20, "{}", make(1));
        world.show(&make(most))
    };
    assert_eq!(deepest(&|n| format!("{}true", "!".repeat(2 * n))), "true");
    assert_eq!(
        deepest(&|n| format!("{}5", "true ? ".repeat(n)) + &" : 1".repeat(n)),
        "5"
    );
    assert_eq!(deepest(&|n| format!("{}x", "let x = 1; ".repeat(n))), "1");
    assert_eq!(
        deepest(&|n| format!("{}7{}", "max([".repeat(n), "])".repeat(n))),
        "7"
    );
    let nested = |n: usize| format!("{}true{}", "any([1], {".repeat(n), "})".repeat(n));
    assert_eq!(deepest(&nested), "true");
    assert_eq!(
        deepest(&|n| vec!["8"; n].join(" - "))
            .parse::<i64>()
            .map(|n| n < 0),
        Ok(true)
    );
    assert_eq!(
        deepest(&|n| format!("{}[1]{}", "flatten([".repeat(n), "])".repeat(n))),
        "[1]"
    );
}

#[test]
fn work_is_bounded() {
    let mut world = World::new();
    for source in [
        "len(1..1000000000)",
        "repeat('a', 1000000000000)",
        "all(1..2000, {all(1..2000, {true})})",
        "let a = repeat('a', 100000); let b = a + a; let c = b + b; let d = c + c; let e = d + d; \
         let f = e + e; let g = f + f; let h = g + g; let i = h + h; let j = i + i; len(j)",
        "uniq(map(1..100000, {#}))",
        "reduce(1..1000, #acc + #acc, 'x')",
        "reduce(1..100000, [#acc], 0)",
        "reduce(1..100000, ({a: #acc}), 0)",
        "any(1..900000, {repeat('ab', 1000) contains 'c'})",
    ] {
        assert_eq!(
            world.show(source),
            "error: the expression took too many steps",
            "{source}"
        );
    }
}

#[test]
fn constants_are_folded() {
    let mut symbols = Symbols::default();
    let expr = compile(
        "evt.Parsed.a contains Upper('x')",
        Vars::Event,
        &mut symbols,
    )
    .unwrap();
    assert!(matches!(expr.program.root, node::Node::ContainsText(_)));
    let expr = compile("evt.Parsed.a == Lower('X')", Vars::Event, &mut symbols).unwrap();
    assert!(matches!(expr.program.root, node::Node::FieldEqual(..)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_text_is_harmless(source in "\\PC{0,60}") {
        let mut world = World::new();
        let World { event, symbols, services } = &mut world;
        fuzz(&source, Vars::Event, symbols, event, services);
    }

    #[test]
    fn any_tokens_are_harmless(words in proptest::collection::vec(prop::sample::select(WORDS), 0..24)) {
        let mut world = World::new();
        let World { event, symbols, services } = &mut world;
        fuzz(&words.join(" "), Vars::Event, symbols, event, services);
        fuzz(&words.concat(), Vars::Event, symbols, event, services);
    }

    #[test]
    fn every_function_bears_any_arguments(
        name in prop::sample::select(functions::names().collect::<Vec<_>>()),
        arguments in proptest::collection::vec(prop::sample::select(ARGUMENTS), 0..5),
    ) {
        let mut world = World::new();
        let World { event, symbols, services } = &mut world;
        fuzz(&format!("{name}({})", arguments.join(", ")), Vars::Event, symbols, event, services);
    }
}

const WORDS: &[&str] = &[
    "evt",
    ".Parsed",
    ".program",
    ".Unmarshaled",
    ".j",
    "?.",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    "'a'",
    "\"",
    "1",
    "-1",
    "2.5",
    "nil",
    "true",
    "==",
    "!=",
    "in",
    "not",
    "and",
    "or",
    "||",
    "&&",
    "??",
    "?",
    ":",
    "+",
    "-",
    "*",
    "/",
    "%",
    "**",
    "..",
    "|",
    ",",
    ";",
    "#",
    ".x",
    "let",
    "x",
    "=",
    "if",
    "else",
    "any",
    "map",
    "filter",
    "reduce",
    "Upper",
    "len",
    "matches",
    "contains",
    "[1, 2]",
    "'('",
    "evt.Unmarshaled.j.list",
    "File('paths.txt')",
    "evt.Time",
    ".Hour()",
    "\\",
    "é",
];

const ARGUMENTS: &[&str] = &[
    "''",
    "'a'",
    "'é%zz'",
    "0",
    "-1",
    "9223372036854775807",
    "1.5",
    "-0.0",
    "nil",
    "true",
    "[]",
    "[1, 'a', nil]",
    "{}",
    "{a: [1]}",
    "evt.Unmarshaled.j",
    "evt.Unmarshaled.j.list",
    "evt.Parsed",
    "evt",
    "evt.Time",
    "now()",
    "duration('1s')",
    "evt.Parsed.json",
    "'a.b[0]'",
    "'%v %d %s %5.2f'",
    "'192.0.2.1'",
    "'/24'",
    "'paths.txt'",
    "1..5",
    "['a', 'b']",
    "'%!'",
    "evt.Unmarshaled",
];

/// How long one evaluation takes; run in release with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a test"]
fn cost_of_common_expressions() {
    let mut world = World::new();
    for source in [
        "evt.Parsed.program == 'sshd' && evt.Meta.log_type in ['ssh_failed-auth', 'x', 'y']",
        "evt.Line.Labels.type == 'syslog'",
        "evt.Parsed.program endsWith 'x' || evt.Line.Raw contains 'password'",
        "Upper(evt.Parsed.path) contains Upper('.php')",
        "any(File('paths.txt'), {Lower(evt.Parsed.path) contains #})",
        "evt.Parsed.path matches '(?i)\\\\.(php|asp)'",
        "JsonExtract(evt.Parsed.json, 'a.b[1]') == 'two'",
    ] {
        let expr = compile(source, Vars::Event, &mut world.symbols).unwrap();
        let effects = RefCell::default();
        let env = Env::new(&world.event, &world.symbols, &world.services, &effects);
        let start = std::time::Instant::now();
        let rounds = 1_000_000_u32;
        let mut count = 0;
        for _ in 0..rounds {
            count += u32::from(std::hint::black_box(&expr).test(&env).unwrap_or(false));
        }
        let nanos = start.elapsed().as_nanos() / u128::from(rounds);
        println!("{nanos:>6} ns  {} {source}", count > 0);
    }
}
