use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
};

use model::limits::LINE_BYTES_MAX;
use proptest::prelude::*;

use super::*;
use crate::StartAt;

/// No event is as late as the re-scan, so that a test that passes did not owe it to that.
const SOON: Duration = Duration::from_millis(1_500);

fn file_spec(pattern: &Path) -> SourceSpec {
    let pattern = pattern.display().to_string();
    SourceSpec::new(
        Input::File {
            pattern,
            start: StartAt::Beginning,
        },
        "syslog",
    )
}

fn open(pattern: &Path, positions: &Positions) -> Sensors {
    let (sensors, problems) = Sensors::open(vec![file_spec(pattern)], positions).unwrap();
    assert_eq!(problems, []);
    sensors
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// All lines until `count` are there, or none came for so long; then those that are too many.
fn lines(sensors: &mut Sensors, count: usize) -> Vec<String> {
    let mut out = Vec::new();
    let mut batch = Batch::default();
    let deadline = Instant::now() + SOON;
    while out.len() < count && Instant::now() < deadline {
        sensors.next_batch(&mut batch, SOON).unwrap();
        out.extend(
            batch
                .iter()
                .map(|r| String::from_utf8_lossy(r.text).into_owned()),
        );
    }
    while sensors
        .next_batch(&mut batch, Duration::from_millis(2))
        .unwrap()
        == Wake::Lines
    {
        out.extend(
            batch
                .iter()
                .map(|r| String::from_utf8_lossy(r.text).into_owned()),
        );
    }
    out
}

/// As after a crash and a restart: through JSON and into a new object.
fn restart(sensors: Sensors, pattern: &Path) -> Sensors {
    let json = serde_json::to_string(sensors.positions()).unwrap();
    drop(sensors);
    let (sensors, _) = Sensors::open(
        vec![file_spec(pattern)],
        &serde_json::from_str(&json).unwrap(),
    )
    .unwrap();
    sensors
}

fn log() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("auth.log");
    (dir, path)
}

#[test]
fn lines_come_as_they_are_written_and_whole() {
    let (_dir, path) = log();
    append(&path, "old\r\n\n");
    let mut sensors = open(&path, &Positions::default());
    let mut batch = Batch::default();
    assert_eq!(sensors.next_batch(&mut batch, SOON).unwrap(), Wake::Lines);
    let record = batch.iter().next().unwrap();
    assert_eq!(
        (record.text, record.meta.catch_up),
        (b"old".as_slice(), true)
    );
    append(&path, "half");
    assert_eq!(lines(&mut sensors, 0), [""; 0]);
    append(&path, " and half\n");
    assert_eq!(sensors.next_batch(&mut batch, SOON).unwrap(), Wake::Lines);
    let record = batch.iter().next().unwrap();
    assert_eq!(
        (record.text, record.meta.catch_up),
        (b"half and half".as_slice(), false)
    );
    let at_six = matches!(
        &record.meta.origin,
        model::LineOrigin::File { offset: 6, .. }
    );
    assert!(at_six, "{:?}", record.meta.origin);
    assert_eq!(sensors.positions().files().next().unwrap().offset, 20);
    assert_eq!(sensors.status()[0].lines, 2);
}

#[test]
fn the_end_is_where_lines_begin_that_were_not_there() {
    let (_dir, path) = log();
    append(&path, "old\nhalf");
    let pattern = path.display().to_string();
    let spec = SourceSpec::new(
        Input::File {
            pattern,
            start: StartAt::End,
        },
        "syslog",
    );
    let (mut sensors, _) = Sensors::open(vec![spec], &Positions::default()).unwrap();
    append(&path, " done\nnew\n");
    assert_eq!(lines(&mut sensors, 2), ["half done", "new"]);
}

