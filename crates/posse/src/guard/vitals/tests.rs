use model::{DetectionStatus, RecordStatus};
use sense::StartAt;

use super::*;

fn file(path: &str, silence: Silence) -> Watched {
    let input = Input::File {
        pattern: path.to_owned(),
        start: StartAt::End,
    };
    Watched::new(&SourceSpec::new(input, "syslog"), silence)
}

fn source(name: &str, lines: u64) -> SourceStatus {
    SourceStatus {
        name: name.to_owned(),
        lines,
        ..SourceStatus::default()
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A guard that runs, one look a second.
struct Machine {
    vitals: Vitals,
    status: Status,
    place: Place,
    may_observe: bool,
    second: u64,
}

impl Machine {
    fn new(watched: Vec<Watched>) -> Self {
        let status = Status {
            sources: vec![source("/a.log", 0)],
            ..Status::default()
        };
        Self {
            vitals: Vitals::new(VitalsConfig::default(), watched, at(0)),
            status,
            place: Place::default(),
            may_observe: false,
            second: 0,
        }
    }

    fn healthy() -> Self {
        Self::new(vec![file("/a.log", Silence::Off)])
    }

    /// The codes of what is said within `seconds`.
    fn run(&mut self, seconds: u64) -> Vec<String> {
        let mut codes = Vec::new();
        for _ in 0..seconds {
            self.second += 1;
            let notices = self.vitals.look(&Readings {
                status: &self.status,
                place: &self.place,
                may_observe: self.may_observe,
                steady: at(self.second),
            });
            codes.extend(notices.into_iter().map(|n| n.code));
        }
        codes
    }

    /// Breaks, repairs, and holds what is said against the code.
    fn breaks(code: &str, harm: impl Fn(&mut Self), heal: impl Fn(&mut Self)) {
        let mut machine = Self::healthy();
        assert!(machine.run(3_600).is_empty(), "{code}: healthy");
        harm(&mut machine);
        assert_eq!(machine.run(200), [code]);
        heal(&mut machine);
        assert_eq!(machine.run(600), [format!("{code}_over")]);
    }
}

#[test]
fn every_trouble_is_told_once_and_so_is_its_end() {
    let nothing = |_: &mut Machine| {};
    Machine::breaks(
        "record_paused",
        |m| {
            m.status.recorder = RecordStatus {
                paused: Some("disk full".into()),
                ..RecordStatus::default()
            };
        },
        |m| m.status.recorder.paused = None,
    );
    Machine::breaks("record_lost", |m| m.status.recorder.lost = 3, nothing);
    Machine::breaks("journal_failed", |m| m.status.journal_failures = 1, nothing);
    Machine::breaks("news_dropped", |m| m.status.feed_lines_dropped = 9, nothing);
    Machine::breaks(
        "buckets_evicted",
        |m| {
            m.status.engine = DetectionStatus {
                buckets_evicted: 1,
                ..DetectionStatus::default()
            };
        },
        nothing,
    );
    Machine::breaks(
        "lines_dropped",
        |m| m.status.sources[0].dropped = 4,
        nothing,
    );
    Machine::breaks(
        "not_enforcing",
        |m| m.status.observing_because = Some("no nf_tables".into()),
        |m| m.status.observing_because = None,
    );
    Machine::breaks(
        "kernel_refused",
        |m| m.vitals.kernel_took(Err("no buffer space".into())),
        |m| m.vitals.kernel_took(Ok(())),
    );
    Machine::breaks(
        "kernel_drift",
        |m| m.vitals.kernel_repaired("1 put back".into()),
        nothing,
    );
}

#[test]
fn a_disk_that_fills_is_told_when_bytes_and_part_are_few() {
    let full = |free, size| {
        let mut machine = Machine::healthy();
        machine.place.disk = Some(Disk {
            free: free * MIB,
            size: size * MIB,
        });
        machine.run(10)
    };
    assert_eq!(full(500, 100_000), ["disk_filling"]);
    // Much room on a huge disk, a large part of a small one.
    assert!(full(50_000, 10_000_000).is_empty());
    assert!(full(900, 4_000).is_empty());
}

#[test]
fn observing_on_request_is_no_trouble() {
    let mut machine = Machine::healthy();
    machine.may_observe = true;
    machine.status.observing_because = Some("observe mode was asked for".into());
    assert!(machine.run(100).is_empty());
}

#[test]
fn a_file_that_vanishes_is_told_but_not_a_rotation() {
    let mut machine = Machine::new(vec![
        file("/a.log", Silence::Learn),
        file("/b.log", Silence::Learn),
    ]);
    machine.status.sources.push(source("/b.log", 0));
    machine.place.missing = vec!["/a.log".into()];
    assert!(machine.run(20).is_empty());
    machine.place.missing.clear();
    assert!(machine.run(600).is_empty());
    machine.place.missing = vec!["/a.log".into()];
    assert_eq!(machine.run(100), ["source_missing"]);
    machine.place.missing.push("/b.log".into());
    assert_eq!(machine.run(100), ["nothing_watched", "source_missing"]);
}

#[test]
fn a_busy_source_that_falls_silent_is_missed() {
    let mut machine = Machine::new(vec![file("/a.log", Silence::Learn)]);
    for minute in 1..=2 * 1_440 {
        machine.status.sources[0].lines = minute;
        assert!(machine.run(60).is_empty(), "minute {minute}");
    }
    assert_eq!(machine.run(1_000), ["source_silent"]);
    machine.status.sources[0].lines += 1;
    assert_eq!(machine.run(100), ["source_silent_over"]);
}

#[test]
fn a_silence_that_is_configured_needs_no_habit() {
    let mut machine = Machine::new(vec![file("/a.log", Silence::After(at(300)))]);
    assert!(machine.run(299).is_empty());
    assert_eq!(machine.run(100), ["source_silent"]);
}

#[test]
fn a_glob_stands_for_all_its_files() {
    let mut machine = Machine::new(vec![file("/logs/*-access.log", Silence::After(at(100)))]);
    machine.status.sources = vec![
        source("/logs/a-access.log", 1),
        source("/logs/b-access.log", 1),
    ];
    for round in 1..20 {
        machine.status.sources[1].lines = round;
        assert!(machine.run(90).is_empty());
    }
}

#[test]
fn a_silence_that_is_no_silence_is_refused() {
    for (text, wanted) in [
        ("auto", Silence::Learn),
        ("off", Silence::Off),
        ("90m", Silence::After(at(5_400))),
    ] {
        let config: VitalsConfig = toml::from_str(&format!("silent_after = \"{text}\"")).unwrap();
        assert_eq!(config.silent_after, wanted);
    }
    for bad in ["silent_after = \"never\"", "repeat_every = \"0\"", "x = 1"] {
        assert!(toml::from_str::<VitalsConfig>(bad).is_err(), "{bad}");
    }
}
