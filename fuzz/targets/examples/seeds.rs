//! Writes the inputs the fuzzers begin with: `cargo run -p fuzz-targets --example seeds`.
//!
//! Small, of every form the parsers know, and all made up.

use std::{fs, io, path::Path, time::Duration};

use casework::persons::{Signer, sign_person_act};
use enforce::fuzzing::written;
use fuzz_targets::{fleet_frame_seeds, fleet_snapshot_seeds, snapshot_seed};
use ledger::{
    AddCheckpoint, Checkpoint, CosigningKey, Hash, Leaf, ProofFile, Salt, SigningKey, commitment,
    leaf_hash,
};
use model::{ContentHash, HandoverAct, PersonAct, Timestamp};

fn main() -> io::Result<()> {
    let ledger = ledger_seeds();
    let snapshots = [
        snapshot_seed(&[]),
        snapshot_seed(&["leaky 1", "leaky 1", "counter 7"]),
        snapshot_seed(&["trigger 1", "conditional 1", "conditional 2"]),
        snapshot_seed(&["leaky 1", "leaky 2", "leaky 3", "leaky 4", "leaky 5"]),
        [&[1], &snapshot_seed(&["counter 1"])[..]].concat(),
    ];
    put("fleet_frame", &fleet_frame_seeds())?;
    put("fleet_snapshot", &fleet_snapshot_seeds())?;
    put("checkpoint", &ledger)?;
    put("witness", &witness_seeds())?;
    put("court_pack", &fuzz_targets::court_pack_seeds())?;
    put("time_stamp", &[STAMP_REFUSED, STAMP_EMPTY])?;
    put("time_server", &time_servers())?;
    put("snapshot", &snapshots)?;
    put("netlink_reply", &netlink())?;
    put("journal_export", &journal())?;
    put("syslog", &knobbed(&[7], SYSLOG))?;
    put("date", &knobbed(&[], DATES))?;
    put("grok", &knobbed(&[], GROKS))?;
    put("expression", &knobbed(&[0], EXPRESSIONS))?;
    put("expression-condition", &knobbed(&[1], CONDITIONS))?;
    for (folder, text) in (0..).zip(RULES) {
        put(&format!("rule_yaml-{folder}"), &knobbed(&[folder], &[text]))?;
    }
    put("sigma", &knobbed(&[0], SIGMA))?;
    put("lapi_alert", &knobbed(&[0], ALERTS))?;
    put("lapi_alert-metrics", &knobbed(&[1], METRICS))?;
    put("lapi_alert-query", &knobbed(&[2], QUERIES))?;
    put("lapi_alert-duration", &knobbed(&[3], DURATIONS))?;
    put("handover_act", &handovers())?;
    put("person", &persons())?;
    put("referral_cut", CUTS)?;
    put("submission", &knobbed(&[0], HEADERS))?;
    put("submission-json", &knobbed(&[1], SUBMISSIONS))?;
    put("submission-digest", &knobbed(&[2], DIGESTS))?;
    put("referral_lines", &knobbed(&[0], PART_LINES))?;
    put("referral_lines-abroad", &knobbed(&[1], PART_LINES))?;
    put("openc2", COMMANDS)?;
    put("warninglist", WARNINGLISTS)?;
    put("line", &knobbed(&[0, 5], SYSLOG_LINES))?;
    put("line-web", &knobbed(&[1, 14], WEB_LINES))
}

/// Each input into a file of the target's corpus; what follows a dash sets groups apart.
fn put<T: AsRef<[u8]>>(group: &str, inputs: &[T]) -> io::Result<()> {
    let target = group.split('-').next().unwrap_or(group);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../corpus")
        .join(target);
    fs::create_dir_all(&folder)?;
    for (number, input) in inputs.iter().enumerate() {
        fs::write(folder.join(format!("seed-{group}-{number}")), input)?;
    }
    Ok(())
}

fn knobbed(knobs: &[u8], texts: &[&str]) -> Vec<Vec<u8>> {
    texts
        .iter()
        .map(|text| [knobs, text.as_bytes()].concat())
        .collect()
}