#[test]
fn a_renamed_file_is_finished_before_the_new_one() {
    let (dir, path) = log();
    append(&path, "a\n");
    let mut sensors = open(&path, &Positions::default());
    assert_eq!(lines(&mut sensors, 1), ["a"]);
    let mut lagging = OpenOptions::new().append(true).open(&path).unwrap();
    append(&path, "b\n");
    fs::rename(&path, dir.path().join("auth.log.1")).unwrap();
    append(&path, "c\n");
    assert_eq!(lines(&mut sensors, 2), ["b", "c"]);
    lagging.write_all(b"late\n").unwrap();
    assert_eq!(lines(&mut sensors, 1), ["late"]);
    append(&path, "d\n");
    assert_eq!(lines(&mut sensors, 1), ["d"]);
}

#[test]
fn a_cut_file_is_read_anew_and_its_copy_finished() {
    let (dir, path) = log();
    append(&path, "a first line\n");
    let mut sensors = open(&path, &Positions::default());
    assert_eq!(lines(&mut sensors, 1), ["a first line"]);
    append(&path, "b\n");
    fs::copy(&path, dir.path().join("auth.log.1")).unwrap();
    OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(0)
        .unwrap();
    append(
        &path,
        "c after the cut, longer than all that was before it\n",
    );
    assert_eq!(
        lines(&mut sensors, 2),
        ["b", "c after the cut, longer than all that was before it"]
    );
    fs::write(&path, "d\n").unwrap();
    assert_eq!(lines(&mut sensors, 1), ["d"]);
}

#[test]
fn a_copy_written_over_the_last_copy_is_not_read_again() {
    let (dir, path) = log();
    let copy = dir.path().join("auth.log.1");
    append(&path, "day one, first\n");
    let mut sensors = open(&path, &Positions::default());
    assert_eq!(lines(&mut sensors, 1), ["day one, first"]);
    for day in ["two", "three", "four"] {
        append(&path, &format!("late before day {day}\n"));
        fs::copy(&path, &copy).unwrap();
        let log = OpenOptions::new().write(true).open(&path).unwrap();
        log.set_len(0).unwrap();
        append(&path, &format!("day {day}, first\n"));
        let wanted = [
            format!("late before day {day}"),
            format!("day {day}, first"),
        ];
        assert_eq!(lines(&mut sensors, 2), wanted);
        append(&path, "more\n");
        assert_eq!(lines(&mut sensors, 1), ["more"]);
    }
}

#[test]
fn a_deleted_file_that_comes_back_is_read_from_its_beginning() {
    let (_dir, path) = log();
    append(&path, "a\n");
    let mut sensors = open(&path, &Positions::default());
    assert_eq!(lines(&mut sensors, 1), ["a"]);
    fs::remove_file(&path).unwrap();
    assert_eq!(lines(&mut sensors, 0), [""; 0]);
    append(&path, "b\n");
    assert_eq!(lines(&mut sensors, 1), ["b"]);
}

#[test]
fn directories_and_files_that_appear_later_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut sensors = open(&dir.path().join("app/*/x*.log"), &Positions::default());
    assert_eq!(lines(&mut sensors, 0), [""; 0]);
    fs::create_dir_all(dir.path().join("app/one")).unwrap();
    append(&dir.path().join("app/one/x1.log"), "one\n");
    assert_eq!(lines(&mut sensors, 1), ["one"]);
    append(&dir.path().join("app/one/y.log"), "other\n");
    append(&dir.path().join("app/one/x2.log"), "two\n");
    append(&dir.path().join("app/one/x2.log.gz"), "no\n");
    assert_eq!(lines(&mut sensors, 1), ["two"]);
    let names: Vec<_> = sensors.sources().iter().map(|s| s.name.clone()).collect();
    assert!(
        names.len() == 2 && names[0].ends_with("app/one/x1.log"),
        "{names:?}"
    );
}

