use std::{future::Future, path::Path, sync::Arc};

use hub::{
    AlertFilter, Caller, Core, EndCause, Hub, KeyKind, NewBan, NewKey, OrderError, OrgId, Point,
    Release, Report,
};
use store::{Durability, Recorder, Store, StoreOptions};

pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work)
}

fn org(name: &str) -> OrgId {
    name.parse().unwrap()
}

fn open(dir: &Path) -> (Hub, Arc<Recorder>) {
    let options = StoreOptions {
        origin: None,
        durability: Durability::ProcessCrash,
    };
    let store = Store::open(&dir.join("state"), options).unwrap();
    let recorder = Arc::new(Recorder::start(store, Box::new(|_| {})).unwrap());
    (
        Hub::open(&dir.join("state"), org("hub"), Arc::clone(&recorder)).unwrap(),
        recorder,
    )
}

async fn key(core: &Core, name: &str, kind: KeyKind, organisation: &str) -> Caller {
    let new = NewKey {
        name: name.to_owned(),
        kind,
        organisation: Some(org(organisation)),
        community: None,
        secret: None,
        accepted: true,
        from: None,
    };
    let secret = core.add_key(&core.operator("test"), new).await.unwrap();
    match kind {
        KeyKind::Bouncer => core.caller_by_key(&secret).unwrap(),
        KeyKind::Machine => core
            .login(name, &secret, "192.0.2.1".parse().unwrap())
            .await
            .unwrap(),
    }
}

fn ban(prefix: &str, seconds: u64) -> Report {
    Report {
        alert: Some(serde_json::json!({
            "scenario": "example/ssh-bf",
            "source": {"scope": "Ip", "value": prefix},
        })),
        scenario: "example/ssh-bf".to_owned(),
        scope: "Ip".to_owned(),
        value: prefix.to_owned(),
        bans: vec![NewBan {
            prefix: prefix.parse().unwrap(),
            seconds,
            kind: "ban".to_owned(),
            origin: "crowdsec".to_owned(),
            scenario: "example/ssh-bf".to_owned(),
        }],
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, recorder) = open(dir.path());
    let core = hub.core();
    let (id, point) = run(async {
        let machine = key(&core, "agent", KeyKind::Machine, "hub").await;
        let made = core
            .report(&machine, vec![ban("203.0.113.9", 3_600)])
            .await
            .unwrap();
        assert!(made[0].index.is_some(), "an answer names its entry");
        (*made[0].bans[0].as_ref().unwrap(), core.point())
    });
    drop(core);
    hub.stop();
    drop(recorder);
    let (hub, _recorder) = open(dir.path());
    let core = hub.core();
    let operator = core.operator("test");
    let found = core.ban(&operator, id).expect("the ban is still there");
    assert_eq!(found.prefix.to_string(), "203.0.113.9");
    assert!(found.remaining_ms(core.now()) > 3_500_000);
    let changes = core
        .changes(&operator, Point(0), 10)
        .expect("pollers can go on");
    assert_eq!(changes.list.len(), 1);
    assert_eq!(core.point(), point);
    run(async {
        let by = core
            .login("agent", "wrong", "192.0.2.1".parse().unwrap())
            .await;
        assert!(by.is_err());
        let alerts = core
            .alerts(&operator, AlertFilter::default())
            .await
            .unwrap();
        assert_eq!(
            (alerts.len(), alerts[0].bans.as_slice()),
            (1, [id].as_slice())
        );
        let release = Release {
            prefix: Some("203.0.113.9".parse().unwrap()),
            ..Release::default()
        };
        assert_eq!(core.release(&operator, release).await.unwrap().ids, [id]);
    });
    let changes = core.changes(&operator, point, 10).unwrap();
    assert!(matches!(
        changes.list.as_slice(),
        [hub::Change::Ended {
            cause: EndCause::Released,
            ..
        }]
    ));
    drop(core);
    hub.stop();
}

#[test]
fn an_organisation_neither_sees_nor_lifts_anothers_bans() {
    let hub = Hub::in_memory(org("hub")).unwrap();
    let core = hub.core();
    run(async {
        let ours = key(&core, "ours", KeyKind::Machine, "acme").await;
        let theirs = key(&core, "theirs", KeyKind::Machine, "globex").await;
        let bouncer = key(&core, "door", KeyKind::Bouncer, "globex").await;
        let made = core
            .report(&ours, vec![ban("203.0.113.9", 600)])
            .await
            .unwrap();
        let id = *made[0].bans[0].as_ref().unwrap();
        assert_eq!(core.bans(&ours, 0, 10).len(), 1);
        for other in [&theirs, &bouncer] {
            assert!(core.bans(other, 0, 10).is_empty());
            assert!(core.ban(other, id).is_none());
            assert!(core.changes(other, Point(0), 10).unwrap().list.is_empty());
            assert!(
                core.bans_covering(other, "203.0.113.9".parse().unwrap())
                    .is_empty()
            );
        }
        let all = Release {
            all: true,
            ids: vec![id],
            ..Release::default()
        };
        assert!(
            core.release(&theirs, all.clone())
                .await
                .unwrap()
                .ids
                .is_empty()
        );
        assert!(matches!(
            core.release(&bouncer, all).await,
            Err(OrderError::Forbidden { .. })
        ));
        assert!(
            core.alerts(&theirs, AlertFilter::default())
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            core.delete_alerts(&theirs, AlertFilter::default())
                .await
                .unwrap(),
            0
        );
        assert!(matches!(
            core.report(&bouncer, vec![ban("203.0.113.10", 600)]).await,
            Err(OrderError::Forbidden { .. })
        ));
        // What the hub's own organisation bans, everybody sees.
        let operator = core.operator("test");
        core.report(&operator, vec![ban("198.51.100.1", 600)])
            .await
            .unwrap();
        assert_eq!(core.bans(&bouncer, 0, 10).len(), 1);
    });
    hub.stop();
}

#[test]
fn what_must_never_be_banned_is_refused_with_its_reason() {
    let hub = Hub::in_memory(org("hub")).unwrap();
    let core = hub.core();
    run(async {
        let machine = key(&core, "agent", KeyKind::Machine, "acme").await;
        for wrong in ["0.0.0.0/0", "127.0.0.1", "10.0.0.0/8", "::/0", "ff02::1"] {
            let made = core.report(&machine, vec![ban(wrong, 600)]).await.unwrap();
            assert!(made[0].bans[0].is_err(), "{wrong}");
        }
        assert!(core.bans(&core.operator("test"), 0, 10).is_empty());
    });
    hub.stop();
}

#[test]
fn a_ban_again_takes_the_place_of_the_former_one() {
    let hub = Hub::in_memory(org("hub")).unwrap();
    let core = hub.core();
    run(async {
        let machine = key(&core, "agent", KeyKind::Machine, "hub").await;
        let first = core
            .report(&machine, vec![ban("203.0.113.9", 600)])
            .await
            .unwrap();
        let second = core
            .report(&machine, vec![ban("203.0.113.9", 60)])
            .await
            .unwrap();
        let now = core.bans(&machine, 0, 10);
        assert_eq!(now.len(), 1);
        assert_eq!(now[0].id, *second[0].bans[0].as_ref().unwrap());
        assert_ne!(first[0].bans, second[0].bans);
        let operator = core.operator("test");
        let again = core.add_key(
            &operator,
            NewKey {
                name: "agent".to_owned(),
                kind: KeyKind::Machine,
                organisation: None,
                community: None,
                secret: None,
                accepted: true,
                from: None,
            },
        );
        assert!(matches!(again.await, Err(OrderError::NameTaken(_))));
    });
    hub.stop();
}