/// An answer of a clock of its own, a refusal, and one that has lost its time.
fn time_servers() -> Vec<Vec<u8>> {
    let noon = u32::to_be_bytes(4_004_280_000);
    let answer = |head: [u8; 2], reference: &[u8; 4]| {
        let mut packet = vec![0; 48];
        packet[..2].copy_from_slice(&head);
        packet[12..16].copy_from_slice(reference);
        packet[32..36].copy_from_slice(&noon);
        packet[40..44].copy_from_slice(&noon);
        // How long it took, in microseconds.
        [&20_000u32.to_be_bytes()[..], &packet].concat()
    };
    vec![
        answer([0x24, 1], b"GPS\0"),
        answer([0x24, 0], b"RATE"),
        answer([0xe4, 16], &[0; 4]),
        answer([0x1c, 2], &[192, 0, 2, 1])[..40].to_vec(),
    ]
}

const HEADERS: &[&str] = &["eyJmaWxlX25hbWUiOiJhLmxvZyIsImF1dGhvcml0eSI6ImNvbnRyYWN0IDcifQ=="];
const SUBMISSIONS: &[&str] = &[
    r#"{"file_name":"a.log","authority":"contract 7"}"#,
    r#"{"file_name":"a","authority":"x","title":"t","method":"log_pull","case":"CASE-2026-0001",
        "class":"log","tlp":"amber+strict","reason":"r","media_type":"text/plain","place":"h",
        "first_seen":"2026-11-21T17:51:01Z","tool":{"name":"n","version":"1","rules_hash":"",
        "arguments":""},"clock":{"synchronised":true,"offset_microseconds":-3,
        "error_bound_microseconds":9,"told_by":"adjtimex","time_zone":"UTC"},"note":"n\nm"}"#,
    r#"{"file_name":"a"}"#,
];
const DIGESTS: &[&str] = &[
    "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
    "md5=:AA==:, sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:;p=1",
];
const ALERTS: &[&str] = &[
    "[]",
    "null",
    r#"[{"capacity":5}]"#,
    r#"[{"capacity":5,"decisions":null,"events":[{"meta":[{"key":"source_ip","value":"192.0.2.7"}],
        "timestamp":"2026-11-21T17:51:01Z"}],"events_count":6,"labels":null,"leakspeed":"10s",
        "message":"m","remediation":true,"scenario":"a/ssh-bf","scenario_hash":"h",
        "scenario_version":"0.3","simulated":false,"source":{"scope":"Ip","value":"192.0.2.7",
        "latitude":0.5},"start_at":"2026-11-21T17:51:01Z","stop_at":"2026-11-21T17:51:03Z"}]"#,
    r#"[{"capacity":0,"decisions":[{"duration":"4h","origin":"cscli","scenario":"manual",
        "scope":"Range","type":"ban","value":"198.51.100.0/24"}],"events":[],"events_count":1,
        "leakspeed":"0","message":"","scenario":"manual","scenario_hash":"","scenario_version":"",
        "simulated":false,"source":{"scope":"Range","value":"198.51.100.0/24"},"start_at":"",
        "stop_at":"","meta":[],"kind":"cscli","unknown":[[[{}]]]}]"#,
];
const METRICS: &[&str] = &[
    r#"{"remediation_components":[{"type":"b","version":"1","metrics":[{"meta":{},"items":[
        {"name":"active_decisions","unit":"ip","value":3},{"name":"dropped","unit":"packet",
        "value":1e40},{"name":"dropped","unit":"packet","value":-1}]}]}],"log_processors":null}"#,
];
const QUERIES: &[&str] = &[
    "startup=true&scopes=ip%2Crange&origins=crowdsec,cscli&scenarios_not_containing=http",
    "ip=2001:db8::1&contains=false&type=ban&scope=Ip&value=x",
    "since=-4h&until=1h&limit=0&has_active_decision=true&range=198.51.100.0/24",
    "a=%zz&&=&b+c=%e2%82",
];
const DURATIONS: &[&str] = &[
    "4h0m0s",
    "-1m3s",
    "1.5ms",
    "123.4s",
    ".5us",
    "106751d23h47m16.854s",
];
const COMMANDS: &[&str] = &[
    r#"{"headers":{"request_id":"r","created":1795000000000,"from":"a"},"body":{"openc2":{"request":
        {"action":"deny","target":{"ipv4_net":"198.51.100.3/32"},"args":{"start_time":1795291200000,
        "duration":14400000,"response_requested":"complete","pf":{"drop_process":"none",
        "direction":"ingress","persistent":true,"logged":true}},"actuator":{"pf":{"named_group":
        "g"}},"command_id":"c-1"}}}}"#,
    r#"{"action":"allow","target":{"ipv6_net":["2001:db8::",32]},"args":{"stop_time":1795291260000}}"#,
    r#"{"action":"delete","target":{"slpf:rule_number":1234}}"#,
    r#"{"action":"query","target":{"features":["versions","profiles","pairs","rate_limit"]}}"#,
    r#"{"action":"deny","target":{"ipv4_connection":{"src_addr":"192.0.2.1"}}}"#,
    r#"{"action":"update","target":{"file":{"name":"x"}},"args":{"slpf":{"insert_rule":1}}}"#,
];
const WARNINGLISTS: &[&str] = &[
    r#"{"name":"a","version":20260820,"type":"cidr","list":["192.0.2.0/24","2001:db8::/32",
        "192.0.2.0/24","x"],"matching_attributes":["ip-src"]}"#,
    r#"{"type":"hostname","version":"1","list":["example.org",".example.net",7,null,["a"]]}"#,
    r#"{"type":"string","list":["198.51.100.1"],"description":null}"#,
    r#"{"type":"regex","list":["^a.*$","192.0.2.1"],"list2":{"deep":[[[1.5e3]]]}}"#,
];

