//! What an expression writes, the queue a condition sees, the results an assertion sees.

use super::*;

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
