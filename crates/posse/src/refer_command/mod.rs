//! `posse refer`: a case's referrals made, written and recorded. What stands in them is
//! `casework::referral`'s to say; here are the files, the databases of addresses and the ledger, in
//! this order: exhibits for the share, the bag, the entry that says it was referred.

mod args;
mod contacts;
mod files;
mod intake;
mod share;

use std::{
    io::Write,
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use casework::{
    jurisdiction::{Confirmation, Country, Jurisdictions, TABLE_BYTES_MAX},
    referral::{self, Asked, Geography, Place, Plan, Ready, Reporter, Stage},
};
use detect::enrich::Enrich as _;
use model::{AuthorityAct, CaseAct, CaseStep, Entry, harmless};
use serde::Deserialize;
use serde_json::json;
use store::Store;

pub(crate) use args::{IntakeCommand, ReferArgs, ReferCommand};
pub(crate) use files::{owned_by, read_folder, write_folder, write_new};
pub(crate) use intake::run as intake;

use crate::{
    case_command::Desk,
    clock,
    config::Config,
    exit::Exit,
    geoip::GeoIp,
    record::{Numbers, reading, record},
};
use args::Placed;
use share::{Cuttings, Shelf};

/// Below the state folder.
pub(crate) const REFERRALS: &str = "referrals";

/// The `[refer]` table: who refers, and by which table of jurisdictions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ReferConfig {
    organisation: String,
    name: String,
    email: String,
    telephone: String,
    country: Option<Country>,
    table: Option<PathBuf>,
}

pub(crate) fn run(arguments: &ReferArgs, out: &mut dyn Write) -> Result<Exit> {
    match &arguments.action {
        None => refer(arguments, out),
        Some(ReferCommand::List(a)) => contacts::list(a, out),
        Some(ReferCommand::Confirm(a)) => contacts::confirm(a, out),
        Some(ReferCommand::Contacts(a)) => contacts::show(a, out),
        Some(ReferCommand::Agree(a)) => contacts::agree(a, out),
    }
}

fn refer(arguments: &ReferArgs, out: &mut dyn Write) -> Result<Exit> {
    let case = arguments
        .case
        .as_deref()
        .context("say which case: posse refer CASE-2026-0001 (`posse case list` shows all)")?;
    let config = Config::load(arguments.config.as_deref()).map_err(|d| anyhow::anyhow!("{d}"))?;
    let desk = Desk::at(&arguments.acting)?;
    let table = table(arguments.table.as_deref().or(config.refer.table.as_deref()))?;
    let store = reading(&desk.dir)?;
    let now = arguments.at.unwrap_or_else(clock::now);
    let dossier = evidence::dossier(&store, case, now)?;
    let geography = geography(arguments, &config, &referral::addresses(&dossier))?;
    let reporter = reporter(arguments, &config, &dossier.holder);
    let acts = acts(&store)?;
    let confirmations: Vec<_> = acts.iter().filter_map(Confirmation::of).collect();
    let only = arguments.country.iter().find_map(|placed| match placed {
        Placed::Only(country) => Some(*country),
        Placed::Address(..) => None,
    });
    let asked = Asked {
        dossier: &dossier,
        geography: &geography,
        table: &table,
        confirmations: &confirmations,
        acts: &acts,
        reporter: &reporter,
        profile: arguments.profile,
        only,
        keep: arguments.keep(),
        stage: arguments.stage(),
        attach: arguments.attach(),
        attached: &[],
        number: 1,
    };
    let shelf = Shelf {
        desk: &desk,
        state: &arguments.acting.state,
        case,
    };
    let mut plan = referral::plan(&asked)?;
    let mut cuttings = shelf.cut(&plan.ready)?;
    plan.remarks.append(&mut cuttings.remarks);
    // From the look at the ledger to the entry, so that no number is given twice.
    let numbers = Numbers::lock(&desk.dir)?;
    let plan = finish(&shelf, &numbers, &asked, plan, &mut cuttings)?;
    let indices = keep(&desk, case, &plan.ready)?;
    if let Some(to) = &arguments.to {
        plan.ready
            .iter()
            .try_for_each(|ready| hand_out(ready, to, arguments.zip))?;
    }
    tell(&desk, &plan, &indices, &geography, out)?;
    Ok(match (plan.ready.is_empty(), plan.refused.is_empty()) {
        (true, _) => Exit::Failure,
        (false, true) => Exit::Success,
        (false, false) => Exit::Degraded,
    })
}