const SIGMA: &[&str] = &[
    "title: a\nlogsource: {product: aws, service: cloudtrail}\ndetection:\n  s: {eventName|startswith: Del, \
     n|gte: 3}\n  f: {userIdentity.arn|re|i: ':role/x+$'}\n  condition: s and not f\n====\n\
     {\"eventSource\":\"x\",\"eventName\":\"DeleteTrail\",\"n\":4,\"userIdentity\":{\"arn\":\"a:ROLE/x\"}}",
    "title: b\nlogsource: {product: windows, category: process_creation}\ndetection:\n  s:\n    \
     CommandLine|contains|all|windash: [' -a', 'b*c?d']\n    Image: null\n  k: ['word', 'x*y']\n  \
     condition: 1 of them\n====\n{\"Event\":{\"System\":{\"EventID\":1,\"Channel\":\
     \"Microsoft-Windows-Sysmon/Operational\"},\"EventData\":{\"CommandLine\":\"x /a bacbd\"}}}",
    "title: c\nname: c\nlogsource: {product: linux, service: auditd}\ndetection:\n  s: {type: EXECVE, \
     a0|endswith: sh, a1|base64offset|contains: id}\n  condition: s\n---\ntitle: d\n\
     correlation:\n  \
     type: event_count\n  rules: [c]\n  timespan: 5m\n  condition: {gte: 2}\n====\n\
     type=EXECVE msg=audit(1.0:1): a0=\"bash\" a1=2D6320",
    "action: global\ntitle: e\nlogsource: {category: webserver}\n---\ndetection:\n  s: {c-ip|cidr: \
     192.0.2.0/24, x|fieldref: y, z|exists: false, w|expand: '%p%'}\n  condition: not s\n====\n{}",
];

const SYSLOG: &[&str] = &[
    "<34>Nov 21 20:15:01 web1 sshd[42]: Failed password for root from 192.0.2.7",
    "<165>1 2026-11-21T20:15:00.5Z web1 app 7 ID47 [a@1 k=\"v\\]\"][b x=\"y\"] \u{feff}hello",
    "<13>1 - - - - - - nothing",
    "<189>29: *Nov  1 2026 01:02:03.004 UTC: %SYS-5-CONFIG_I: Configured",
    "5 <1>ab<2>line\r\n6 <3>\ncd\n<4>nul\0<5>end",
    "12 monkeys\n2026-11-21 20:15:00,123 app: x\n<7>kernel: y\n",
    "<30>2026-11-21T20:15:00+01:00 host ident[9] text",
    "<191>Feb 29 00:00:60 h t: leap",
];

