//! What a state directory promises.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use ledger::{ProofFile, VerifyingKey};
use model::{Entry, Prefix};
use store::{AlertFilter, Content, Store, StoreError, StoreOptions};

use crate::samples::{self, alert, any, at, decision, filled, many, options, quiet};

const SIZES: [u64; 6] = [0, 1, 255, 256, 257, 1_000];

fn check_export(size: u64) {
    let (dir, store) = filled(size);
    let report = store.verify(&mut quiet).unwrap();
    assert_eq!((report.entries, store.size().unwrap()), (size, size));
    let out = dir.path().join("export");
    assert_eq!(store.export(&out, &mut quiet).unwrap().size, size);
    let Some(script) = outside::ledger_auditor() else {
        return;
    };
    let (base, vkey) = (out.to_str().unwrap(), store.vkey());
    let said = samples::run_verifier(&script, &["audit", base, &vkey]).unwrap();
    assert!(said.contains(&format!("size={size} ")), "{said}");
    for index in [0, size / 2, size.saturating_sub(1)] {
        if index >= size {
            continue;
        }
        let (proof, leaf) = (dir.path().join("proof"), dir.path().join("leaf"));
        fs::write(&proof, store.proof(index).unwrap().encode()).unwrap();
        fs::write(&leaf, store.entry(index).unwrap().leaf_bytes).unwrap();
        let leaf = format!("@{}", leaf.display());
        let args = ["proof", proof.to_str().unwrap(), &vkey, &leaf];
        samples::run_verifier(&script, &args).unwrap();
    }
}

#[test]
fn exports_satisfy_the_independent_verifier() {
    SIZES.into_iter().for_each(check_export);
}

#[test]
fn a_large_export_satisfies_the_independent_verifier() {
    check_export(66_000);
}

#[test]
fn an_export_grows_and_stays_consistent_with_what_it_was() {
    let (dir, mut store) = filled(300);
    let out = dir.path().join("export");
    store.export(&out, &mut quiet).unwrap();
    let old = dir.path().join("old-checkpoint");
    fs::copy(out.join("checkpoint"), &old).unwrap();
    store.append(&many(300..700), at(700)).unwrap();
    store.export(&out, &mut quiet).unwrap();
    if let Some(script) = outside::ledger_auditor() {
        let (base, vkey, old) = (out.to_str().unwrap(), store.vkey(), old.to_str().unwrap());
        samples::run_verifier(&script, &["audit", base, &vkey, "--old", old]).unwrap();
        samples::run_verifier(&script, &["light", base, &vkey, "--old", old]).unwrap();
    }
}

#[test]
fn a_foreign_folder_is_not_written_to() {
    let (dir, store) = filled(3);
    let out = dir.path().join("export");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("thesis.txt"), "years of work").unwrap();
    let refused = store.export(&out, &mut quiet);
    assert!(matches!(refused, Err(StoreError::ForeignExport { .. })));
    let (_other_dir, other) = filled(3);
    let theirs = dir.path().join("theirs");
    other.export(&theirs, &mut quiet).unwrap();
    assert!(matches!(
        store.export(&theirs, &mut quiet),
        Err(StoreError::ForeignExport { .. })
    ));
}

#[test]
fn the_same_happening_is_recorded_once() {
    let (_dir, mut store) = filled(0);
    let first = store
        .append(&[alert(1), alert(1), decision(1)], at(1))
        .unwrap();
    let say = |a: &[store::Appended]| a.iter().map(|a| (a.index, a.duplicate)).collect::<Vec<_>>();
    assert_eq!(say(&first), [(0, false), (0, true), (1, false)]);
    let checkpoint = store.checkpoint().unwrap();
    let again = store.append(&[decision(1), alert(1)], at(2)).unwrap();
    assert_eq!(say(&again), [(1, true), (0, true)]);
    assert_eq!(store.checkpoint().unwrap(), checkpoint);
    assert_eq!(
        say(&store.append(&[samples::notice(1)], at(2)).unwrap()),
        [(2, false)]
    );
    assert_eq!(
        say(&store.append(&[samples::notice(1)], at(2)).unwrap()),
        [(3, false)]
    );
    store.verify(&mut quiet).unwrap();
}

