//! `posse watch`: what a running guard sees and does, live in a terminal.
//!
//! Two halves. The guard's half ([`serve`]) runs on a connection's own thread: it passes on the
//! news of its own bounded queue and a status now and then, so a watcher that stops reading loses
//! news (which are counted and said) and holds up nobody. The terminal's half ([`run`]) shows what
//! was last on record, then every happening as one line, and waits for a guard that restarts.

use std::{
    io::{self, BufRead as _, BufReader, IsTerminal as _, Write},
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use crossbeam_channel::RecvTimeoutError;
use model::{Happening, News, Status, Timestamp, format_duration, harmless};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{AlertFilter, Store};

use crate::{
    board::Board,
    cli::ListArgs,
    control::{self, Request},
    exit::Exit,
    feed::{self, Feed, Style},
    ink::{Ink, Paint},
    state,
};

/// How often a watcher hears that all is well.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// A watcher that takes nothing for so long is let go; it comes back when it can.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// Without a word for so long, the guard is as good as gone.
const READ_PATIENCE: Duration = Duration::from_secs(15);
const RECONNECT_EVERY: Duration = Duration::from_millis(500);
/// What is shown of the time before.
const ALERTS_SHOWN: usize = 5;
/// One line of the stream; an alert brings its evidence.
const LINE_BYTES_MAX: u64 = 8 << 20;

/// One line of the stream.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "watch", rename_all = "snake_case")]
enum Word {
    Status {
        status: Box<Status>,
    },
    News {
        news: Box<News>,
    },
    /// News that did not fit this watcher's queue since the last such word.
    Lost {
        count: u64,
    },
    Busy,
}

//------------ The guard's side ----------------------------------------------

/// Tells a connection everything from now on, until it ends or the guard does.
pub(crate) fn serve(stream: &UnixStream, feed: &Feed, board: &Board) -> Result<()> {
    stream.set_write_timeout(Some(WRITE_PATIENCE))?;
    let Some(ear) = feed.listen_lossy() else {
        return say(stream, &Word::Busy);
    };
    greet(stream, board)?;
    let mut next_beat = Instant::now() + HEARTBEAT;
    loop {
        let wait = next_beat.saturating_duration_since(Instant::now());
        match ear.news.recv_timeout(wait) {
            Ok(news) => {
                let news = Box::new(News::clone(&news));
                say(stream, &Word::News { news })?;
            }
            Err(RecvTimeoutError::Timeout) => {
                greet(stream, board)?;
                next_beat = Instant::now() + HEARTBEAT;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        match ear.take_lost() {
            0 => {}
            count => say(stream, &Word::Lost { count })?,
        }
    }
}

/// Tells a connection that there is no room.
pub(crate) fn refuse(stream: &UnixStream) -> Result<()> {
    say(stream, &Word::Busy)
}

fn greet(stream: &UnixStream, board: &Board) -> Result<()> {
    if let Some(status) = board.latest() {
        let status = Box::new(Status::clone(&status));
        say(stream, &Word::Status { status })?;
    }
    Ok(())
}

fn say(mut stream: &UnixStream, word: &Word) -> Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    Ok(stream.write_all(&line)?)
}

//------------ The terminal's side -------------------------------------------

pub(crate) fn run(arguments: &ListArgs, out: &mut dyn Write) -> Result<Exit> {
    let dir = state::folder(arguments.state.state.as_deref())?;
    let Some(mut stream) = control::open(&dir, &Request::Watch)? else {
        writeln!(
            out,
            "no guard is running on {} (start one with `posse run`)",
            dir.display()
        )?;
        return Ok(Exit::Failure);
    };
    let mut screen = Screen::new(arguments.json);
    screen.history(&dir, out)?;
    loop {
        let ended = follow(&stream, &mut screen, out)?;
        screen.guard_gone(ended, out)?;
        stream = loop {
            thread::sleep(RECONNECT_EVERY);
            if let Ok(Some(stream)) = control::open(&dir, &Request::Watch) {
                break stream;
            }
        };
    }
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Closed,
    Silent,
}

fn follow(stream: &UnixStream, screen: &mut Screen, out: &mut dyn Write) -> Result<Ended> {
    stream.set_read_timeout(Some(READ_PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        match io::Read::take(&mut reader, LINE_BYTES_MAX).read_line(&mut line) {
            Ok(0) => return Ok(Ended::Closed),
            Ok(_) => {}
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                return Ok(Ended::Silent);
            }
            Err(_) => return Ok(Ended::Closed),
        }
        let Ok(word) = serde_json::from_str::<Word>(&line) else {
            // A guard of another version may say more.
            continue;
        };
        match word {
            Word::Status { status } => screen.status(*status, out)?,
            Word::News { news } => screen.news(&news, out)?,
            Word::Lost { count } => screen.lost(count, out)?,
            Word::Busy => bail!("too many are watching already; end another `posse watch`"),
        }
        out.flush()?;
    }
}

/// What is on the screen.
struct Screen {
    style: Style,
    /// A last line that is written over.
    is_live: bool,
    colour: bool,
    status: Option<Status>,
    rate: f64,
}

impl Screen {
    fn new(as_json: bool) -> Self {
        let is_terminal = io::stdout().is_terminal();
        // https://no-color.org: any value but the empty one.
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self {
            style: if as_json { Style::Json } else { Style::Human },
            is_live: is_terminal && !as_json,
            colour: is_terminal && !as_json && !plain,
            status: None,
            rate: 0.0,
        }
    }

    /// The latest alerts on record, the newest last. Without a record there is nothing to show.
    fn history(&self, dir: &Path, out: &mut dyn Write) -> Result<()> {
        if self.style == Style::Json {
            return Ok(());
        }
        let Ok(store) = Store::open_read_only(dir) else {
            return Ok(());
        };
        let filter = AlertFilter {
            limit: ALERTS_SHOWN,
            ..AlertFilter::default()
        };
        for recorded in store.alerts(&filter).unwrap_or_default().iter().rev() {
            let alert = &recorded.alert;
            let day = jiff::Timestamp::from(alert.last).strftime("%Y-%m-%d %H:%M:%S");
            let text = format!("{day} earlier  {}", harmless(&alert.message));
            writeln!(out, "{}", self.paint(Ink::Dim, &text))?;
        }
        Ok(())
    }

    fn status(&mut self, status: Status, out: &mut dyn Write) -> Result<()> {
        if self.style == Style::Json {
            writeln!(out, "{}", json!({ "event": "status", "status": status }))?;
            return Ok(());
        }
        let before = self.status.take();
        let changed = before
            .as_ref()
            .is_none_or(|b| (b.started, &b.mode) != (status.started, &status.mode));
        self.rate = before.map_or(0.0, |b| rate(&b, &status));
        if changed {
            self.clear(out)?;
            writeln!(out, "{}", self.paint(Ink::Bold, &headline(&status)))?;
            if let Some(why) = &status.observing_because {
                let text = format!("NOTHING IS BANNED: {}", harmless(why));
                writeln!(out, "{}", self.paint(Ink::Red, &text))?;
            }
        }
        self.status = Some(status);
        self.draw(out)
    }

    fn news(&self, news: &News, out: &mut dyn Write) -> Result<()> {
        self.clear(out)?;
        let line = feed::line(news, self.style);
        let ink = match news.happening {
            Happening::Ban { .. } => Ink::Red,
            Happening::Alert(_) => Ink::Yellow,
            Happening::Release(_) => Ink::Green,
            Happening::Notice(_) | Happening::Refused(_) => Ink::Cyan,
        };
        writeln!(out, "{}", self.paint(ink, &line))?;
        self.draw(out)
    }

    fn lost(&self, count: u64, out: &mut dyn Write) -> Result<()> {
        self.clear(out)?;
        if self.style == Style::Json {
            writeln!(out, "{}", json!({ "event": "lost", "count": count }))?;
        } else {
            let text = format!("{count} news were lost here: this terminal was too slow");
            writeln!(out, "{}", self.paint(Ink::Red, &text))?;
        }
        self.draw(out)
    }

    fn guard_gone(&mut self, ended: Ended, out: &mut dyn Write) -> Result<()> {
        self.clear(out)?;
        self.status = None;
        let why = match ended {
            Ended::Closed => "the guard has stopped",
            Ended::Silent => "the guard says nothing any more",
        };
        if self.style == Style::Json {
            writeln!(out, "{}", json!({ "event": "guard_gone", "why": why }))?;
        } else {
            let text = format!("{why}; bans in the kernel stay. Waiting for it (Ctrl-C ends)");
            writeln!(out, "{}", self.paint(Ink::Red, &text))?;
        }
        Ok(out.flush()?)
    }

    fn clear(&self, out: &mut dyn Write) -> Result<()> {
        if self.is_live {
            // To the line's beginning, and erase it (ECMA-48 EL).
            write!(out, "\r\x1b[K")?;
        }
        Ok(())
    }

    fn draw(&self, out: &mut dyn Write) -> Result<()> {
        let Some(status) = self.status.as_ref().filter(|_| self.is_live) else {
            return Ok(());
        };
        let line = pulse(status, self.rate);
        write!(out, "\r\x1b[K{}", self.paint(Ink::Dim, &line))?;
        Ok(())
    }

    fn paint(&self, ink: Ink, text: &str) -> String {
        if self.colour {
            Paint::Coloured.text(ink, text)
        } else {
            text.to_owned()
        }
    }
}

fn headline(status: &Status) -> String {
    let up = format_duration(Duration::from_secs(
        status.at.since(status.started).as_secs(),
    ));
    format!(
        "posse {} has run for {up}: {}, {} bans in force, {} sources",
        harmless(&status.version),
        match status.mode.as_str() {
            "enforce" => "ENFORCING",
            _ => "OBSERVING",
        },
        status.bans,
        status.sources.len()
    )
}

/// The last line of a live screen.
fn pulse(status: &Status, rate: f64) -> String {
    let clock = jiff::Timestamp::from(status.at).strftime("%H:%M:%S");
    let kept_out = status
        .dropped
        .as_ref()
        .map_or_else(String::new, |d| format!(", {} packets kept out", d.packets));
    let last = status.sources.iter().filter_map(|s| s.last_line).max();
    let heard = last.map_or_else(
        || "no line yet".to_owned(),
        |at| format!("last line {} ago", ago(status.at, at)),
    );
    format!(
        "{clock} {} bans, {} alerts, {} lines ({rate:.0}/s, {heard}){kept_out}",
        status.bans, status.engine.alerts, status.engine.lines
    )
}

fn ago(now: Timestamp, then: Timestamp) -> String {
    format_duration(Duration::from_secs(now.since(then).as_secs()))
}

/// Lines a second between two readings of one guard.
fn rate(before: &Status, after: &Status) -> f64 {
    let span = after.at.since(before.at).as_secs_f64();
    if before.started != after.started || span < 0.1 {
        return 0.0;
    }
    let lines = after.engine.lines.saturating_sub(before.engine.lines);
    lines as f64 / span
}

#[cfg(test)]
mod tests {
    use model::{Notice, SourceStatus};

    use super::*;

    fn screen() -> Screen {
        Screen {
            style: Style::Human,
            is_live: false,
            colour: false,
            status: None,
            rate: 0.0,
        }
    }

    fn status(second: i64) -> Status {
        Status {
            at: Timestamp::from_seconds(second),
            mode: "enforce".into(),
            bans: 3,
            sources: vec![SourceStatus::default()],
            ..Status::default()
        }
    }

    fn shown(act: impl FnOnce(&mut Screen, &mut dyn Write) -> Result<()>) -> String {
        let mut out = Vec::new();
        act(&mut screen(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_headline_comes_once() {
        let text = shown(|s, out| {
            s.status(status(5), out)?;
            s.status(status(7), out)
        });
        assert_eq!(text.matches("ENFORCING, 3 bans in force").count(), 1);
    }

    #[test]
    fn nothing_that_an_attacker_wrote_steers_the_terminal() {
        let news = News {
            seen: Timestamp::EPOCH,
            happening: Happening::Notice(Notice {
                at: Timestamp::EPOCH,
                code: "x".into(),
                text: "user \x1b]0;owned\x07\u{202e} \u{9b}2J".into(),
                prefixes: Vec::new(),
            }),
        };
        let text = shown(|s, out| s.news(&news, out));
        let body = text.trim_end_matches('\n');
        assert!(body.contains("\\x1b]0;owned\\x07"), "{body}");
        assert!(!body.chars().any(char::is_control), "{body:?}");
    }

    #[test]
    fn a_rate_is_of_one_guard_only() {
        let mut after = status(10);
        after.engine.lines = 400;
        assert!((rate(&status(6), &after) - 100.0).abs() < 0.01);
        after.started = Timestamp::from_seconds(9);
        assert!(rate(&status(6), &after).abs() < 0.01);
    }
}
