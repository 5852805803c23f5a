//! `posse handover`: files of cases change hands. What may follow what is `casework::handover`'s
//! to say; here are the files, the ledger of this side, and the way to the hub.
//!
//! Each side records what both did. What the hub tells is checked like everything from outside:
//! signatures by their keys, the order of acts by the rules, before any of it goes on the ledger.

mod args;
mod receive;

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use casework::handover::{
    Handover, Standing,
    api::{self, PACKAGE_BYTES_MAX, Told},
    number, sign,
};
use model::{ContentHash, Entry, HandoverAct, Outcome, Timestamp, harmless};
use serde_json::json;
use store::Store;
use uplink::Door;

pub(crate) use args::HandoverCommand;

use crate::{
    case_command::{Acting, Desk},
    clock,
    exit::Exit,
    hub_command::{self, HubOrder},
    operator::open_to_read,
    record::{Numbers, reading, record},
    refer_command::{REFERRALS, owned_by, read_folder, write_new},
    state,
};
use args::{HandoverListArgs, HandoverOf, OfferArgs, OneArgs, OutcomeArgs};

/// Packages that were offered, by their SHA-256, below the state folder.
const PACKAGES: &str = "handovers";
const TAG_MANIFEST: &str = "tagmanifest-sha256.txt";

pub(crate) fn run(command: &HandoverCommand, out: &mut dyn Write) -> Result<Exit> {
    match command {
        HandoverCommand::Offer(a) => offer(a, out),
        HandoverCommand::Send(a) => send(a, out),
        HandoverCommand::Receive(a) => receive::run(a, out),
        HandoverCommand::Take(a) => receive::take(a, out),
        HandoverCommand::List(a) => list(a, out),
        HandoverCommand::Decline(_)
        | HandoverCommand::Ask(_)
        | HandoverCommand::Answer(_)
        | HandoverCommand::Outcome(_) => follow(command, out),
    }
}

/// What one of both sides does after the offer.
fn follow(command: &HandoverCommand, out: &mut dyn Write) -> Result<Exit> {
    match command {
        HandoverCommand::Decline(a) => {
            let body = |by: &str| api::Decline {
                by: by.to_owned(),
                reason: a.reason.clone(),
            };
            step(
                &a.one.of,
                &a.one.acting,
                "decline",
                body,
                |id, at, body| HandoverAct::Declined {
                    at,
                    handover: id,
                    by: body.by,
                    reason: body.reason,
                },
                out,
            )
        }
        HandoverCommand::Ask(a) => {
            let body = |by: &str| api::Ask {
                by: by.to_owned(),
                wish: a.wish.clone(),
                legal_basis: a.legal_basis.clone(),
                due: a.due,
            };
            step(
                &a.one.of,
                &a.one.acting,
                "requests",
                body,
                |id, at, body| HandoverAct::MoreAsked {
                    at,
                    handover: id,
                    request: String::new(),
                    by: body.by,
                    wish: body.wish,
                    legal_basis: body.legal_basis,
                    due: body.due,
                },
                out,
            )
        }
        _ => bring(command, out),
    }
}

/// What brings it further: an answer, an outcome.
fn bring(command: &HandoverCommand, out: &mut dyn Write) -> Result<Exit> {
    match command {
        HandoverCommand::Answer(a) => {
            let body = |by: &str| api::Answer {
                by: by.to_owned(),
                request: a.request.clone(),
                answer: a.answer.clone(),
            };
            step(
                &a.one.of,
                &a.one.acting,
                "answers",
                body,
                |id, at, body| HandoverAct::Answered {
                    at,
                    handover: id,
                    request: body.request,
                    by: body.by,
                    answer: body.answer,
                },
                out,
            )
        }
        HandoverCommand::Outcome(a) => {
            let body = |by: &str| api::Report {
                by: by.to_owned(),
                outcome: outcome(a),
            };
            step(
                &a.one.of,
                &a.one.acting,
                "outcomes",
                body,
                |id, at, body| HandoverAct::OutcomeReported {
                    at,
                    handover: id,
                    by: body.by,
                    outcome: body.outcome,
                },
                out,
            )
        }
        _ => bail!("this command has a way of its own"),
    }
}

fn outcome(a: &OutcomeArgs) -> Outcome {
    Outcome {
        kind: a.kind,
        when: a.when.unwrap_or_else(clock::now),
        count: a.count,
        unit: String::new(),
        source: a.source.clone(),
        note: a.note.clone(),
    }
}

//------------ Offering ------------------------------------------------------

struct Package {
    case: String,
    referral: String,
    manifest: ContentHash,
    bytes: Vec<u8>,
}