#[test]
fn a_glob_follows_rotation_without_reading_a_line_twice() {
    let (dir, path) = log();
    append(&path, "a\n");
    let mut sensors = open(&dir.path().join("*"), &Positions::default());
    assert_eq!(lines(&mut sensors, 1), ["a"]);
    fs::rename(&path, dir.path().join("auth.log.1")).unwrap();
    append(&path, "b\n");
    assert_eq!(lines(&mut sensors, 1), ["b"]);
    fs::rename(dir.path().join("auth.log.1"), dir.path().join("auth.log.2")).unwrap();
    fs::rename(&path, dir.path().join("auth.log.1")).unwrap();
    append(&path, "c\n");
    assert_eq!(lines(&mut sensors, 1), ["c"]);
    let mut sensors = restart(sensors, &dir.path().join("*"));
    append(&path, "d\n");
    assert_eq!(lines(&mut sensors, 1), ["d"]);
}

#[test]
fn a_link_is_followed_to_its_new_target() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("data")).unwrap();
    append(&path("data/1"), "one\n");
    std::os::unix::fs::symlink("data/1", path("current")).unwrap();
    let mut sensors = open(&path("current"), &Positions::default());
    assert_eq!(lines(&mut sensors, 1), ["one"]);
    append(&path("data/1"), "more\n");
    append(&path("data/2"), "two\n");
    std::os::unix::fs::symlink("data/2", path("next")).unwrap();
    fs::rename(path("next"), path("current")).unwrap();
    assert_eq!(lines(&mut sensors, 2), ["more", "two"]);
    // Rotation beside the target, of which the link's own directory shows nothing.
    fs::rename(path("data/2"), path("data/2.1")).unwrap();
    append(&path("data/2"), "three\n");
    assert_eq!(lines(&mut sensors, 1), ["three"]);
}

#[test]
fn a_file_matched_twice_is_read_once() {
    let (dir, path) = log();
    append(&path, "a\n");
    fs::hard_link(&path, dir.path().join("same.log")).unwrap();
    let specs = vec![file_spec(&path), file_spec(&dir.path().join("*.log"))];
    let (mut sensors, _) = Sensors::open(specs, &Positions::default()).unwrap();
    assert_eq!(lines(&mut sensors, 1), ["a"]);
}

#[test]
fn what_is_no_file_is_reported_and_read_when_it_is_one() {
    let (_dir, path) = log();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let (mut sensors, problems) =
        Sensors::open(vec![file_spec(&path)], &Positions::default()).unwrap();
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].why.contains("not a regular file"),
        "{problems:?}"
    );
    fs::remove_file(&path).unwrap();
    append(&path, "a\n");
    assert_eq!(lines(&mut sensors, 1), ["a"]);
    assert_eq!(sensors.take_problems(), []);
}

#[test]
fn after_a_restart_lines_go_on_where_they_stopped() {
    let (dir, path) = log();
    append(&path, "a\nb\nhal");
    let mut sensors = open(&path, &Positions::default());
    assert_eq!(lines(&mut sensors, 2), ["a", "b"]);
    let mut sensors = restart(sensors, &path);
    append(&path, "f\n");
    assert_eq!(lines(&mut sensors, 1), ["half"]);
    let json = serde_json::to_string(sensors.positions()).unwrap();
    drop(sensors);
    append(&path, "c\n");
    fs::rename(&path, dir.path().join("auth.log.2")).unwrap();
    append(&dir.path().join("auth.log.1"), "d\n");
    append(&path, "e\n");
    let mut sensors = open(&path, &serde_json::from_str(&json).unwrap());
    assert_eq!(lines(&mut sensors, 3), ["c", "d", "e"]);
}