const DATES: &[&str] = &[
    "\n2026-11-21T20:15:00.123456789+02:00",
    "Jan _2 15:04:05\nNov  1 20:15:00",
    "02/Jan/2006:15:04:05 -0700\n21/Nov/2026:20:15:01 +0000",
    "Mon Jan 2 15:04:05.000000 2006 MST\nSat Nov 21 20:15:01.123456 2026 CET",
    "2006-002T03:04:05PM Z07:00:00\n2026-325T08:15:01PM -01:30:15",
    "06/1/2 15h4m5.999\n26/11/21 20h15m1.5",
    "\n1795291200.25",
    "\n2026/11/21 20:15:01",
];

const GROKS: &[&str] = &[
    "^%{IP:src} %{WORD:verb} (%{INT:n}|none)$\n\n192.0.2.7 GET 42\n2001:db8::1 PUT none",
    "%{A:x}-%{B}\nA [a-c]{2,3}\nB (?i:end|%{A:y})\n\nabc-END\nab-cab",
    "Failed %{DATA:how} for (invalid user )?%{USERNAME:user} from %{IPORHOST:ip}\n\n\
     Failed password for invalid user bob from 192.0.2.7 port 1",
    "^%{SYSLOGLINE}\n\nNov 21 20:15:01 web1 sshd[42]: text",
    "%{COMMONAPACHELOG}\n\n192.0.2.7 - bob [21/Nov/2026:20:15:01 +0000] \"GET / HTTP/1.1\" 200 5",
    "\\[%{HTTPDATE:t}\\] [[:alpha:]\\d_]+\\b\\Qa.b\\E %{GREEDYDATA:rest}",
    "%{LOOP:l}\nLOOP a%{LOOP}",
    "(?P<a>x)|(?i)%{WORD:w}(?:é|ſ)+\n\néſW K",
    "^%{WORD:a}:? ?(?:%{INT:b}|%{NOTSPACE:c})(?: \\[%{POSINT:d}\\])*$\n\nab: 12 [3] [4]\nab x",
    "^(?:a+?b*){0,3}%{GREEDYDATA:r}(x|y)?$\n\naabab rest x\nabb",
    "^%{TIMESTAMP_ISO8601:t} %{DATA:m}(?i: FROM %{IPV6:i})?$\n\n\
     2026-11-21T20:15:00Z text from 2001:db8::1",
    "^[^\\]]*\\]%{SPACE}(é|[α-ω]{2,})%{NUMBER:n}\\b\n\n[x] αβ4.5\n] é7",
];

const EXPRESSIONS: &[&str] = &[
    "evt.Parsed.program == 'sshd' && evt.Meta.log_type in ['a', 'ssh_failed-auth']",
    "Upper(evt.Parsed.path) matches '(?i)^/a.*[.]php' or evt.Line.Raw contains \"root\"",
    "any(File('lines.txt'), {evt.Parsed.path startsWith #}) ? 1 : 2.5e3",
    "evt.Meta.source_ip != nil and IpInRange(evt.Meta.source_ip, '192.0.2.0/24')",
    "JsonExtract(evt.Parsed.json, 'a.b[1]') + Sprintf('%d', int(evt.Parsed.status) % 7)",
    "let x = split(evt.Parsed.path, '/'); map(filter(x, len(#) > 1), upper(#))[0:1] ?? 'none'",
    "UnmarshalJSON(evt.Parsed.json, evt.Unmarshaled, 'j') in ['', nil] && not false",
    "evt.Time.Hour() >= 8 and date(evt.StrTime).Sub(now()) < duration('1h30m')",
    "reduce(1..9, #acc + #, 0) ** 2 | string() | trim()",
    "evt?.Parsed?.x.y[?0] == {a: 1, \"b\": [2, 3]}['a']",
    "RegexpInFile(evt.Parsed.path, 'regexes.txt') || LookupFile('sshd', 'map.txt') == 'equal'",
    "XMLGetNodeValue(evt.Parsed.xml, '/a/d') + b64encode(toJSON(groupBy(['a','b'], len(#))))",
    "evt.SetMeta('k', evt.Parsed.kv) && ParseKV(evt.Parsed.kv, evt.Unmarshaled, 'm') == nil",
    "Distance('1', '2', '3', '4') < 5 || LevenshteinDistance(evt.Parsed.path, 'abc') > 2",
];