fn offer(arguments: &OfferArgs, out: &mut dyn Write) -> Result<Exit> {
    let desk = Desk::at(&arguments.acting)?;
    let is_hub = hub_command::is_hub(&arguments.acting.state);
    if is_hub && arguments.hub {
        bail!("this is the hub itself: leave --hub out");
    }
    let mut door = arguments.hub.then(|| door(&desk.dir)).transpose()?;
    let store = reading(&desk.dir)?;
    let package = package(&desk.dir, &store, arguments)?;
    if package.bytes.len() as u64 > PACKAGE_BYTES_MAX {
        bail!("the package has more than {PACKAGE_BYTES_MAX} bytes; hand it over on a medium");
    }
    let from = match &door {
        Some(door) => door.membership().organisation.to_string(),
        None if is_hub => hub_organisation(&desk.dir)?,
        None => holder(&store),
    };
    let numbers = Numbers::lock(&desk.dir)?;
    let known = store.handovers()?;
    let own = known
        .iter()
        .map(|id| id.strip_prefix(&format!("{from}/")).unwrap_or(id));
    let now = clock::now();
    let id = numbers.next("HO", 4, now, own);
    let hash = ContentHash::of(&package.bytes);
    keep(&desk.dir, hash, &package.bytes)?;
    let mut act = HandoverAct::Offered {
        at: now,
        handover: id.clone(),
        case: package.case,
        referral: package.referral,
        from,
        to: arguments.to.clone(),
        by: desk.by.clone(),
        manifest: package.manifest,
        package: hash,
        bytes: package.bytes.len() as u64,
        key: String::new(),
        signature: String::new(),
    };
    sign(&mut act, &store.vkey(), |text| store.sign_note(text));
    casework::handover::check(&act)?;
    if is_hub {
        let order = HubOrder::HandOver {
            key: id.clone(),
            act: Box::new(act.clone()),
        };
        hub_command::ask(&arguments.acting.state, &order)?;
    } else {
        record(&desk.dir, vec![Entry::Handover(act.clone())])?;
    }
    drop(numbers);
    if let Some(dir) = &arguments.out {
        hand_out(dir, &id, &act, &package.bytes)?;
    }
    let sent = door.as_mut().map(|door| door.offer(&act, package.bytes));
    if let Some(Err(e)) = sent {
        bail!(
            "{id} is on record here, but not at the hub: {e}; try again with: posse handover send \
             {id}"
        );
    }
    if desk.json {
        writeln!(out, "{}", json!({ "handover": id, "package": hash }))?;
    } else {
        writeln!(out, "{id} offered to {}", harmless(&arguments.to))?;
    }
    Ok(Exit::Success)
}

/// Package and offer, to be carried.
fn hand_out(dir: &Path, id: &str, act: &HandoverAct, package: &[u8]) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    write_new(&dir.join(format!("{id}.zip")), package)?;
    write_new(&dir.join(format!("{id}.offer.json")), &json_file(act)?)
}

/// Under its hash in the state folder, whole or not at all.
fn keep(dir: &Path, hash: ContentHash, bytes: &[u8]) -> Result<()> {
    let folder = dir.join(PACKAGES);
    std::fs::create_dir_all(&folder)?;
    write_new(&folder.join(hash.to_string()), bytes)?;
    owned_by(dir, &folder)
}

fn json_file(act: &HandoverAct) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(act)?;
    text.push(b'\n');
    Ok(text)
}

fn package(dir: &Path, store: &Store, arguments: &OfferArgs) -> Result<Package> {
    let what = arguments.what.as_str();
    if what.starts_with("REF-") {
        let (case, manifest) = referral(store, what)?;
        let files = read_folder(&dir.join(REFERRALS).join(what))?;
        let found = tag_manifest(&files)?;
        if found != manifest {
            bail!("the files of {what} are not those that were recorded; refer the case again");
        }
        let bytes = casework::zip(what, &files).context("the referral is too large")?;
        return Ok(Package {
            case,
            referral: what.to_owned(),
            manifest,
            bytes,
        });
    }
    let case = arguments.case.clone();
    let case = case.context("say which case the pack is of: --case CASE-2026-0001")?;
    evidence::read_case(store, &case, Timestamp::MAX)?;
    let path = PathBuf::from(what);
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let (manifest, bytes) = if path.is_dir() {
        let files = read_folder(&path)?;
        let bytes = casework::zip(&name, &files).context("the pack is too large")?;
        (tag_manifest(&files)?, bytes)
    } else {
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {what}"))?;
        (receive::manifest_of(&bytes)?, bytes)
    };
    Ok(Package {
        referral: name.into_owned(),
        case,
        manifest,
        bytes,
    })
}