#[test]
fn after_a_restart_an_inode_used_again_is_another_file() {
    let (_dir, path) = log();
    append(&path, "some line of the old file\n");
    let mut sensors = open(&path, &Positions::default());
    assert_eq!(lines(&mut sensors, 1).len(), 1);
    let json = serde_json::to_string(sensors.positions()).unwrap();
    drop(sensors);
    // The same inode for certain, and longer than before.
    fs::write(&path, "quite another line, and one that is longer\n").unwrap();
    let (mut sensors, problems) = Sensors::open(
        vec![file_spec(&path)],
        &serde_json::from_str(&json).unwrap(),
    )
    .unwrap();
    assert_eq!(
        lines(&mut sensors, 1),
        ["quite another line, and one that is longer"]
    );
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[test]
fn changes_rebuild_the_positions() {
    let (dir, path) = log();
    let mut stored = Positions::default();
    let mut sensors = open(&dir.path().join("*.log"), &stored);
    for n in 0..3 {
        append(&path, "line\n");
        append(&dir.path().join(format!("{n}.log")), "line\n");
        assert_eq!(lines(&mut sensors, 2).len(), 2);
        sensors
            .take_position_changes()
            .into_iter()
            .for_each(|c| stored.apply(c));
        assert_eq!(&stored, sensors.positions());
    }
    assert_eq!(stored.files().count(), 4);
    assert_eq!(sensors.take_position_changes(), []);
}

#[test]
fn lines_of_any_bytes_and_any_length() {
    let (_dir, path) = log();
    let long = vec![b'x'; LINE_BYTES_MAX];
    let mut bytes = b"\xff\xfe\x00z\n".to_vec();
    bytes.extend(
        [
            &long[..],
            b"\n",
            &long,
            b"tail\n",
            b"after\n",
            &long,
            b"endless",
        ]
        .concat(),
    );
    fs::write(&path, &bytes).unwrap();
    let mut sensors = open(&path, &Positions::default());
    let mut batch = Batch::default();
    let mut got: Vec<(usize, bool)> = Vec::new();
    while sensors
        .next_batch(&mut batch, Duration::from_millis(50))
        .unwrap()
        == Wake::Lines
    {
        assert!(batch.buffer.len() <= BATCH_BYTES_MAX + LINE_BYTES_MAX);
        got.extend(batch.iter().map(|r| (r.text.len(), r.meta.truncated)));
    }
    let max = LINE_BYTES_MAX;
    assert_eq!(got, [(4, false), (max, false), (max, true), (5, false)]);
    append(&path, "\nlast\n");
    assert_eq!(lines(&mut sensors, 2).last().unwrap(), "last");
    assert_eq!(sensors.status()[0].truncated, 2);
}

#[test]
fn a_busy_file_does_not_starve_a_quiet_one() {
    let dir = tempfile::tempdir().unwrap();
    append(&dir.path().join("busy.log"), &"noise\n".repeat(50_000));
    append(&dir.path().join("quiet.log"), "signal\n");
    let mut sensors = open(&dir.path().join("*.log"), &Positions::default());
    let mut batch = Batch::default();
    let found = (0..3).any(|_| {
        sensors.next_batch(&mut batch, SOON).unwrap();
        assert!(batch.records.len() <= BATCH_LINES_MAX);
        batch.iter().any(|r| r.text == b"signal")
    });
    assert!(found);
}

#[test]
fn wake_ups_and_lines_take_turns() {
    let (_dir, path) = log();
    append(&path, &"noise\n".repeat(10_000));
    let mut sensors = open(&path, &Positions::default());
    let (reader, mut writer) = io::pipe().unwrap();
    sensors.add_wake_fd(reader.as_fd(), 7).unwrap();
    let mut batch = Batch::default();
    writer.write_all(b"x").unwrap();
    let wakes: Vec<Wake> = (0..4)
        .map(|_| sensors.next_batch(&mut batch, SOON).unwrap())
        .collect();
    assert_eq!(
        wakes,
        [
            Wake::Signalled(7),
            Wake::Lines,
            Wake::Signalled(7),
            Wake::Lines
        ]
    );
    sensors.remove_wake_fd(reader.as_fd(), 7);
    assert_eq!(
        lines(&mut sensors, 10_000 - 2 * BATCH_LINES_MAX).len(),
        10_000 - 2 * BATCH_LINES_MAX
    );
    let wake = sensors
        .next_batch(&mut batch, Duration::from_millis(5))
        .unwrap();
    assert_eq!(wake, Wake::Timeout);
}

fn open_with(
    specs: Vec<SourceSpec>,
    stdin: &mut dyn FnMut() -> io::Result<OwnedFd>,
) -> Result<(Sensors, Vec<SourceProblem>), SenseError> {
    let doors = Doors::open(&specs).unwrap();
    Sensors::open_with(specs, &Positions::default(), doors, stdin)
}

#[test]
fn standard_input_ends_with_its_last_line() {
    let (reader, mut writer) = io::pipe().unwrap();
    let mut reader = Some(OwnedFd::from(reader));
    let specs = vec![SourceSpec::new(Input::Stdin, "syslog")];
    let mut stdin = || reader.take().ok_or_else(|| io::Error::other("once"));
    let (mut sensors, _) = open_with(specs, &mut stdin).unwrap();
    writer.write_all(b"a\n\nb").unwrap();
    assert_eq!(lines(&mut sensors, 1), ["a"]);
    writer.write_all(b"c\nend").unwrap();
    drop(writer);
    assert_eq!(lines(&mut sensors, 2), ["bc", "end"]);
    let wake = sensors.next_batch(&mut Batch::default(), SOON).unwrap();
    assert_eq!(wake, Wake::Finished);
}

#[test]
fn standard_input_may_be_a_file() {
    let (_dir, path) = log();
    append(&path, &"line\n".repeat(30_000));
    let mut stdin = || File::open(&path).map(OwnedFd::from);
    let specs = vec![SourceSpec::new(Input::Stdin, "syslog")];
    let (mut sensors, _) = open_with(specs, &mut stdin).unwrap();
    let (mut batch, mut count) = (Batch::default(), 0);
    while sensors.next_batch(&mut batch, SOON).unwrap() == Wake::Lines {
        count += batch.records.len();
    }
    assert_eq!(count, 30_000);
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

#[test]
fn datagrams_are_messages() {
    let listen = free_port();
    let spec = SourceSpec::new(Input::SyslogUdp { listen }, "syslog");
    let (mut sensors, problems) = Sensors::open(vec![spec], &Positions::default()).unwrap();
    assert_eq!(problems, []);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let message = b"<34>1 2026-11-21T20:15:00.5Z web1 sshd 42 - - Failed password\n";
    socket.send_to(message, listen).unwrap();
    socket.send_to(b"\n", listen).unwrap();
    let mut batch = Batch::default();
    assert_eq!(sensors.next_batch(&mut batch, SOON).unwrap(), Wake::Lines);
    let record = batch.iter().next().unwrap();
    let text = b"2026-11-21T20:15:00.500000+00:00 web1 sshd[42]: Failed password";
    assert_eq!(record.text, text);
    assert_eq!(record.raw, message);
    let peer = socket.local_addr().unwrap();
    assert_eq!(record.meta.origin, model::LineOrigin::Network { peer });
    assert_eq!(sensors.status()[0].lines, 1);
}

#[test]
fn tcp_takes_both_framings_and_bounds_connections() {
    let listen = free_port();
    let spec = SourceSpec::new(Input::SyslogTcp { listen }, "syslog");
    let (mut sensors, problems) = Sensors::open(vec![spec], &Positions::default()).unwrap();
    assert_eq!(problems, []);
    let mut first = TcpStream::connect(listen).unwrap();
    first
        .write_all(b"<13>2026-11-21T20:15:00Z h a[1]: one\n36 <13>2026-11-21T20:15:00Z h a[1]: t")
        .unwrap();
    let head = "2026-11-21T20:15:00.000000+00:00 h a[1]: ";
    assert_eq!(lines(&mut sensors, 1), [format!("{head}one")]);
    first
        .write_all(b"wo\n<13>2026-11-21T20:15:00Z h a[1]: rest")
        .unwrap();
    drop(first);
    assert_eq!(
        lines(&mut sensors, 2),
        [format!("{head}two"), format!("{head}rest")]
    );
    let many: Vec<TcpStream> = (0..SYSLOG_CONNECTIONS_MAX + 3)
        .map(|_| {
            let stream = TcpStream::connect(listen).unwrap();
            sensors
                .next_batch(&mut Batch::default(), Duration::from_millis(1))
                .unwrap();
            stream
        })
        .collect();
    assert_eq!(lines(&mut sensors, 0), [""; 0]);
    assert_eq!(sensors.connections().count(), SYSLOG_CONNECTIONS_MAX);
    assert_eq!(sensors.status()[0].dropped, 3);
    drop(many);
    while sensors.connections().count() > 0 {
        let wake = sensors.next_batch(&mut Batch::default(), SOON).unwrap();
        assert_eq!(wake, Wake::Timeout);
    }
}

#[test]
fn a_port_in_use_is_a_problem_with_a_fix() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let spec = SourceSpec::new(Input::SyslogTcp { listen }, "syslog");
    let (mut sensors, problems) = Sensors::open(vec![spec], &Positions::default()).unwrap();
    assert!(problems[0].fix.contains("another program"), "{problems:?}");
    let wake = sensors.next_batch(&mut Batch::default(), SOON).unwrap();
    assert_eq!(wake, Wake::Finished);
}

/// One step of a writer, a rotation, or of the sensor.
#[derive(Clone, Debug)]
enum Step {
    Write { lines: u8 },
    Partial,
    Rename,
    RenameAndWait,
    CopyTruncate,
    DeleteEmptied,
    Read,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1u8..6).prop_map(|lines| Step::Write { lines }),
        2 => Just(Step::Partial),
        2 => Just(Step::Rename),
        1 => Just(Step::RenameAndWait),
        2 => Just(Step::CopyTruncate),
        1 => Just(Step::DeleteEmptied),
        4 => Just(Step::Read),
        2 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..40)
}