#[test]
fn a_batch_is_recorded_whole_or_not_at_all() {
    let (_dir, mut store) = filled(5);
    let Entry::Alert(mut huge) = alert(100) else {
        unreachable!()
    };
    huge.message = "x".repeat(model::limits::PAYLOAD_BYTES_MAX);
    let refused = store.append(&[alert(99), Entry::Alert(huge)], at(9));
    assert!(
        matches!(refused, Err(StoreError::TooLarge { position: 1, .. })),
        "{refused:?}"
    );
    assert_eq!(store.size().unwrap(), 5);
    store.append(&[alert(99)], at(9)).unwrap();
    assert_eq!(store.verify(&mut quiet).unwrap().entries, 6);
}

#[test]
fn what_is_recorded_is_there_after_opening_again() {
    let (dir, store) = filled(300);
    let state = dir.path().join("state");
    let (vkey, checkpoint) = (store.vkey(), store.checkpoint().unwrap());
    drop(store);
    let mut store = Store::open(&state, StoreOptions::default()).unwrap();
    assert_eq!(
        (store.vkey(), store.checkpoint().unwrap()),
        (vkey, checkpoint)
    );
    assert_eq!(
        store.append(&many(300..301), at(301)).unwrap()[0].index,
        300
    );
    for (n, stored) in (0..).zip(store.entries(0..1_000).unwrap()) {
        let Content::Kept {
            salt,
            payload,
            entry,
        } = &stored.content
        else {
            panic!("{n}")
        };
        assert_eq!((stored.index, stored.leaf.seq, entry), (n, n, &any(n)));
        assert_eq!(ledger::commitment(salt, payload), stored.leaf.commitment);
    }
    assert!(matches!(
        store.entry(301),
        Err(StoreError::NoSuchEntry {
            index: 301,
            size: 301
        })
    ));
    let key = VerifyingKey::parse(&store.vkey()).unwrap();
    let proof = ProofFile::parse(store.proof(77).unwrap().encode().as_bytes()).unwrap();
    proof
        .verify(&store.entry(77).unwrap().leaf_bytes, &key)
        .unwrap();
    assert!(
        proof
            .verify(&store.entry(78).unwrap().leaf_bytes, &key)
            .is_err()
    );
}

#[test]
fn bans_follow_decisions_releases_and_time() {
    let (_dir, mut store) = filled(0);
    store
        .append(
            &[decision(1), decision(2), decision(3), samples::release(2)],
            at(4),
        )
        .unwrap();
    let bans = |store: &Store, t| {
        store
            .bans(t)
            .unwrap()
            .iter()
            .map(|b| (b.index, b.decision.clone()))
            .collect::<Vec<_>>()
    };
    let want = |n| {
        let Entry::Decision(d) = decision(n) else {
            unreachable!()
        };
        d
    };
    assert_eq!(bans(&store, at(10)), [(0, want(1)), (2, want(3))]);
    // The ban of 1 ends first; at its very end it is no longer in force.
    assert_eq!(bans(&store, at(1 + 14_400)), [(2, want(3))]);
    let Entry::Decision(mut longer) = decision(1) else {
        unreachable!()
    };
    (longer.from, longer.until, longer.alerts) = (at(20), at(99_999), vec![]);
    store
        .append(&[Entry::Decision(longer.clone())], at(20))
        .unwrap();
    assert_eq!(bans(&store, at(30_000)), [(4, longer)]);
    let offenders = store.offenders().unwrap();
    let first = offenders
        .iter()
        .find(|o| o.prefix == want(1).prefix)
        .unwrap();
    assert_eq!((first.bans, first.last), (2, at(20)));
    assert_eq!(offenders.len(), 3);
}