/// The same referrals with their numbers and with their exhibits, by what is on the ledger now.
fn finish(
    shelf: &Shelf<'_>,
    numbers: &Numbers,
    asked: &Asked<'_>,
    first: Plan,
    cuttings: &mut Cuttings,
) -> Result<Plan> {
    let store = reading(&shelf.desk.dir)?;
    let acts = acts(&store)?;
    let confirmations: Vec<_> = acts.iter().filter_map(Confirmation::of).collect();
    let mut taken = referred(&store)?;
    let mut plan = Plan {
        ready: Vec::new(),
        ..first
    };
    for ready in first.ready {
        let known = taken.iter().map(String::as_str);
        let referral = numbers.next("REF", 4, asked.dossier.now, known);
        let attached = shelf.attach(numbers, &referral, &ready, cuttings)?;
        let digits = referral.rsplit('-').next();
        let mut one = referral::plan(&Asked {
            only: Some(ready.country),
            acts: &acts,
            confirmations: &confirmations,
            attached: &attached,
            number: digits.and_then(|n| n.parse().ok()).unwrap_or(1),
            ..asked.clone()
        })?;
        if !one.ready.is_empty() {
            taken.push(referral);
        }
        plan.ready.append(&mut one.ready);
        plan.refused.append(&mut one.refused);
    }
    Ok(plan)
}

/// Writes each into the state folder, then records all of them. What was written and not recorded
/// when the power failed has no number on the ledger, and makes way for the next.
fn keep(desk: &Desk, case: &str, ready: &[Ready]) -> Result<Vec<u64>> {
    let mut entries = Vec::new();
    for one in ready.iter().filter(|one| one.stage == Stage::Final) {
        let folder = desk.dir.join(REFERRALS).join(&one.referral);
        write_folder(&folder, &one.files)?;
        owned_by(&desk.dir, &desk.dir.join(REFERRALS))?;
        entries.push(Entry::Case(CaseAct {
            at: clock::now(),
            case: case.to_owned(),
            by: desk.by.clone(),
            step: CaseStep::Referred {
                referral: one.referral.clone(),
                country: one.country.to_string(),
                authority: one.authority.clone(),
                profile: one.profile.to_string(),
                manifest: one.manifest,
            },
        }));
    }
    record(&desk.dir, entries)
}

fn hand_out(ready: &Ready, to: &Path, zip: bool) -> Result<()> {
    let draft = match ready.stage {
        Stage::Draft => "DRAFT-",
        Stage::Final => "",
    };
    let name = format!(
        "{draft}{}-{}-{}",
        ready.referral, ready.country, ready.profile
    );
    std::fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    if zip {
        let bytes = casework::zip(&name, &ready.files).context("the referral is beyond 4 GiB")?;
        return write_new(&to.join(format!("{name}.zip")), &bytes);
    }
    write_folder(&to.join(name), &ready.files)
}

fn tell(
    desk: &Desk,
    plan: &Plan,
    indices: &[u64],
    geography: &Geography,
    out: &mut dyn Write,
) -> Result<()> {
    let mut indices = indices.iter();
    for one in &plan.ready {
        let index = match one.stage {
            Stage::Final => indices.next(),
            Stage::Draft => None,
        };
        if desk.json {
            let line = json!({
                "referral": one.referral, "country": one.country, "profile": one.profile,
                "authority": one.authority, "manifest": one.manifest, "sources": one.sources,
                "victims": one.victims, "exhibits": one.exhibits, "index": index,
                "draft": one.stage == Stage::Draft,
            });
            writeln!(out, "{line}")?;
            continue;
        }
        let what = match index {
            Some(index) => format!("ledger entry {index}, kept in {REFERRALS}/{}", one.referral),
            None => "a draft, not recorded".to_owned(),
        };
        writeln!(
            out,
            "{} {} {}: {} sources, {} victims, {} exhibits, to {} ({what})",
            one.referral,
            one.country,
            one.profile,
            one.sources,
            one.victims,
            one.exhibits.len(),
            harmless(&one.authority)
        )?;
    }
    for refused in &plan.refused {
        for reason in &refused.reasons {
            if desk.json {
                let line = json!({
                    "refused": true, "country": refused.country, "profile": refused.profile,
                    "reason": reason,
                });
                writeln!(out, "{line}")?;
            } else {
                let (country, profile) = (refused.country, refused.profile);
                writeln!(out, "REFUSED {country} {profile}: {}", harmless(reason))?;
            }
        }
    }
    for remark in &plan.remarks {
        eprintln!("posse: {}", harmless(remark));
    }
    tell_unplaced(&plan.unplaced, geography);
    Ok(())
}