fn tag_manifest(files: &[(String, Vec<u8>)]) -> Result<ContentHash> {
    let found = files.iter().find(|(name, _)| name == TAG_MANIFEST);
    let (_, bytes) = found.with_context(|| format!("it is no bag: it has no {TAG_MANIFEST}"))?;
    Ok(ContentHash::of(bytes))
}

fn referral(store: &Store, id: &str) -> Result<(String, ContentHash)> {
    for case in store.cases()? {
        let case = evidence::read_case(store, &case, Timestamp::MAX)?;
        if let Some(found) = case.referrals.iter().find(|r| r.referral == id) {
            return Ok((case.id, found.manifest));
        }
    }
    bail!("there is no referral {id}; posse refer list shows all")
}

fn send(arguments: &OneArgs, out: &mut dyn Write) -> Result<Exit> {
    let desk = Desk::at(&arguments.acting)?;
    let store = reading(&desk.dir)?;
    let acts = local(&store, &arguments.handover)?;
    let Some(act @ HandoverAct::Offered { package, .. }) = acts.first() else {
        bail!("there is no offer {} here", arguments.handover);
    };
    let path = desk.dir.join(PACKAGES).join(package.to_string());
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let done = door(&desk.dir)?.offer(act, bytes)?;
    writeln!(out, "{} is at the hub", harmless(&done.handover))?;
    Ok(Exit::Success)
}

//------------ What follows --------------------------------------------------

/// One act of one side, at the hub or on this ledger alone.
fn step<T: serde::Serialize>(
    of: &HandoverOf,
    acting: &Acting,
    what: &str,
    body: impl FnOnce(&str) -> T,
    make: impl FnOnce(String, Timestamp, T) -> HandoverAct,
    out: &mut dyn Write,
) -> Result<Exit> {
    let desk = Desk::at(acting)?;
    let body = body(&desk.by);
    let id = of.handover.clone();
    let told = if of.hub {
        let mut door = door(&desk.dir)?;
        let key = at_hub(&door, &id);
        let done = door.tell(&key, what, &body)?;
        sync(&desk.dir, &mut door)?;
        done.act
    } else {
        let _numbers = Numbers::lock(&desk.dir)?;
        let store = reading(&desk.dir)?;
        let acts = local(&store, &id)?;
        let mut sum = Handover::of(&acts).with_context(|| {
            format!("there is no hand-over {id} here; posse handover list shows all")
        })?;
        let mut act = make(id.clone(), clock::now(), body);
        if let HandoverAct::MoreAsked { request, .. } = &mut act {
            *request = sum.next_request();
        }
        sum.take(&act)?;
        if hub_command::is_hub(&acting.state) {
            let order = HubOrder::HandOver {
                key: id.clone(),
                act: Box::new(act.clone()),
            };
            hub_command::ask(&acting.state, &order)?;
        } else {
            record(&desk.dir, vec![Entry::Handover(act.clone())])?;
        }
        act
    };
    if desk.json {
        writeln!(out, "{}", serde_json::to_string(&told)?)?;
        return Ok(Exit::Success);
    }
    match &told {
        HandoverAct::MoreAsked { request, .. } => writeln!(out, "{id}: {request} asked")?,
        _ => writeln!(out, "{id}: recorded")?,
    }
    Ok(Exit::Success)
}

fn list(arguments: &HandoverListArgs, out: &mut dyn Write) -> Result<Exit> {
    let dir = state::folder(arguments.state.state.as_deref())?;
    if arguments.hub {
        sync(&dir, &mut door(&dir)?)?;
    }
    let store = open_to_read(Some(&dir))?;
    let now = clock::now();
    let mut count = 0;
    for id in store.handovers()? {
        let acts = local(&store, &id)?;
        let sum = Handover::of(&acts).with_context(|| format!("{id} on the ledger"))?;
        count += 1;
        if arguments.json {
            let line = json!({
                "handover": id, "case": sum.case, "referral": sum.referral, "from": sum.from,
                "to": sum.to, "manifest": sum.manifest, "package": sum.package,
                "standing": sum.in_words(now),
                "waits_seconds": sum.waits(now).map(|w| w.as_secs()),
                "looks": sum.looks,
                "open_requests": sum.wishes.iter().filter(|w| w.answer.is_none()).count(),
                "outcomes": sum.outcomes, "acts": acts,
            });
            writeln!(out, "{line}")?;
            continue;
        }
        tell(&id, &sum, now, out)?;
    }
    if count == 0 && !arguments.json {
        writeln!(out, "nothing was handed over")?;
    }
    Ok(Exit::Success)
}

