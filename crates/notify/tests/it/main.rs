//! The notifier with its threads, its disk and channels that work, fail, hang or are mended.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

mod mail;
mod support;

use std::{
    fs,
    time::{Duration, Instant},
};

use support::{Site, alert, alerts_of, notice, wait_until};

#[test]
fn a_hanging_channel_delays_no_other() {
    let site = Site::new();
    let config = format!(
        "[[channel]]\nkind = \"command\"\nname = \"stuck\"\nrun = [\"/bin/sleep\", \"30\"]\n{}",
        site.catcher("good")
    );
    let run = site.start(&config);
    let began = Instant::now();
    run.say(alert("203.0.113.9"));
    wait_until("the good one has it", || site.got("good").len() == 1);
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_reload_mends_a_channel_and_keeps_its_queue() {
    let site = Site::new();
    let broken = "retry_max = \"60s\"\n[[channel]]\nkind = \"command\"\nname = \"good\"\n\
                  run = [\"/bin/false\"]\ngroup_for = \"0\"\n";
    let run = site.start(broken);
    for n in 1..=20 {
        run.say(alert(&format!("203.0.113.{n}")));
    }
    wait_until("it failed", || run.status("good").failed > 0);
    wait_until("all wait", || run.status("good").queued_alerts == 20);
    run.reconfigure(&site.catcher("good"));
    wait_until("all are told of", || alerts_of(&site.got("good")) == 20);
    assert!(site.got("good").len() <= 3, "a backlog leaves grouped");
    wait_until("nothing waits", || run.status("good").queued == 0);
}

#[test]
fn what_waits_survives_a_restart_once() {
    let site = Site::new();
    let broken = "[[channel]]\nkind = \"command\"\nname = \"good\"\nrun = [\"/bin/false\"]\n";
    let run = site.start(broken);
    for n in 1..=50 {
        run.say(alert(&format!("203.0.113.{n}")));
    }
    wait_until("it failed", || run.status("good").failed > 0);
    run.stop();
    let run = site.start(&site.catcher("good"));
    wait_until("all are told of", || alerts_of(&site.got("good")) == 50);
    run.stop();
    let run = site.start(&site.catcher("good"));
    run.say(notice("kernel_refused"));
    wait_until("the new one came", || {
        site.got("good").iter().any(|m| m["counts"]["notices"] == 1)
    });
    assert_eq!(alerts_of(&site.got("good")), 50, "nothing is told twice");
}

#[test]
fn without_a_disk_alerts_go_out_and_the_status_says_so() {
    let mut site = Site::new();
    site.state = "/dev/null/alerts".into();
    let broken = "[[channel]]\nkind = \"command\"\nname = \"bad\"\nrun = [\"/bin/false\"]\n";
    let run = site.start(&format!("{broken}{}", site.catcher("good")));
    run.say(alert("203.0.113.9"));
    wait_until("it came", || site.got("good").len() == 1);
    wait_until("it is said", || run.status("bad").disk_error.is_some());
}

#[test]
fn a_full_disk_is_said_and_mended() {
    let site = Site::new();
    let broken = "retry_max = \"60s\"\n[[channel]]\nkind = \"command\"\nname = \"good\"\n\
                  run = [\"/bin/false\"]\n";
    // A file where the queue's folder should be is as bad as no room.
    fs::create_dir_all(&site.state).unwrap();
    fs::write(site.state.join("queue-good"), "").unwrap();
    let run = site.start(broken);
    run.say(alert("203.0.113.9"));
    wait_until("it is said", || run.status("good").disk_error.is_some());
    fs::remove_file(site.state.join("queue-good")).unwrap();
    wait_until("it is on disk after all", || {
        let queue = fs::read_dir(site.state.join("queue-good"));
        queue.is_ok_and(|entries| entries.count() == 1)
    });
    wait_until("it is said no more", || {
        run.status("good").disk_error.is_none()
    });
}

#[test]
fn what_nobody_acknowledges_escalates_also_after_a_restart() {
    let site = Site::new();
    let config = format!(
        "escalate_after = \"2s\"\n{}{}escalation = true\n",
        site.catcher("first"),
        site.catcher("second")
    );
    let run = site.start(&config);
    run.say(notice("kernel_refused"));
    run.say(notice("ban_table_full"));
    wait_until("the first has both", || {
        let got = site.got("first");
        got.iter()
            .filter_map(|m| m["counts"]["notices"].as_u64())
            .sum::<u64>()
            >= 1
    });
    let open = run.notifier.unacknowledged().unwrap();
    assert_eq!(open.len(), 2);
    let one = open[0].to_string();
    let done = run
        .notifier
        .acknowledge(&notify::Which::Id(one[..8].into()));
    assert_eq!(done.unwrap(), [open[0]]);
    run.stop();
    assert!(site.got("second").is_empty());
    let _run = site.start(&config);
    wait_until("the second is called", || !site.got("second").is_empty());
    let got = site.got("second");
    assert_eq!((got.len(), &got[0]["kind"]), (1, &"escalation".into()));
    assert_eq!(got[0]["counts"]["notices"], 1, "only the one that is open");
}

#[test]
fn a_digest_that_was_missed_is_sent_at_the_start() {
    let site = Site::new();
    fs::create_dir_all(&site.state).unwrap();
    fs::write(
        site.state.join("day.json"),
        r#"{"since":"2026-01-01T00:00:00Z","alerts":7}"#,
    )
    .unwrap();
    let run = site.start(&site.catcher("good"));
    wait_until("the digest came", || !site.got("good").is_empty());
    let got = site.got("good");
    assert_eq!((got.len(), &got[0]["kind"]), (1, &"digest".into()));
    assert!(
        got[0]["text"].as_str().unwrap().contains("7 alerts"),
        "{}",
        got[0]["text"]
    );
    wait_until("a new day began", || {
        run.notifier.digest().contains("0 alerts")
    });
}