/// A log, its writer and its rotation, all of which know what was written.
struct World {
    dir: tempfile::TempDir,
    path: PathBuf,
    written: Vec<String>,
    got: Vec<String>,
    half: Option<String>,
    /// The sensor has seen the head of what the file holds now.
    head_was_seen: bool,
}

impl World {
    fn write(&mut self) {
        let line = match self.half.take() {
            Some(half) => {
                append(&self.path, " and half\n");
                half + " and half"
            }
            None => {
                let line = format!("line {}", self.written.len());
                append(&self.path, &format!("{line}\n"));
                line
            }
        };
        self.written.push(line);
    }

    fn finish_half(&mut self) {
        if self.half.is_some() {
            self.write();
        }
    }

    fn shift(&self) {
        let name = |n: usize| self.dir.path().join(format!("auth.log.{n}"));
        let last = (1..).find(|n| !name(*n).exists()).unwrap();
        for n in (1..last).rev() {
            fs::rename(name(n), name(n + 1)).unwrap();
        }
    }

    fn read(&mut self, sensors: &mut Sensors) {
        let mut batch = Batch::default();
        while sensors.next_batch(&mut batch, Duration::ZERO).unwrap() == Wake::Lines {
            self.got.extend(
                batch
                    .iter()
                    .map(|r| String::from_utf8_lossy(r.text).into_owned()),
            );
        }
        self.head_was_seen = fs::metadata(&self.path).is_ok_and(|meta| meta.len() > 0);
    }

