//! Every role at every route, over the router that the hub serves.

use std::{net::SocketAddr, path::Path, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::{Request, StatusCode},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper_util::service::TowerToHyperService;
use model::{Entry, FleetAct};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use store::{Durability, Recorder, Store, StoreOptions};

use super::ROUTES;
use crate::{
    Core, Hub, Invite, KeyKind, NewKey,
    door::runtime,
    lapi,
    member::{Join, token_secret},
    registry::{Fingerprint, Hash, Person, Record},
    secret,
    server::{self, Session},
    totp,
};

/// Who comes, by the letter that the table below has for them.
enum Means {
    Certificate(Fingerprint),
    Key(String),
    Token(String),
    /// Name and password, as OpenC2 takes them.
    Basic(String),
}

/// Who may take which route: members with a certificate in capitals (Guard, Analyst, Partner,
/// poLice, Witness), a bouncer's key, a machine's token, the password of a Machine as `x`, people
/// as Analyst `a`, Partner `p` and poLice `l`. Written by hand: a new route is to be decided on.
fn allowed(method: &str, route: &str) -> &'static str {
    match (method, route) {
        ("POST", "/fleet/v1/join" | "/v1/watchers" | "/v1/watchers/login" | "/people/v1/login")
        | ("GET", "/health") => "GAPLWbmxapl",
        ("POST", "/fleet/v1/renew") => "GAPLW",
        ("POST", "/fleet/v1/here") => "GAPW",
        ("GET", "/fleet/v1/{community}/stream" | "/fleet/v1/{community}/snapshot/{hash}")
        | (
            "POST",
            "/fleet/v1/{community}/statements"
            | "/fleet/v1/{community}/appeals"
            | "/fleet/v1/{community}/spread",
        ) => "GAP",
        ("GET", "/handover/v1/offers" | "/handover/v1/offers/{org}/{number}") => "GAPL",
        ("POST", "/handover/v1/offers" | "/handover/v1/offers/{org}/{number}/answers") => "GAP",
        ("GET", "/handover/v1/offers/{org}/{number}/package")
        | (
            "POST",
            "/handover/v1/offers/{org}/{number}/receipt"
            | "/handover/v1/offers/{org}/{number}/decline"
            | "/handover/v1/offers/{org}/{number}/requests"
            | "/handover/v1/offers/{org}/{number}/outcomes",
        ) => "L",
        ("GET", "/v1/decisions" | "/v1/decisions/stream" | "/feeds/{format}") => "b",
        ("DELETE", "/v1/decisions" | "/v1/decisions/{id}") => "ma",
        ("POST", "/v1/usage-metrics") => "bmap",
        ("DELETE", "/v1/watchers/self") => "m",
        // People are told to log in again, which is 401.
        ("GET", "/v1/refresh_token") => "m",
        ("GET", "/v1/heartbeat") => "map",
        ("POST", "/v1/alerts") => "m",
        ("GET" | "DELETE", "/v1/alerts" | "/v1/alerts/{id}") => "ma",
        ("GET", "/v1/allowlists" | "/v1/allowlists/check/{*value}" | "/v1/allowlists/{name}")
        | ("POST", "/v1/allowlists/check") => "map",
        ("POST", "/openc2" | "/.well-known/openc2") => "x",
        _ => panic!("who may {method} {route}? Decide, here and in gate::ROUTES"),
    }
}

struct Site {
    core: Core,
    router: Router,
    runtime: tokio::runtime::Runtime,
}

impl Site {
    fn open(dir: &Path) -> (Self, Hub, Arc<Recorder>) {
        let options = StoreOptions {
            origin: None,
            durability: Durability::ProcessCrash,
        };
        let store = Store::open(dir, options).unwrap();
        let recorder = Arc::new(Recorder::start(store, Box::new(|_| {})).unwrap());
        let hub = Hub::open(dir, "hub".parse().unwrap(), Arc::clone(&recorder)).unwrap();
        let core = hub.core();
        let (doors, _) = server::doors(&core, lapi::Config::default());
        let router = server::all(doors, core.clone(), String::new());
        let runtime = runtime();
        let site = Self {
            core,
            router,
            runtime,
        };
        (site, hub, recorder)
    }

