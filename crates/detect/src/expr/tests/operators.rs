//! Operators, literals, missing keys, closures.

use super::*;

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