    fn step(&mut self, step: &Step, mut sensors: Sensors) -> Sensors {
        match step {
            Step::Write { lines } => (0..*lines).for_each(|_| self.write()),
            Step::Partial => {
                if self.half.is_none() {
                    let half = format!("half {}", self.written.len());
                    append(&self.path, &half);
                    self.half = Some(half);
                }
            }
            Step::Rename | Step::RenameAndWait => {
                self.finish_half();
                if self.path.exists() {
                    self.shift();
                    fs::rename(&self.path, self.dir.path().join("auth.log.1")).unwrap();
                }
                if matches!(step, Step::RenameAndWait) {
                    self.read(&mut sensors);
                }
                File::create(&self.path).unwrap();
                self.head_was_seen = false;
            }
            Step::CopyTruncate => {
                self.finish_half();
                if !self.head_was_seen {
                    self.write();
                    self.read(&mut sensors);
                }
                self.shift();
                fs::copy(&self.path, self.dir.path().join("auth.log.1")).unwrap();
                OpenOptions::new()
                    .write(true)
                    .open(&self.path)
                    .unwrap()
                    .set_len(0)
                    .unwrap();
                self.head_was_seen = false;
            }
            Step::DeleteEmptied => {
                self.finish_half();
                self.read(&mut sensors);
                let _ = fs::remove_file(&self.path);
                self.read(&mut sensors);
                File::create(&self.path).unwrap();
                // What is deleted, made anew and renamed away unseen has left no trace to follow.
                self.read(&mut sensors);
            }
            Step::Read => self.read(&mut sensors),
            Step::Restart => sensors = restart(sensors, &self.path),
        }
        sensors
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn every_line_comes_once_and_in_order_whatever_happens(steps in steps()) {
        let (dir, path) = log();
        File::create(&path).unwrap();
        let mut sensors = open(&path, &Positions::default());
        let mut world = World {
            dir, path, written: Vec::new(), got: Vec::new(), half: None, head_was_seen: false,
        };
        for step in &steps {
            sensors = world.step(step, sensors);
        }
        world.finish_half();
        world.read(&mut sensors);
        prop_assert_eq!(world.got, world.written);
    }
}

#[test]
#[ignore = "a measurement; run in release on an idle machine"]
fn latency_from_write_to_batch() {
    let (_dir, path) = log();
    append(&path, "start\n");
    let mut sensors = open(&path, &Positions::default());
    assert_eq!(lines(&mut sensors, 1).len(), 1);
    let (sender, receiver) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        for _ in 0..1_000 {
            std::thread::sleep(Duration::from_millis(2));
            let at = Instant::now();
            file.write_all(b"Nov 21 20:15:00 web1 sshd[1]: Failed password\n")
                .unwrap();
            sender.send(at).unwrap();
        }
    });
    let mut batch = Batch::default();
    let mut spans = Vec::new();
    while spans.len() < 1_000 {
        sensors.next_batch(&mut batch, SOON).unwrap();
        let now = Instant::now();
        spans.extend(batch.iter().map(|_| now - receiver.recv().unwrap()));
    }
    writer.join().unwrap();
    spans.sort_unstable();
    println!(
        "median {:?}, 99 % {:?}, max {:?}",
        spans[500], spans[990], spans[999]
    );
    assert!(spans[500] < Duration::from_micros(300));
}