    fn member(&self, role: fleet::Role, number: u8) -> Means {
        let organisation: fleet::OrgId = format!("{role}-org").parse().unwrap();
        let invite = Invite {
            organisation: organisation.clone(),
            role,
            communities: Vec::new(),
            seconds: 60,
        };
        let operator = self.core.operator("test");
        let token = self.runtime.block_on(self.core.invite(&operator, invite));
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        let key = fleet::SigningKey::from_seed(&[number; 32]).unwrap();
        let joined = self.runtime.block_on(self.core.join(Join {
            secret: token_secret(&token.unwrap()).unwrap(),
            name: role.name().to_owned(),
            tls_point: pair.public_key().as_ref().to_vec(),
            statement_key: key.public(),
            from: "192.0.2.1".parse().unwrap(),
        }));
        let is_member = !joined.unwrap().communities.is_empty();
        assert_eq!(is_member, role.follows(), "{role}");
        let view = self.core.shared().view();
        let own = view.registry.certificates_of(&organisation, role.name());
        Means::Certificate(own[0].fingerprint)
    }

    fn key(&self, name: &str, kind: KeyKind) -> String {
        let new = NewKey {
            name: name.to_owned(),
            kind,
            organisation: None,
            community: None,
            secret: None,
            accepted: true,
            from: None,
        };
        let operator = self.core.operator("test");
        let made = self.runtime.block_on(self.core.add_key(&operator, new));
        made.unwrap()
    }

    /// People of every role, as an older hub may have let them in.
    fn person(&self, role: fleet::Role) -> Means {
        let (name, password, seed) = (role.name(), "a long password", Hash([7; 20]));
        let person = Record::Person(Person {
            name: name.to_owned(),
            organisation: "hub".parse().unwrap(),
            role,
            password: secret::hash_password(password).unwrap(),
            totp: Some(seed),
            totp_step: 0,
        });
        self.core.shared().view_mut().registry.put(person);
        let step = crate::core::unix_ms() / 1_000 / totp::STEP_SECONDS;
        let code = totp::of_step(&seed, step);
        let login = json!({"name": name, "password": password, "code": code});
        self.login("/people/v1/login", &login)
    }

    fn login(&self, path: &str, body: &Value) -> Means {
        let (status, text) = self.ask("POST", path, None, &body.to_string());
        assert_eq!(status, StatusCode::OK, "{text}");
        let token: Value = serde_json::from_str(&text).unwrap();
        Means::Token(format!("Bearer {}", token["token"].as_str().unwrap()))
    }