#[test]
fn alerts_are_found_by_what_was_asked_for() {
    let (_dir, store) = filled(700);
    let find = |filter: AlertFilter| {
        store
            .alerts(&filter)
            .unwrap()
            .iter()
            .map(|a| a.index)
            .collect::<Vec<_>>()
    };
    let all = find(AlertFilter {
        limit: 1_000,
        ..AlertFilter::default()
    });
    assert_eq!(all.len(), 200);
    assert!(all.is_sorted_by(|a, b| a > b));
    let page = AlertFilter {
        before: Some(all[4]),
        limit: 2,
        ..AlertFilter::default()
    };
    assert_eq!(find(page), all[5..7]);
    let late = AlertFilter {
        since: Some(at(690)),
        ..AlertFilter::default()
    };
    assert_eq!(find(late), [695, 693]);
    let rule = AlertFilter {
        rule: Some("test/rule-1".into()),
        limit: 999,
        ..AlertFilter::default()
    };
    assert!(find(rule).iter().all(|n| n % 3 == 1));
    let value = samples::address(14).to_string();
    let value = AlertFilter {
        value: Some(value),
        limit: 999,
        ..AlertFilter::default()
    };
    assert_eq!(find(value), [14]);
    assert_eq!(
        store
            .refusals(2)
            .unwrap()
            .iter()
            .map(|r| r.index)
            .collect::<Vec<_>>(),
        [698, 691]
    );
    let counts = store.counts().unwrap();
    assert!(counts.contains(&("alert".into(), 200)), "{counts:?}");
}

#[test]
fn a_rebuild_changes_nothing_and_mends_projections() {
    let (dir, mut store) = filled(500);
    let before = store.verify(&mut quiet).unwrap();
    store.rebuild(&mut quiet).unwrap();
    assert_eq!(store.verify(&mut quiet).unwrap(), before);
    let db = rusqlite::Connection::open(dir.path().join("state/ledger.db")).unwrap();
    db.execute_batch("DELETE FROM ban; UPDATE offender SET bans = 99; DELETE FROM kind_count")
        .unwrap();
    assert!(store.verify(&mut quiet).is_err());
    store.rebuild(&mut quiet).unwrap();
    assert_eq!(store.verify(&mut quiet).unwrap(), before);
}

#[test]
fn one_writer_and_many_readers() {
    let (dir, mut store) = filled(3);
    let state = dir.path().join("state");
    let refused = Store::open(&state, options()).unwrap_err().to_string();
    assert!(
        refused.contains(&format!("process {}", std::process::id())),
        "{refused}"
    );
    let mut reader = Store::open_read_only(&state).unwrap();
    assert_eq!(reader.size().unwrap(), 3);
    store.append(&many(3..9), at(9)).unwrap();
    assert_eq!(reader.size().unwrap(), 9);
    reader.verify(&mut quiet).unwrap();
    assert!(matches!(
        reader.append(&many(9..10), at(9)),
        Err(StoreError::ReadOnly)
    ));
    assert!(matches!(
        reader.rebuild(&mut quiet),
        Err(StoreError::ReadOnly)
    ));
    drop(store);
    assert!(Store::open(&state, options()).is_ok());
}

#[test]
fn permissions_are_tight_and_looser_ones_refused() {
    let (dir, store) = filled(1);
    drop(store);
    let state = dir.path().join("state");
    let mode = |name: &str| fs::metadata(state.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("ledger.key")), (0o700, 0o600));
    let key = state.join("ledger.key");
    for (path, loose, tight) in [(&key, 0o640, 0o600), (&state, 0o755, 0o700)] {
        fs::set_permissions(path, fs::Permissions::from_mode(loose)).unwrap();
        let refused = Store::open(&state, options()).unwrap_err().to_string();
        assert!(refused.contains(&format!("chmod {tight:o}")), "{refused}");
        assert!(Store::open_read_only(&state).is_err());
        fs::set_permissions(path, fs::Permissions::from_mode(tight)).unwrap();
    }
    Store::open(&state, options()).unwrap();
}