#[test]
fn a_reload_keeps_the_sockets_that_listen_and_gets_new_ones_from_outside() {
    // Free until now, so most likely for a moment more.
    let udp = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let of_udp = SourceSpec::new(Input::SyslogUdp { listen: udp }, "syslog");
    let of_tcp = SourceSpec::new(Input::SyslogTcp { listen: tcp }, "syslog");
    let (before, problems) = Sensors::open(vec![of_udp.clone()], &Positions::default()).unwrap();
    assert_eq!(problems, []);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"<38>sshd[1]: meanwhile", udp).unwrap();

    let specs = vec![of_udp, of_tcp];
    let mut fresh = crate::Listeners::default();
    fresh.open(&specs, &before.held());
    let doors = before.hand_over(fresh);
    let (mut after, problems) = Sensors::open_through(specs, &Positions::default(), doors).unwrap();
    drop(before);
    assert_eq!(problems, []);
    client.send_to(b"<38>sshd[1]: after", udp).unwrap();
    let mut stream = TcpStream::connect(tcp).unwrap();
    stream.write_all(b"<38>sshd[1]: by tcp\n").unwrap();
    let got = lines(&mut after, 3).join("\n");
    for part in ["meanwhile", "after", "by tcp"] {
        assert!(got.contains(part), "{part} in {got}");
    }
}