const CONDITIONS: &[&str] = &[
    "len(queue.Queue) >= 3 && all(queue.Queue, .Meta.source_ip != '')",
    "leaky.Total_count > 5 and queue.Queue[-1].Time.Sub(queue.Queue[0].Time) < duration('5m')",
];

const RULES: [&str; 6] = [
    "type: leaky\nname: a/b\ndescription: d\nfilter: \"evt.Meta.service == 'ssh'\"\n\
     groupby: evt.Meta.source_ip\ndistinct: evt.Parsed.user\ncapacity: 5\nleakspeed: \"10s\"\n\
     blackhole: 1m\nreprocess: true\nscope:\n  type: Range\n  expression: evt.Meta.r\n\
     labels:\n  service: ssh\n  remediation: true\n---\ntype: trigger\nname: a/c\nfilter: 'true'\n\
     cancel_on: evt.Parsed.x == 'y'\noverflow_filter: any(queue.Queue, true)\n",
    "name: a/raw\nfilter: \"evt.Line.Labels.type == 'syslog'\"\nonsuccess: next_stage\n\
     pattern_syntax:\n  P1: '[a-z]+'\ngrok:\n  name: SYSLOGLINE\n  apply_on: Line.Raw\n",
    "name: a/p\nfilter: evt.Parsed.program startsWith 'ssh'\nonsuccess: next_stage\nnodes:\n\
     - &n\n  grok: {pattern: '%{WORD:w} %{IP:ip}', apply_on: message}\n  statics:\n  \
     - {meta: source_ip, expression: evt.Parsed.ip}\n- <<: *n\nstatics:\n- target: \
     evt.StrTime\n  expression: evt.Parsed.timestamp\n- parsed: x\n  value: \"1\"\n",
    "name: a/e\nfilter: evt.Meta.log_type != ''\nwhitelist:\n  reason: ours\n  ip: [192.0.2.1]\n  \
     cidr: [198.51.100.0/24]\n  expression:\n  - evt.Meta.x in File('list.txt')\ndata:\n- \
     {source_url: 'https://example.org/list.txt', dest_file: list.txt, type: string}\nstash:\n- \
     {name: s, key: evt.Meta.a, value: evt.Meta.b, ttl: 60s, size: 10, strategy: LRU}\n",
    "name: a/o\nfilter: evt.Overflow.Alert.Remediation == true\nstatics:\n- \
     {method: reverse_dns, expression: evt.Overflow.Alert.Source.IP}\n",
    "NAME [a-z]+%{INT}\n# note\nOTHER %{NAME:x}|\\d{3}\n",
];

const SYSLOG_LINES: &[&str] = &[
    "Nov 21 20:15:01 web1 sshd[42]: Failed password for root from 192.0.2.7 port 4711 ssh2\n\
     Nov 21 20:15:02 web1 sshd[43]: Invalid user admin from 192.0.2.7 port 4712",
    "2026-11-21T20:15:00.123456+00:00 web1 sshd-session[42]: Connection closed by authenticating \
     user root 192.0.2.7 port 22 [preauth]",
    "Nov 21 20:15:01 mx postfix/smtpd[9]: warning: unknown[192.0.2.7]: SASL LOGIN authentication \
     failed: x\nNov 21 20:15:02 mx postfix/smtpd[9]: NOQUEUE: reject: RCPT from \
     unknown[192.0.2.7]: 554 5.7.1 Relay access denied",
    "Nov 21 20:15:01 web1 sshd[42]: Accepted publickey for bob from 192.0.2.9 port 1 ssh2\n\u{1f4a9}",
];

