//! `posse case …`: every act becomes a ledger entry, and a case is the sum of its entries.

mod args;
mod clocks;
mod spread;
mod tell;

use std::{collections::BTreeSet, io::Write, path::PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use casework::Case;
use model::{
    AlertId, CaseAct, CaseStep, Entry, LossFigure, Milestone, Outcome, OutcomeKind, Party, Task,
    Timestamp,
};
use serde_json::json;
use store::{AlertFilter, Store};

pub(crate) use args::{Acting, CaseCommand, time, word};

use crate::{
    clock,
    config::Config,
    exhibit_command::{self, LogFiles, Taking},
    exit::Exit,
    pack_command,
    record::{Numbers, reading, record},
    service, state,
};
use args::{
    AddAlertsArgs, AlertsOfCaseArgs, LossArgs, OpenArgs, OutcomeArgs, PartyArgs, hundredths,
};

/// Alerts among which a shortened id is looked for.
const ALERTS_SEARCHED: usize = 100_000;
/// Fewer digits would soon name two alerts.
const ID_DIGITS_MIN: usize = 4;

pub(crate) fn run(command: &CaseCommand, out: &mut dyn Write) -> Result<Exit> {
    match command {
        CaseCommand::List(arguments) => tell::list(arguments, out),
        CaseCommand::Show(arguments) => tell::show(arguments, out),
        CaseCommand::Clocks(arguments) => clocks::show(arguments, out),
        CaseCommand::Report(arguments) => clocks::year(arguments, out),
        CaseCommand::Open(arguments) => open(arguments, out),
        CaseCommand::AddAlerts(arguments) => add_alerts(arguments, out),
        CaseCommand::TakeAlerts(arguments) => {
            let desk = Desk::at(&arguments.acting)?;
            let step = CaseStep::AlertsTaken {
                alerts: desk.alerts(arguments)?,
                reason: arguments.reason.clone(),
            };
            desk.act(&arguments.case, step, out)
        }
        CaseCommand::Export(arguments) => pack_command::export(arguments, out),
        other => {
            let (acting, case, step) = simple(other)?;
            Desk::at(acting)?.act(case, step, out)
        }
    }
}

/// The commands that become one entry each, as they are.
fn simple(command: &CaseCommand) -> Result<(&Acting, &str, CaseStep)> {
    let now = clock::now();
    Ok(match command {
        CaseCommand::Party(a) => (&a.acting, &a.case, CaseStep::PartyAdded(party(a)?)),
        CaseCommand::Task(a) => {
            let task = Task {
                id: a.id.clone(),
                title: a.title.clone(),
                assignee: a.assignee.clone(),
                due: a.due,
                done: a.done,
            };
            (&a.acting, &a.case, CaseStep::TaskSet(task))
        }
        CaseCommand::Note(a) => {
            let step = CaseStep::NoteAdded {
                text: a.text.clone(),
                tlp: a.tlp,
            };
            (&a.acting, &a.case, step)
        }
        CaseCommand::Loss(a) => (&a.acting, &a.case, CaseStep::LossAdded(loss(a)?)),
        CaseCommand::Measure(a) => {
            let step = CaseStep::MeasureTaken {
                when: a.when.unwrap_or(now),
                what: a.what.clone(),
                prefixes: a.prefix.clone(),
                effect: a.effect.clone(),
            };
            (&a.acting, &a.case, step)
        }
        CaseCommand::Milestone(a) => {
            let milestone = Milestone {
                kind: a.kind,
                when: a.when.unwrap_or(now),
                source: a.source.clone(),
                about: a.about.clone(),
                note: a.note.clone(),
                lapses: a.lapses,
                instrument: a.instrument.clone(),
            };
            (&a.acting, &a.case, CaseStep::Milestone(milestone))
        }
        CaseCommand::Forborne(a) => {
            let step = CaseStep::Forborne {
                what: a.what.clone(),
                reason: a.reason.clone(),
            };
            (&a.acting, &a.case, step)
        }
        CaseCommand::Outcome(a) => {
            let step = CaseStep::OutcomeRecorded(outcome(a, now)?);
            (&a.acting, &a.case, step)
        }
        CaseCommand::Close(a) => {
            let reason = a.reason.clone();
            (&a.acting, &a.case, CaseStep::Closed { reason })
        }
        CaseCommand::Reopen(a) => {
            let reason = a.reason.clone();
            (&a.acting, &a.case, CaseStep::Reopened { reason })
        }
        _ => bail!("this command has a way of its own"),
    })
}

fn party(a: &PartyArgs) -> Result<Party> {
    check_country(&a.country)?;
    Ok(Party {
        id: a.id.clone(),
        role: a.role,
        name: a.name.clone(),
        country: a.country.to_ascii_uppercase(),
        addresses: a.address.clone(),
        networks: a.network.clone(),
        contacts: a.contact.clone(),
        note: a.note.clone(),
    })
}

fn loss(a: &LossArgs) -> Result<LossFigure> {
    if a.low > a.high {
        bail!("--low is more than --high");
    }
    Ok(LossFigure {
        party: a.party.clone(),
        what: a.what.clone(),
        low: a.low,
        high: a.high,
        unit: a.unit.clone(),
        source: a.source.clone(),
        method: a.method.clone(),
    })
}

fn add_alerts(arguments: &AddAlertsArgs, out: &mut dyn Write) -> Result<Exit> {
    let config = Config::load(arguments.config.as_deref()).map_err(|d| anyhow!("{d}"))?;
    exhibit_command::check_class(&config, &arguments.class)?;
    let which = &arguments.which;
    let dir = state::folder(which.acting.state.state.as_deref())?;
    // While we still are who called: the logs are theirs to read.
    let logs = LogFiles::open(&config);
    service::step_down(&dir)?;
    let desk = Desk::at(&which.acting)?;
    let alerts = desk.alerts(which)?;
    let step = CaseStep::AlertsAdded {
        alerts: alerts.clone(),
        reason: which.reason.clone(),
    };
    desk.act(&which.case, step, out)?;
    if arguments.no_exhibits {
        return Ok(Exit::Success);
    }
    let store = reading(&dir)?;
    let case = evidence::read_case(&store, &which.case, Timestamp::MAX)?;
    let taking = Taking {
        authority: case.authority.clone(),
        reason: format!("evidence for {}: {}", case.id, case.title),
        case: Some(case.id.clone()),
        class: arguments.class.clone(),
        tlp: case.tlp,
        role: "operator".to_owned(),
        place: None,
        media_type: None,
    };
    let taken = lines_taken(&store, &case.id)?;
    let alerts: Vec<AlertId> = alerts
        .into_iter()
        .filter(|id| !taken.contains(id))
        .collect();
    exhibit_command::take_alerts(&which.acting, &taking, &alerts, &config, &logs, out).with_context(
        || {
            format!(
                "the alerts are in {}, but not their evidence; try again with: posse exhibit add \
                 --alert ID --case {} --authority TEXT",
                case.id, case.id
            )
        },
    )
}

/// Alerts whose raw lines were taken for the case.
fn lines_taken(store: &Store, case: &str) -> Result<BTreeSet<AlertId>> {
    let mut taken = BTreeSet::new();
    for number in store.exhibits_of(case)? {
        let record = evidence::exhibit(store, &number, Timestamp::MAX)?;
        if let Some(record) = record.filter(|r| r.acquired.what.method == "alert") {
            taken.extend(record.acquired.what.alert);
        }
    }
    Ok(taken)
}

fn check_country(country: &str) -> Result<()> {
    let two = country.len() == 2 && country.bytes().all(|b| b.is_ascii_alphabetic());
    if !country.is_empty() && !two {
        bail!("{country:?} is no country; write its two letters of ISO 3166-1, such as NO");
    }
    Ok(())
}

fn outcome(a: &OutcomeArgs, now: Timestamp) -> Result<Outcome> {
    let is_money = a.kind == OutcomeKind::MoneyRecovered || !a.unit.is_empty();
    let count = if is_money {
        hundredths(&a.count).map_err(anyhow::Error::msg)?
    } else {
        a.count.parse()?
    };
    Ok(Outcome {
        kind: a.kind,
        when: a.when.unwrap_or(now),
        count,
        unit: a.unit.clone(),
        source: a.source.clone(),
        note: a.note.clone(),
    })
}

fn open(arguments: &OpenArgs, out: &mut dyn Write) -> Result<Exit> {
    for (text, name) in [
        (&arguments.title, "--title"),
        (&arguments.authority, "--authority"),
        (&arguments.purpose, "--purpose"),
    ] {
        if text.trim().is_empty() {
            bail!("{name} is empty; a case without it stands on nothing");
        }
    }
    let desk = Desk::at(&arguments.acting)?;
    let numbers = Numbers::lock(&desk.dir)?;
    let taken = reading(&desk.dir)?.cases()?;
    let now = clock::now();
    let case = numbers.next("CASE", 4, now, taken.iter().map(String::as_str));
    let step = CaseStep::Opened {
        title: arguments.title.clone(),
        authority: arguments.authority.clone(),
        purpose: arguments.purpose.clone(),
        tlp: arguments.tlp,
        pap: arguments.pap,
        grouped_by: None,
    };
    desk.record(&case, step, now, out)
}

/// Who acts, on which state folder.
pub(crate) struct Desk {
    pub(crate) dir: PathBuf,
    pub(crate) by: String,
    pub(crate) json: bool,
}

impl Desk {
    pub(crate) fn at(acting: &Acting) -> Result<Self> {
        let by = acting.by.clone().unwrap_or_else(state::operator);
        if by.trim().is_empty() {
            bail!("--by is empty; nothing is done by nobody");
        }
        let dir = state::folder(acting.state.state.as_deref())?;
        // The first act of all begins the ledger.
        drop(reading(&dir)?);
        Ok(Self {
            dir,
            by,
            json: acting.json,
        })
    }

    /// The same without a word.
    fn step(&self, case: &str, step: CaseStep) -> Result<()> {
        self.act(case, step, &mut std::io::sink()).map(drop)
    }

    /// Records a step in a case that exists and may take it.
    fn act(&self, case: &str, step: CaseStep, out: &mut dyn Write) -> Result<Exit> {
        // Nobody opens, closes or changes it between the look and the entry.
        let _numbers = Numbers::lock(&self.dir)?;
        let now = clock::now();
        let known = evidence::read_case(&reading(&self.dir)?, case, Timestamp::MAX)?;
        check(&known, &step)?;
        self.record(case, step, now, out)
    }

    fn record(
        &self,
        case: &str,
        step: CaseStep,
        now: Timestamp,
        out: &mut dyn Write,
    ) -> Result<Exit> {
        let act = CaseAct {
            at: now,
            case: case.to_owned(),
            by: self.by.clone(),
            step,
        };
        let indices = record(&self.dir, vec![Entry::Case(act)])?;
        let index = indices.last().copied();
        if self.json {
            writeln!(out, "{}", json!({ "case": case, "index": index }))?;
        } else {
            let entry = index.map_or_else(String::new, |i| format!(" (ledger entry {i})"));
            writeln!(out, "{case}{entry}")?;
        }
        Ok(Exit::Success)
    }

    fn alerts(&self, arguments: &AlertsOfCaseArgs) -> Result<Vec<AlertId>> {
        let store = reading(&self.dir)?;
        arguments
            .alerts
            .iter()
            .map(|id| find_alert(&store, id))
            .collect()
    }
}

fn check(case: &Case, step: &CaseStep) -> Result<()> {
    let closed = case.closed.is_some();
    match step {
        CaseStep::Reopened { .. } if !closed => bail!("{} is open", case.id),
        // What others do after the end still belongs to it.
        CaseStep::Reopened { .. }
        | CaseStep::Milestone(_)
        | CaseStep::BanSpread(_)
        | CaseStep::OutcomeRecorded(_)
        | CaseStep::NoteAdded { .. } => Ok(()),
        _ if closed => bail!(
            "{} is closed; open it again first: posse case reopen {}",
            case.id,
            case.id
        ),
        CaseStep::LossAdded(loss) if !case.parties.contains_key(&loss.party) => bail!(
            "{} has no party {:?}; name it first: posse case party {} --id {} …",
            case.id,
            loss.party,
            case.id,
            loss.party
        ),
        _ => Ok(()),
    }
}

/// The alert whose id is or begins with `text`.
pub(crate) fn find_alert(store: &Store, text: &str) -> Result<AlertId> {
    if let Ok(id) = text.parse::<AlertId>() {
        return match store.alert(id)? {
            Some(_) => Ok(id),
            None => bail!("the ledger has no alert {id}"),
        };
    }
    if text.len() < ID_DIGITS_MIN {
        bail!("{text:?} is too short for an alert's id; give {ID_DIGITS_MIN} digits or more");
    }
    let filter = AlertFilter {
        limit: ALERTS_SEARCHED,
        ..AlertFilter::default()
    };
    let alerts = store.alerts(&filter)?;
    let mut found = alerts
        .iter()
        .map(|recorded| recorded.alert.id)
        .filter(|id| id.to_string().starts_with(text));
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => bail!("more than one alert begins with {text:?}; give more digits"),
        (None, _) => bail!("no alert begins with {text:?}; `posse alerts --json` shows all ids"),
    }
}