fn tell(id: &str, sum: &Handover, now: Timestamp, out: &mut dyn Write) -> Result<()> {
    writeln!(
        out,
        "{}  {}  {}  {} to {}: {}",
        harmless(id),
        harmless(&sum.case),
        harmless(&sum.referral),
        harmless(&sum.from),
        harmless(&sum.to),
        harmless(&sum.in_words(now))
    )?;
    for wish in &sum.wishes {
        let state = match &wish.answer {
            Some(answer) => format!("answered: {answer}"),
            None => format!("due {}", wish.due),
        };
        writeln!(
            out,
            "  {} {} ({}): {}",
            harmless(&wish.request),
            harmless(&wish.wish),
            harmless(&wish.legal_basis),
            harmless(&state)
        )?;
    }
    for outcome in &sum.outcomes {
        let kind = serde_json::to_value(outcome.kind)?;
        writeln!(
            out,
            "  {}: {} ({})",
            kind.as_str().unwrap_or_default(),
            outcome.count,
            harmless(&outcome.source)
        )?;
    }
    Ok(())
}

/// How many offers wait for a receipt, and how long the oldest has; for `posse status`.
pub(crate) fn waiting(store: &Store) -> Result<Option<(usize, Duration)>> {
    let waits = unanswered(store)?;
    let oldest = waits.iter().map(|(_, _, waits)| *waits).max();
    Ok(oldest.map(|oldest| (waits.len(), oldest)))
}

/// Offers that nobody signed for: which, to whom, and for how long.
pub(crate) fn unanswered(store: &Store) -> Result<Vec<(String, String, Duration)>> {
    let now = clock::now();
    let mut waits = Vec::new();
    for id in store.handovers()? {
        if let Ok(sum) = Handover::of(&local(store, &id)?)
            && sum.standing == Standing::Offered
        {
            waits.push((id, sum.to, now.since(sum.offered)));
        }
    }
    Ok(waits)
}

//------------ The hub -------------------------------------------------------

fn door(dir: &Path) -> Result<Door> {
    let door = Door::open(dir, env!("CARGO_PKG_VERSION"))?;
    door.with_context(|| {
        format!(
            "{} belongs to no hub; join one with `posse join`, or carry the files by hand",
            dir.display()
        )
    })
}

/// The hub's name for a hand-over: the organisation that offered it stands before.
fn at_hub(door: &Door, id: &str) -> String {
    if id.contains('/') {
        return id.to_owned();
    }
    format!("{}/{id}", door.membership().organisation)
}

/// Records here what the hub has of our hand-overs and this ledger has not.
fn sync(dir: &Path, door: &mut Door) -> Result<()> {
    let own = door.membership().organisation.to_string();
    let told = door.list()?;
    let _numbers = Numbers::lock(dir)?;
    let store = reading(dir)?;
    let mut entries = Vec::new();
    for one in &told {
        entries.extend(news(&store, &own, one)?);
    }
    record(dir, entries)?;
    Ok(())
}

/// Acts that are new here. All of them must fit together, by their signatures and their order.
fn news(store: &Store, own: &str, told: &Told) -> Result<Vec<Entry>> {
    let id = match told.handover.strip_prefix(&format!("{own}/")) {
        Some(number) => number.to_owned(),
        None => told.handover.clone(),
    };
    let known = local(store, &id)?;
    let mut all = known.clone();
    for act in &told.acts {
        let mut act = act.clone();
        rename(&mut act, &id);
        if !all.contains(&act) {
            all.push(act);
        }
    }
    Handover::of(&all).with_context(|| {
        format!("what the hub tells of {id} does not fit; nothing of it was recorded")
    })?;
    let fresh = all.into_iter().skip(known.len());
    Ok(fresh.map(Entry::Handover).collect())
}

fn rename(act: &mut HandoverAct, id: &str) {
    match act {
        HandoverAct::Offered { handover, .. }
        | HandoverAct::Received { handover, .. }
        | HandoverAct::Declined { handover, .. }
        | HandoverAct::Looked { handover, .. }
        | HandoverAct::MoreAsked { handover, .. }
        | HandoverAct::Answered { handover, .. }
        | HandoverAct::OutcomeReported { handover, .. } => id.clone_into(handover),
    }
}

fn local(store: &Store, id: &str) -> Result<Vec<HandoverAct>> {
    let acts = store.handover_acts(id)?.into_iter();
    Ok(acts.map(|(_, act)| act).collect())
}

/// The log's name, which stands before the first plus of its key.
fn holder(store: &Store) -> String {
    let key = store.vkey();
    key.split('+').next().unwrap_or_default().to_owned()
}

pub(crate) fn hub_organisation(dir: &Path) -> Result<String> {
    let found = hub::Hub::organisation_of(dir)?;
    Ok(found
        .context("the hub has no organisation yet")?
        .to_string())
}
