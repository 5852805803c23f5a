//! A program of the operator's: arguments from the configuration only, the message as JSON on
//! standard input, a time limit, no shell.

use std::{
    io::{Read, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;
use rustix::process::{Pid, Signal, kill_process_group};

use super::Answer;
use crate::{
    message::Message,
    outbox::Failure,
    render::{json, words},
    text::harmless,
};

const OUTPUT_BYTES_MAX: u64 = 4 << 10;
const LOOK: Duration = Duration::from_millis(10);
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(crate) fn run(
    words: &[String],
    message: &Message,
    timeout: Duration,
    zone: &TimeZone,
) -> Answer {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::passing("no program is named"));
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .envs(environment(message))
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that what it starts ends with it.
        .process_group(0)
        .spawn()
        .map_err(|e| Failure::passing(format!("{program}: {e}")))?;
    let body = json::value(message, zone).to_string();
    if let Some(mut stdin) = child.stdin.take() {
        // It may not read; then this thread ends when the program does.
        thread::spawn(move || stdin.write_all(body.as_bytes()).ok());
    }
    let said = [
        child.stdout.take().map(|pipe| drain(Box::new(pipe))),
        child.stderr.take().map(|pipe| drain(Box::new(pipe))),
    ];
    let status = wait(&mut child, timeout);
    let said: Vec<String> = said
        .into_iter()
        .flatten()
        .filter_map(|pipe| pipe.recv_timeout(Duration::from_millis(200)).ok())
        .map(|bytes| harmless(String::from_utf8_lossy(&bytes).trim(), 200))
        .filter(|text| !text.is_empty())
        .collect();
    let said = said.join("; ");
    match status {
        Ok(Some(status)) if status.success() => Ok(if said.is_empty() {
            "exit 0".into()
        } else {
            format!("exit 0: {said}")
        }),
        Ok(Some(status)) => Err(Failure::passing(format!("{program}: {status}: {said}"))),
        Ok(None) => {
            let limit = timeout.as_secs_f64();
            Err(Failure::passing(format!(
                "{program}: ended after {limit} s, which is its limit"
            )))
        }
        Err(e) => Err(Failure::passing(format!("{program}: {e}"))),
    }
}

/// A few facts for programs that do not read JSON. Values are one line without control characters.
fn environment(message: &Message) -> Vec<(&'static str, String)> {
    let (sources, _) = message.sources.names();
    let mut all = vec![
        ("POSSE_ID", message.id.to_string()),
        ("POSSE_HOST", message.host.clone()),
        ("POSSE_SEVERITY", message.severity.word().to_owned()),
        ("POSSE_SUBJECT", words::subject(message)),
        ("POSSE_ALERTS", message.alerts.to_string()),
        ("POSSE_SOURCES", sources.to_string()),
        ("POSSE_BANS", message.bans.to_string()),
    ];
    if let [(source, _)] = message.sources.top(2)[..] {
        all.push(("POSSE_SOURCE", source.to_owned()));
    }
    all.iter()
        .map(|(name, value)| (*name, harmless(value, 1_000)))
        .collect()
}

/// Reads to the end so that the program is not held up, keeps the beginning.
fn drain(mut pipe: Box<dyn Read + Send>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        (&mut pipe)
            .take(OUTPUT_BYTES_MAX)
            .read_to_end(&mut kept)
            .ok();
        std::io::copy(&mut pipe, &mut std::io::sink()).ok();
        sender.send(kept).ok();
    });
    receiver
}

/// `None` when the time was up.
fn wait(child: &mut Child, timeout: Duration) -> std::io::Result<Option<ExitStatus>> {
    let end = Instant::now() + timeout;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            // Its number is still its own: it was not waited for.
            end_group(child);
            child.kill().ok();
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}

fn end_group(child: &Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        kill_process_group(group, Signal::KILL).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{message::Kind, samples};

    fn run_script(script: &str, timeout: Duration) -> Answer {
        let words = ["/bin/sh", "-c", script].map(str::to_owned);
        let message = Message::of(Kind::News, "web1", samples::banned(1));
        run(&words, &message, timeout, &TimeZone::UTC)
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn it_gets_the_message_and_its_end_counts() {
        let said = run_script("grep -o '\"alerts\":1'; echo $POSSE_SEVERITY $HOME", LONG).unwrap();
        assert_eq!(said, "exit 0: \"alerts\":1\\nmedium");
        let failure = run_script("echo no >&2; exit 3", LONG).unwrap_err();
        assert!(failure.text.contains("exit status: 3") && failure.text.contains("no"));
        assert!(
            run(
                &["/nonexistent".into()],
                &Message::of(Kind::News, "h", samples::banned(1)),
                LONG,
                &TimeZone::UTC
            )
            .is_err()
        );
    }

    #[test]
    fn it_ends_at_its_limit_with_all_that_it_started() {
        let began = Instant::now();
        let failure = run_script("sleep 60 & sleep 60", Duration::from_millis(200)).unwrap_err();
        assert!(failure.text.contains("limit"), "{failure:?}");
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn its_output_is_bounded() {
        let said = run_script("head -c 10000000 /dev/zero | tr '\\0' x", LONG).unwrap();
        assert!(said.len() < 300, "{}", said.len());
    }
}