#[test]
fn a_lost_key_or_another_name_is_no_reason_to_begin_anew() {
    let (dir, store) = filled(1);
    drop(store);
    let state = dir.path().join("state");
    let other = StoreOptions {
        origin: Some("log.example/other".into()),
        ..options()
    };
    assert!(matches!(
        Store::open(&state, other),
        Err(StoreError::OriginDiffers { .. })
    ));
    fs::remove_file(state.join("ledger.key")).unwrap();
    assert!(matches!(
        Store::open(&state, options()),
        Err(StoreError::KeyMissing { .. })
    ));
    fs::write(state.join("ledger.key"), "PRIVATE+KEY+nonsense").unwrap();
    fs::set_permissions(state.join("ledger.key"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(
        Store::open(&state, options()),
        Err(StoreError::Key { .. })
    ));
    let missing = Store::open_read_only(&dir.path().join("nowhere"));
    assert!(matches!(missing, Err(StoreError::Missing { .. })));
    let bad = StoreOptions {
        origin: Some("a name".into()),
        ..options()
    };
    assert!(matches!(
        Store::open(&dir.path().join("new"), bad),
        Err(StoreError::Key { .. })
    ));
}

#[test]
fn a_log_without_a_name_gets_one_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let name = |sub: &str| {
        let store = Store::open(&dir.path().join(sub), StoreOptions::default()).unwrap();
        VerifyingKey::parse(&store.vkey())
            .unwrap()
            .name()
            .to_owned()
    };
    let (a, b) = (name("a"), name("b"));
    assert!(a.contains("/posse/"), "{a}");
    assert_ne!(a, b);
}

#[test]
fn a_newer_database_is_refused() {
    let (dir, store) = filled(1);
    drop(store);
    let state = dir.path().join("state");
    let db = rusqlite::Connection::open(state.join("ledger.db")).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    for refused in [
        Store::open(&state, options()),
        Store::open_read_only(&state),
    ] {
        assert!(matches!(
            refused,
            Err(StoreError::SchemaTooNew { found: 99, .. })
        ));
    }
}

#[test]
fn checkpoints_kept_are_bounded_and_the_first_stays() {
    let (dir, mut store) = filled(0);
    for n in 0..2_600 {
        store.append(&[samples::notice(n)], at(n)).unwrap();
    }
    let report = store.verify(&mut quiet).unwrap();
    assert!(
        (1_024..=2_048).contains(&report.checkpoints),
        "{}",
        report.checkpoints
    );
    let db = rusqlite::Connection::open(dir.path().join("state/ledger.db")).unwrap();
    let first: i64 = db
        .query_row("SELECT min(size) FROM checkpoint", [], |r| r.get(0))
        .unwrap();
    assert_eq!(first, 0);
}

#[test]
fn what_is_old_goes_but_no_ban_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("state"), options()).unwrap();
    let day = Duration::from_secs(86_400);
    let of_day = |n: u64| at(n * 86_400);
    for n in 0..10u64 {
        // One ban of four hours and its alert a day, and one of a week on the first.
        let mut entries = vec![samples::alert(n), samples::decision(n)];
        if n == 0
            && let Entry::Decision(mut long) = samples::decision(100)
        {
            long.until = of_day(7);
            entries.push(Entry::Decision(long));
        }
        for entry in &mut entries {
            if let Entry::Decision(d) = entry
                && d.prefix != Prefix::host(samples::address(100))
            {
                (d.from, d.until) = (of_day(n), of_day(n).plus(Duration::from_secs(14_400)));
            }
        }
        store.append(&entries, of_day(n)).unwrap();
    }
    let erased = |store: &Store| store.verify(&mut quiet).unwrap().erased;
    assert_eq!(store.erase_older(day * 30, of_day(10)).unwrap(), None);
    // Days 0 to 3 are older than two days on the sixth; the long ban is in force.
    let said = store.erase_older(day * 2, of_day(6)).unwrap().unwrap();
    assert_eq!(said.index, 21);
    assert_eq!(erased(&store), 8);
    let in_force = store.bans(of_day(6)).unwrap();
    assert!(in_force.iter().any(|ban| ban.index == 2), "{in_force:?}");
    assert_eq!(store.erase_older(day * 2, of_day(6)).unwrap(), None);
    // When it is over it goes too; the announcement of the first erasure stays.
    store.erase_older(day * 2, of_day(30)).unwrap().unwrap();
    assert_eq!(erased(&store), 21);
    assert_eq!(store.erase_older(day * 2, of_day(30)).unwrap(), None);
}