fn tell_unplaced(unplaced: &[IpAddr], geography: &Geography) {
    let Some(first) = unplaced.first() else {
        return;
    };
    let why = if geography.is_empty() {
        "there is no database of countries (--mmdb FILE, or [geoip] city)"
    } else {
        "no database tells"
    };
    eprintln!(
        "posse: where {} sources are is not known: {why}. Say it for each with --country \
         {first}=CC, or make them parties of the case with a country",
        unplaced.len()
    );
}

//------------ What it is made from ------------------------------------------

pub(crate) fn table(file: Option<&Path>) -> Result<Jurisdictions> {
    let Some(file) = file else {
        return Ok(Jurisdictions::built_in()?);
    };
    let size = std::fs::metadata(file)
        .with_context(|| format!("cannot read {}", file.display()))?
        .len();
    if size > TABLE_BYTES_MAX as u64 {
        bail!(
            "{} is too large for a table of jurisdictions",
            file.display()
        );
    }
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Jurisdictions::parse(&bytes).with_context(|| file.display().to_string())
}

/// Those that count: what takes two people was signed by persons who were enrolled.
pub(crate) fn acts(store: &Store) -> Result<Vec<AuthorityAct>> {
    let persons = evidence::persons(store)?;
    Ok(persons.weighed(store.authority_acts()?))
}

/// Every referral's number so far.
fn referred(store: &Store) -> Result<Vec<String>> {
    let mut numbers = Vec::new();
    for case in store.cases()? {
        for (_, act) in store.case_acts(&case)? {
            if let CaseStep::Referred { referral, .. } = act.step {
                numbers.push(referral);
            }
        }
    }
    Ok(numbers)
}

fn reporter(arguments: &ReferArgs, config: &Config, holder: &str) -> Reporter {
    let refer = &config.refer;
    let organisation = if refer.organisation.is_empty() {
        holder.to_owned()
    } else {
        refer.organisation.clone()
    };
    Reporter {
        organisation,
        name: refer.name.clone(),
        email: refer.email.clone(),
        telephone: refer.telephone.clone(),
        country: arguments.own_country.or(refer.country),
    }
}

/// What people say of an address counts before what databases say.
fn geography(
    arguments: &ReferArgs,
    config: &Config,
    addresses: &std::collections::BTreeSet<IpAddr>,
) -> Result<Geography> {
    let files = if arguments.mmdb.is_empty() {
        let (found, faults) = GeoIp::open(&config.geoip);
        if let Some(fault) = faults.first() {
            bail!("{fault:#}");
        }
        vec![(found, "the operator's GeoIP database".to_owned())]
    } else {
        let one = |file: &PathBuf| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            Ok((GeoIp::of_file(file)?, name.into_owned()))
        };
        arguments.mmdb.iter().map(one).collect::<Result<_>>()?
    };
    let mut geography = Geography::new();
    for address in addresses {
        for (database, name) in &files {
            add(&mut geography, *address, database, name);
        }
    }
    for placed in &arguments.country {
        if let Placed::Address(address, country) = placed {
            let place = geography.entry(*address).or_default();
            place.country = Some(*country);
            place.told_by = "the operator".to_owned();
        }
    }
    Ok(geography)
}

fn add(geography: &mut Geography, address: IpAddr, database: &GeoIp, name: &str) {
    let country = database.city(address).and_then(|c| c.country.parse().ok());
    let network = database.network(address).filter(|n| n.number > 0);
    if country.is_none() && network.is_none() {
        return;
    }
    let place = geography.entry(address).or_insert_with(|| Place {
        told_by: name.to_owned(),
        ..Place::default()
    });
    if country.is_some() {
        place.country = country;
        name.clone_into(&mut place.told_by);
    }
    if let Some(network) = network {
        place.network = format!("AS{} {}", network.number, network.organisation);
    }
}
