//! The recorder: batching, acknowledging, stopping.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use model::Entry;
use store::{Recorder, RecorderEvent, Store, StoreError};

use crate::samples::{alert, filled, notice, options, quiet};

#[test]
fn what_was_offered_is_recorded_in_order() {
    let (_dir, store) = filled(0);
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let on_event = move |event| seen.lock().unwrap().push(event);
    let recorder = Recorder::start(store, Box::new(on_event)).unwrap();
    for n in 0..2_000 {
        recorder.offer(vec![notice(n)]);
    }
    let waited = recorder.record_and_wait(vec![alert(1), alert(1)]).unwrap();
    assert_eq!((waited[0].index, waited[0].duplicate), (2_000, false));
    assert_eq!((waited[1].index, waited[1].duplicate), (2_000, true));
    assert_eq!(recorder.record_and_wait(vec![]).unwrap(), []);
    let status = recorder.status();
    assert_eq!((status.queued, status.lost, status.size), (0, 0, 2_001));
    let store = recorder.stop();
    for (n, stored) in (0..2_000).zip(store.entries(0..2_000).unwrap()) {
        assert_eq!(stored.entry(), Some(&notice(n)));
    }
    store.verify(&mut quiet).unwrap();
    let sizes: Vec<u64> = events
        .lock()
        .unwrap()
        .iter()
        .map(|event| match event {
            RecorderEvent::Recorded { size, .. } => *size,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(sizes.is_sorted() && sizes.last() == Some(&2_001));
}

#[test]
fn stopping_drains_and_lets_the_directory_go() {
    let (dir, store) = filled(0);
    let recorder = Recorder::start(store, Box::new(|_| {})).unwrap();
    recorder.offer((0..10_000).map(notice).collect());
    assert_eq!(recorder.stop().size().unwrap(), 10_000);
    let store = Store::open(&dir.path().join("state"), options()).unwrap();
    let recorder = Recorder::start(store, Box::new(|_| {})).unwrap();
    recorder.offer(vec![notice(10_000)]);
    drop(recorder);
    let store = Store::open(&dir.path().join("state"), options()).unwrap();
    assert_eq!(store.size().unwrap(), 10_001);
}

#[test]
fn an_entry_that_can_never_be_recorded_does_not_hold_the_others_up() {
    let (_dir, store) = filled(0);
    let recorder = Recorder::start(store, Box::new(|_| {})).unwrap();
    let Entry::Alert(mut huge) = alert(5) else {
        unreachable!()
    };
    huge.message = "x".repeat(model::limits::PAYLOAD_BYTES_MAX);
    let huge = Entry::Alert(huge);
    recorder.offer(vec![notice(0), huge.clone(), notice(1)]);
    let refused = recorder.record_and_wait(vec![huge]).unwrap_err();
    assert!(
        matches!(refused, StoreError::TooLarge { position: _, .. }),
        "{refused}"
    );
    recorder.record_and_wait(vec![notice(2)]).unwrap();
    let status = recorder.status();
    assert_eq!((status.lost, status.queued, status.paused), (1, 0, None));
    let store = recorder.stop();
    let kinds: Vec<_> = store
        .entries(0..9)
        .unwrap()
        .iter()
        .map(|s| s.leaf.kind.clone())
        .collect();
    assert_eq!(kinds.iter().filter(|k| *k == "notice").count(), 3);
    assert_eq!(kinds.iter().filter(|k| *k == "loss").count(), 1);
    store.verify(&mut quiet).unwrap();
}

#[test]
fn an_operator_need_not_wait_long() {
    let dir = tempfile::tempdir().unwrap();
    let full = store::StoreOptions {
        durability: store::Durability::PowerLoss,
        ..options()
    };
    let store = Store::open(&dir.path().join("state"), full).unwrap();
    let recorder = Recorder::start(store, Box::new(|_| {})).unwrap();
    let mut times: Vec<Duration> = (0..100)
        .map(|n| {
            let start = Instant::now();
            recorder.record_and_wait(vec![notice(n)]).unwrap();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!(
        "acknowledged after: median {:?}, slowest {:?}",
        times[50], times[99]
    );
    assert!(times[50] < Duration::from_millis(500), "{:?}", times[50]);
}

/// Run by hand, in release: `cargo test --release -p store --test it -- --ignored throughput`.
#[test]
#[ignore = "a measurement"]
fn throughput() {
    let dir = tempfile::tempdir().unwrap();
    let full = store::StoreOptions {
        durability: store::Durability::PowerLoss,
        ..options()
    };
    let store = Store::open(&dir.path().join("state"), full).unwrap();
    let recorder = Recorder::start(store, Box::new(|_| {})).unwrap();
    let count = 200_000;
    let start = Instant::now();
    for n in 0..count {
        while recorder.status().queued > 60_000 {
            std::thread::sleep(Duration::from_millis(1));
        }
        recorder.offer(vec![crate::samples::any(n)]);
    }
    let store = recorder.stop();
    let took = start.elapsed();
    assert_eq!(store.size().unwrap(), count);
    println!("{:.0} entries a second", count as f64 / took.as_secs_f64());
    let start = Instant::now();
    store.verify(&mut quiet).unwrap();
    println!("verified in {:?}", start.elapsed());
}