#[test]
fn what_was_erased_leaves_little_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("state"), options()).unwrap();
    for n in 0..400u64 {
        let entry = samples::alert(n);
        let Entry::Alert(mut alert) = entry else {
            unreachable!("a sample alert is an alert")
        };
        alert.message = "x".repeat(6_000);
        store.append(&[Entry::Alert(alert)], at(n)).unwrap();
        // As retention does: a few at a time, soon after.
        if n % 20 == 19 {
            store.erase_older(Duration::ZERO, at(n)).unwrap();
        }
    }
    assert!(store.verify(&mut quiet).unwrap().erased >= 390);
    drop(store);
    let db = rusqlite::Connection::open(dir.path().join("state/ledger.db")).unwrap();
    let (pages, rows): (i64, i64) = db
        .query_row(
            "SELECT (SELECT count(*) FROM dbstat WHERE name = 'entry'),
                    (SELECT count(*) FROM entry)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert!(pages * 6 < rows, "{pages} pages for {rows} rows");
}

#[test]
fn erased_payloads_are_gone_and_every_proof_still_holds() {
    let (dir, mut store) = filled(300);
    let before = (store.entry(14).unwrap(), store.checkpoint().unwrap());
    let said = store.erase(10..21, "retention: 90 days", at(400)).unwrap();
    assert_eq!(said.index, 300);
    // Announcements stay, whatever is erased later.
    store
        .erase(299..301, "retention: 90 days", at(401))
        .unwrap();
    let report = store.verify(&mut quiet).unwrap();
    assert_eq!((report.entries, report.erased), (302, 12));
    let after = store.entry(14).unwrap();
    assert_eq!(after.leaf_bytes, before.0.leaf_bytes);
    assert_eq!(after.content, Content::Erased { at: at(400) });
    let value = samples::address(14).to_string();
    let find = AlertFilter {
        value: Some(value),
        limit: 999,
        ..AlertFilter::default()
    };
    assert!(store.alerts(&find).unwrap().is_empty());
    assert!(
        store
            .bans(at(0))
            .unwrap()
            .iter()
            .all(|b| !(10..21).contains(&b.index))
    );
    assert!(matches!(
        store.erase(0..303, "", at(402)),
        Err(StoreError::NoSuchEntry { .. })
    ));

    let Content::Kept { salt, .. } = before.0.content else {
        panic!()
    };
    drop(store);
    let file = fs::read(dir.path().join("state/ledger.db")).unwrap();
    assert!(
        !file.windows(32).any(|w| w == salt.0),
        "the salt is still in the file"
    );
    let store = Store::open(&dir.path().join("state"), options()).unwrap();
    let out = dir.path().join("export");
    store.export(&out, &mut quiet).unwrap();
    let Some(script) = outside::ledger_auditor() else {
        return;
    };
    let old = dir.path().join("old");
    fs::write(&old, before.1).unwrap();
    let (base, vkey, old) = (out.to_str().unwrap(), store.vkey(), old.to_str().unwrap());
    samples::run_verifier(&script, &["audit", base, &vkey, "--old", old]).unwrap();
}

#[test]
fn an_export_is_not_replaced_by_another_history() {
    let (dir, mut store) = filled(300);
    let state = dir.path().join("state");
    let out = dir.path().join("export");
    let copy = dir.path().join("ledger.db");
    drop(store);
    fs::copy(state.join("ledger.db"), &copy).unwrap();
    store = Store::open(&state, options()).unwrap();
    store.append(&many(300..310), at(310)).unwrap();
    store.export(&out, &mut quiet).unwrap();
    drop(store);
    fs::copy(&copy, state.join("ledger.db")).unwrap();
    store = Store::open(&state, options()).unwrap();
    for more in [0, 10, 600] {
        store.append(&many(300..300 + more), at(310)).unwrap();
        let refused = store.export(&out, &mut quiet).unwrap_err().to_string();
        assert!(refused.contains("not the beginning"), "{refused}");
    }
}