    fn ask(
        &self,
        method: &str,
        path: &str,
        by: Option<&Means>,
        body: &str,
    ) -> (StatusCode, String) {
        let from: SocketAddr = "192.0.2.1:9".parse().unwrap();
        let mut request = Request::builder().method(method).uri(path);
        let mut fingerprint = None;
        match by {
            Some(Means::Certificate(of)) => fingerprint = Some(*of),
            Some(Means::Key(key)) => request = request.header("x-api-key", key),
            Some(Means::Token(token)) => request = request.header("authorization", token),
            Some(Means::Basic(basic)) => request = request.header("authorization", basic),
            None => {}
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        request
            .extensions_mut()
            .insert(Session { from, fingerprint });
        request.extensions_mut().insert(ConnectInfo(from));
        let service = TowerToHyperService::new(self.router.clone());
        self.runtime.block_on(async {
            let answer = hyper::service::Service::call(&service, request);
            let answer = answer.await.unwrap();
            let status = answer.status();
            // A stream never ends.
            if status.is_success() && path.ends_with("/stream") {
                return (status, String::new());
            }
            let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
            (status, String::from_utf8_lossy(&body).into_owned())
        })
    }
}

fn callers(site: &Site) -> Vec<(char, Means)> {
    let machine = site.key("agent", KeyKind::Machine);
    let login = json!({"machine_id": "agent", "password": machine});
    let basic = STANDARD.encode(format!("agent:{machine}"));
    vec![
        ('G', site.member(fleet::Role::Guard, 1)),
        ('A', site.member(fleet::Role::Analyst, 2)),
        ('P', site.member(fleet::Role::Partner, 3)),
        ('L', site.member(fleet::Role::Police, 4)),
        ('W', site.member(fleet::Role::Witness, 5)),
        ('b', Means::Key(site.key("door", KeyKind::Bouncer))),
        ('m', site.login("/v1/watchers/login", &login)),
        ('x', Means::Basic(format!("Basic {basic}"))),
        ('a', site.person(fleet::Role::Analyst)),
        ('p', site.person(fleet::Role::Partner)),
        ('l', site.person(fleet::Role::Police)),
    ]
}

/// A path of the route; nothing that it names is there.
fn path_of(route: &str) -> String {
    let zeros = "0".repeat(64);
    [
        ("{community}", "main"),
        ("{hash}", &zeros),
        ("{org}", "acme"),
        ("{number}", "HO-2026-000001"),
        ("{id}", "999"),
        ("{*value}", "203.0.113.9"),
        ("{name}", "none"),
        ("{format}", "none"),
    ]
    .iter()
    .fold(route.to_owned(), |path, (from, to)| path.replace(from, to))
}

#[test]
fn every_route_is_open_to_whom_the_table_says_and_refusals_are_on_the_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let (site, hub, recorder) = Site::open(&dir.path().join("state"));
    let callers = callers(&site);
    let mut routes = ROUTES.to_vec();
    // Whoever takes this one is no longer known.
    routes.sort_by_key(|(_, route, _)| route.ends_with("/self"));
    for (method, route, _) in routes {
        let path = path_of(route);
        for (letter, means) in &callers {
            let is_slow = matches!(means, Means::Basic(_)) && !route.ends_with("openc2");
            if is_slow {
                continue;
            }
            let (status, text) = site.ask(method, &path, Some(means), "no body that fits");
            let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
            let is_open = !refused.contains(&status);
            let told = format!("{letter}: {method} {path}: {status} {text}");
            assert_eq!(is_open, allowed(method, route).contains(*letter), "{told}");
            let is_ours = route.starts_with("/fleet") || route.starts_with("/handover");
            if is_ours && status == StatusCode::FORBIDDEN {
                let fault: fleet::api::Fault = serde_json::from_str(&text).unwrap();
                assert_eq!(fault.code, "role", "{told}");
            }
        }
        let (status, text) = site.ask(method, &path, None, "no body that fits");
        let is_open = !matches!(status.as_u16(), 401 | 403);
        let is_public = allowed(method, route).len() == "GAPLWbmxapl".len();
        assert_eq!(
            is_open, is_public,
            "a stranger: {method} {path}: {status} {text}"
        );
    }
    // A route that nobody decided on is open to no role.
    let (status, _) = site.ask("PUT", "/v1/alerts", None, "");
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    hub.stop();
    drop(site);
    let store = Arc::into_inner(recorder).unwrap().stop();
    let mut kept = Vec::new();
    for stored in store.entries(0..store.size().unwrap()).unwrap() {
        if let Some(Entry::Fleet(FleetAct::RequestRefused {
            organisation,
            reason,
            ..
        })) = stored.entry()
        {
            kept.push((organisation.clone(), reason.clone()));
        }
    }
    for act in ["read bans", "send statements", "appeal", "tell how it is"] {
        let is_it = |(org, why): &&(String, String)| org == "police-org" && why.contains(act);
        // Two routes were refused for reading; within a minute that is one entry.
        assert_eq!(kept.iter().filter(is_it).count(), 1, "{act}: {kept:?}");
    }
}
