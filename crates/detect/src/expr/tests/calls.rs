//! The functions, each against what Go answers.

use super::*;

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