const WEB_LINES: &[&str] = &[
    "192.0.2.7 - - [21/Nov/2026:20:15:01 +0000] \"GET /.env HTTP/1.1\" 404 153 \"-\" \"sqlmap/1\"\n\
     192.0.2.7 - - [21/Nov/2026:20:15:02 +0000] \"GET /a?id=1%20union%20select HTTP/1.1\" 200 1 \
     \"-\" \"x\"",
    "192.0.2.7 - - [21/Nov/2026:20:15:01 +0000] \"POST /wp-login.php HTTP/1.1\" 401 5 \"-\" \"y\"",
    "2026/11/21 20:15:01 [error] 1#1: *5 user \"bob\": password mismatch, client: 192.0.2.7, \
     server: x, request: \"GET / HTTP/1.1\", host: \"x\"",
];

fn journal() -> Vec<Vec<u8>> {
    let head = b"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1795292100123456\n_HOSTNAME=web1\n";
    let text = b"SYSLOG_IDENTIFIER=sshd\n_PID=42\n_COMM=sshd-session\nMESSAGE=one\n\n";
    let binary = b"MESSAGE\n\x08\0\0\0\0\0\0\0two\n\nsix\n_PID=1\n\n";
    let long = [&b"A="[..], &[b'x'; 120], b"\n\nMESSAGE=after\n\n"].concat();
    let huge = b"B\n\xff\xff\xff\xff\xff\xff\xff\x7fxx\n\nMESSAGE=after\n\n".to_vec();
    let entries = [[&head[..], text].concat(), binary.to_vec(), long, huge];
    entries
        .iter()
        .map(|entry| [&[9], &entry[..]].concat())
        .collect()
}

fn netlink() -> Vec<Vec<u8>> {
    let prefixes = |texts: &[&str]| -> Vec<u8> {
        let all: Vec<_> = texts.iter().filter_map(|text| text.parse().ok()).collect();
        written(&all, Some(Duration::from_secs(90)))
    };
    let error = |flags: u16, tail: &[u8]| {
        let len = 36 + u32::try_from(tail.len()).unwrap_or(0);
        let mut out = len.to_ne_bytes().to_vec();
        out.extend(2u16.to_ne_bytes());
        out.extend(flags.to_ne_bytes());
        out.extend([7, 0, 0, 0, 1, 0, 0, 0]);
        out.extend((-17i32).to_ne_bytes());
        out.extend(20u32.to_ne_bytes());
        out.extend([0; 12]);
        out.extend(tail);
        out
    };
    vec![
        prefixes(&["192.0.2.7/32", "2001:db8::1/128"]),
        prefixes(&[
            "198.51.100.0/24",
            "2001:db8:1::/48",
            "2001:db8::/64",
            "0.0.0.0/1",
        ]),
        error(0, b""),
        error(0x300, b"\x0b\0\x01\0exists\0\0"),
        rule(),
    ]
}

/// A rule with a comment, a counter and a verdict.
fn rule() -> Vec<u8> {
    let attr = |kind: u16, value: &[u8]| {
        let len = u16::try_from(value.len() + 4).unwrap_or(0);
        let mut out = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
        out.extend(value);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    };
    let count = [attr(1, &9u64.to_be_bytes()), attr(2, &3u64.to_be_bytes())].concat();
    let counter = [attr(1, b"counter\0"), attr(2, &count)].concat();
    let verdict = [attr(1, b"immediate\0"), attr(2, &[0; 8])].concat();
    let expressions = [attr(1, &counter), attr(1, &verdict)].concat();
    let body = [
        attr(1, b"posse\0"),
        attr(2, b"input\0"),
        attr(4, &expressions),
        attr(7, b"\0\x05ban4\0"),
    ]
    .concat();
    let len = u32::try_from(body.len() + 20).unwrap_or(0);
    let mut out = len.to_ne_bytes().to_vec();
    out.extend(0x0a06u16.to_ne_bytes());
    out.extend([0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    out.extend(body);
    out
}

/// A TimeStampResp that refuses, with a text; and one that grants nothing.
const STAMP_REFUSED: &[u8] = &[
    0x30, 0x0b, 0x30, 0x09, 0x02, 0x01, 0x02, 0x30, 0x04, 0x0c, 0x02, b'n', b'o',
];
const STAMP_EMPTY: &[u8] = &[0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x00];

fn witness_seeds() -> Vec<Vec<u8>> {
    let log = SigningKey::from_seed("log.example/evidence", [3; 32]);
    let witness = CosigningKey::from_seed("w.example/witness", [5; 32]);
    let (Ok(log), Ok(witness)) = (log, witness) else {
        return Vec::new();
    };
    let note = Checkpoint::sign(42, &Hash([9; 32]), &log);
    let line = witness.cosign(note.as_bytes(), 7).unwrap_or_default();
    let request = AddCheckpoint {
        old: 7,
        proof: vec![Hash([1; 32]), Hash([2; 32])],
        checkpoint: note,
    };
    let policy = format!(
        "# both\nlog {} https://log.example/\nwitness w {}\ngroup g 1 w\nquorum g\n",
        log.public(),
        witness.public()
    );
    let kinds: [Vec<u8>; 5] = [
        request.encode().into_bytes(),
        policy.into_bytes(),
        witness.public().to_string().into_bytes(),
        b"text\n\n\xe2\x80\x94 w.example/witness AAAAAAAA\n".to_vec(),
        line.replace("w.example", "v.example").into_bytes(),
    ];
    let numbered = (0..).zip(kinds);
    numbered
        .map(|(kind, bytes)| [&[kind], &bytes[..]].concat())
        .collect()
}

fn ledger_seeds() -> Vec<Vec<u8>> {
    let Ok(key) = SigningKey::from_seed("log.example/evidence", [3; 32]) else {
        return Vec::new();
    };
    let note = Checkpoint::sign(42, &Hash([9; 32]), &key);
    let text = note.split("\n\n").next().unwrap_or_default().to_owned() + "\nextension\n";
    let leaf = Leaf {
        seq: 7,
        time: model::Timestamp::from_millis(1_795_291_200_500),
        kind: "alert".to_owned(),
        commitment: commitment(&Salt([1; 32]), b"{}"),
    };
    let proof = ProofFile {
        index: 1,
        proof: vec![leaf_hash(b"a")],
        checkpoint: note.clone(),
        extra: Some(b"note".to_vec()),
    };
    let kinds: [Vec<u8>; 11] = [
        note.into_bytes(),
        text.into_bytes(),
        b"tile/0/x001/x234/067.p/17".to_vec(),
        leaf.encode(),
        proof.encode().into_bytes(),
        key.public().to_string().into_bytes(),
        key.to_secret_text().into_bytes(),
        b"\x02\0\x03abc\0\x01d".to_vec(),
        [&[1], &[7; 32][..]].concat(),
        [&[0; 7][..], &[3], &[0; 7], &[7], &[5; 128]].concat(),
        b"tile/entries/005".to_vec(),
    ];
    let numbered = (0..10).chain([2]).zip(kinds);
    numbered
        .map(|(kind, bytes)| [&[kind], &bytes[..]].concat())
        .collect()
}

/// An offer; an offer and its receipt; and what follows them.
fn persons() -> Vec<Vec<u8>> {
    let [one, two] = [1, 2].map(|seed| Signer::from_seed("officer", &[seed; 32]));
    let enrolled = |key: &str, by: Option<&Signer>| {
        let mut act = PersonAct::Enrolled {
            at: Timestamp::from_seconds(1_795_291_200),
            name: "officer".to_owned(),
            key: key.to_owned(),
            by: "root".to_owned(),
            signed: None,
        };
        if let Some(by) = by {
            sign_person_act(&mut act, "fuzz.example/other", by);
        }
        serde_json::to_string(&act).unwrap_or_default()
    };
    let key = |of: &Option<Signer>| {
        of.as_ref()
            .map_or_else(String::new, |s| s.key().to_string())
    };
    let first = enrolled(&key(&one), None);
    let second = enrolled(&key(&two), one.as_ref());
    let revoked = serde_json::json!({
        "act": "revoked", "at": Timestamp::from_seconds(1_795_291_300), "name": "officer",
        "key": key(&one), "by": "officer", "reason": "left",
    });
    let file = format!(
        "posse person key v1\nname \"officer\"\npublic {}\nsalt {}\nsealed {}\n",
        key(&one),
        "0a".repeat(16),
        "0b".repeat(48)
    );
    vec![
        [&[0], first.as_bytes()].concat(),
        [&[0], format!("{first}\n{second}\n{first}").as_bytes()].concat(),
        [&[0], format!("{first}\n{revoked}").as_bytes()].concat(),
        [&[1], file.as_bytes()].concat(),
    ]
}

fn handovers() -> Vec<String> {
    let Ok(key) = SigningKey::from_seed("acme.example/log", [1; 32]) else {
        return Vec::new();
    };
    let sign = |mut act: HandoverAct| {
        let vkey = key.public().to_string();
        casework::handover::sign(&mut act, &vkey, |text| key.sign_note(text));
        serde_json::to_string(&act).unwrap_or_default()
    };
    let at = Timestamp::from_seconds(1_795_000_000);
    let (handover, by) = ("acme/HO-2026-0001".to_owned(), "officer".to_owned());
    let manifest = ContentHash::of(b"manifest");
    let offer = sign(HandoverAct::Offered {
        at,
        handover: handover.clone(),
        case: "CASE-2026-0001".to_owned(),
        referral: "REF-2026-0001".to_owned(),
        from: "acme".to_owned(),
        to: "police".to_owned(),
        by: by.clone(),
        manifest,
        package: ContentHash::of(b"package"),
        bytes: 7,
        key: String::new(),
        signature: String::new(),
    });
    let receipt = sign(HandoverAct::Received {
        at,
        handover: handover.clone(),
        by: by.clone(),
        manifest,
        key: String::new(),
        signature: String::new(),
    });
    let ask = sign(HandoverAct::MoreAsked {
        at,
        handover,
        request: "RQ-1".to_owned(),
        by,
        wish: "the raw lines".to_owned(),
        legal_basis: "code of procedure 99".to_owned(),
        due: at,
    });
    vec![
        offer.clone(),
        format!("{offer}\n{receipt}"),
        format!("{offer}\n{receipt}\n{ask}"),
        // Nothing is received that was not offered.
        receipt,
    ]
}

const PART_LINES: &[&str] = &[
    "Example School|it@school.example\nsshd: Failed password for ada from 203.0.113.9 port 5 ssh2\n\
     Example School was struck by 203.0.113.9\nnobody\nInvalid user a from b from 203.0.113.9 port 5",
    "\n203.0.113.9 - ada [22/Nov/2026:10:00:00 +0000] \"GET /home/ada HTTP/1.1\" 404\r\n\
     {\"user\":{\"name\":\"ada l\"},\"ip\":\"203.0.113.9\",\"to\":\"10.0.0.1\"}\n",
    "ada\nruser= user=root rhost=203.0.113.9 logname=<ada@mill.example>, [::ffff:192.0.2.1]:22\n\
     203.0.113.9.10.0.0.1 user: 'ada' acct=\"",
];
const CUTS: &[&str] = &[
    "Example Mill|it@mill.example\nExample Mill was struck by 203.0.113.9 port 5, tell IT@mill.example",
    "school\n198.51.100.1:22 [2001:db8::1]:443 ::ffff:192.0.2.1 SCHOOL preschool 1.2.3.4.5.6.7.8",
    "\u{c4}rzte|Stra\u{df}e\n\u{e4}rzte stra\u{df}e abcd::1.2.3.4.5 ::1.2.3.4:5 host-192-0-2-1",
    "\nwithout a word to hold back: 10.0.0.1.203.0.113.9, fe80::1%eth0, 2026-11-22T08:00:00Z",
];
