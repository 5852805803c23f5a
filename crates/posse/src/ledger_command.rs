//! `posse ledger …`: the record, checked and handed out; who vouches for it.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use store::{Store, VerifyAgainst, WitnessState};

use crate::{
    cli::{LedgerCommand, LedgerWitnessCommand, RotateArgs, VerifyArgs},
    clock,
    config::{Config, DEFAULT_PATH},
    exit::Exit,
    operator::open_to_read,
    state,
};

/// Earlier checkpoints of one call, and the bytes of each.
const EARLIER_MAX: usize = 100_000;
const EARLIER_BYTES_MAX: u64 = 64 << 10;

pub(crate) fn run(command: &LedgerCommand, out: &mut dyn Write) -> Result<Exit> {
    match command {
        LedgerCommand::Verify(arguments) => return verify(arguments, out),
        LedgerCommand::RotateKey(arguments) => rotate(arguments, out)?,
        LedgerCommand::Stamp { config, state } => {
            return stamp(config.as_deref(), state.state.as_deref(), out);
        }
        LedgerCommand::Witness(LedgerWitnessCommand::Status { json, state }) => {
            let store = open_to_read(state.state.as_deref())?;
            return witness_status(&store, *json, out);
        }
        LedgerCommand::Export { dir, state } => {
            let store = open_to_read(state.state.as_deref())?;
            let bar = progress("exporting");
            let report = store.export(dir, &mut |done, of| show(&bar, done, of))?;
            bar.finish_and_clear();
            writeln!(
                out,
                "{} entries, {} files, {} bytes in {}",
                report.size,
                report.files,
                report.bytes,
                dir.display()
            )?;
            writeln!(out, "verifier key: {}", store.vkey())?;
        }
        LedgerCommand::Key { all, state } => {
            let keys = open_to_read(state.state.as_deref())?.vkeys();
            for key in keys.iter().take(if *all { usize::MAX } else { 1 }) {
                writeln!(out, "{key}")?;
            }
        }
        LedgerCommand::Rebuild { state } => {
            let mut store = open_to_write(state.state.as_deref())?;
            let bar = progress("rebuilding");
            store.rebuild(&mut |done, of| show(&bar, done, of))?;
            bar.finish_and_clear();
            writeln!(out, "tables rebuilt from {} entries", store.size()?)?;
        }
        LedgerCommand::Show { from, limit, state } => {
            let store = open_to_read(state.state.as_deref())?;
            for entry in store.entries(*from..from.saturating_add(*limit))? {
                let line = json!({ "index": entry.index, "entry": entry.entry() });
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(Exit::Success)
}

fn open_to_write(named: Option<&Path>) -> Result<Store> {
    state::open_store(&state::folder(named)?, None)
}

fn verify(arguments: &VerifyArgs, out: &mut dyn Write) -> Result<Exit> {
    let store = open_to_read(arguments.state.state.as_deref())?;
    let against = against(arguments)?;
    let bar = progress("verifying");
    let outcome = store.verify_against(&against, &mut |done, of| show(&bar, done, of));
    bar.finish_and_clear();
    let outcome = outcome.and_then(|report| check_stamps(&store).map(|()| report));
    match outcome {
        Ok(report) if arguments.json => {
            let line = json!({
                "ok": true,
                "entries": report.entries,
                "erased": report.erased,
                "checkpoints": report.checkpoints,
                "earlier": report.earlier,
                "cosignatures": report.cosignatures,
                "cosigned": report.cosigned,
                "stamps": report.stamps,
                "projection_rows": report.projection_rows,
                "root": report.root.to_string(),
            });
            writeln!(out, "{line}")?;
            Ok(Exit::Success)
        }
        Ok(report) => {
            writeln!(
                out,
                "OK: {} entries ({} erased), {} checkpoints, {} table rows, root {}",
                report.entries,
                report.erased,
                report.checkpoints,
                report.projection_rows,
                report.root
            )?;
            match report.cosigned {
                Some(size) => writeln!(
                    out,
                    "{} cosignatures of witnesses; enough of them on {size} entries; {} time \
                     stamps; {} earlier checkpoints agree",
                    report.cosignatures, report.stamps, report.earlier
                )?,
                None => writeln!(
                    out,
                    "no witness has cosigned it: whoever has its key could have written all of \
                     it anew; {} time stamps; {} earlier checkpoints agree",
                    report.stamps, report.earlier
                )?,
            }
            Ok(Exit::Success)
        }
        Err(failure) if arguments.json => {
            let line = json!({ "ok": false, "what": failure.what, "index": failure.index, "why": failure.why });
            writeln!(out, "{line}")?;
            Ok(Exit::Failure)
        }
        Err(failure) => {
            writeln!(out, "FAILED: {failure}")?;
            Ok(Exit::Failure)
        }
    }
}

/// What the ledger itself cannot know.
fn against(arguments: &VerifyArgs) -> Result<VerifyAgainst> {
    let configured = configured(arguments)?;
    let policy = match &arguments.policy {
        Some(path) => Some(
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
        ),
        None => configured,
    };
    let mut earlier = Vec::new();
    for path in arguments.old.iter().flat_map(|path| files(path)) {
        if earlier.len() >= EARLIER_MAX {
            bail!("more than {EARLIER_MAX} earlier checkpoints");
        }
        let size =
            fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if size.len() > EARLIER_BYTES_MAX {
            bail!("{} is no checkpoint: it is too long", path.display());
        }
        let note = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        earlier.push((path.display().to_string(), note));
    }
    Ok(VerifyAgainst {
        vkey: arguments.vkey.clone(),
        witnesses: arguments.witness.clone(),
        policy,
        earlier,
    })
}

/// The policy of a configuration: of the one named, or of this machine's where the state folder
/// is this machine's.
fn configured(arguments: &VerifyArgs) -> Result<Option<String>> {
    let own = arguments.state.state.is_none() && Path::new(DEFAULT_PATH).exists();
    if arguments.config.is_none() && !own {
        return Ok(None);
    }
    Ok(others(arguments.config.as_deref())?.policy)
}

fn others(config: Option<&Path>) -> Result<openlog::Setup> {
    let config = Config::load(config).map_err(|d| anyhow!("{d}"))?;
    Ok(config.ledger.others().read()?)
}

/// The files of a folder, in order; a file is itself.
fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return vec![path.to_owned()];
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.is_file());
    files.sort();
    files
}

/// The store knows that each is of a checkpoint of its own; whether it is a time stamp at all is
/// looked at here.
fn check_stamps(store: &Store) -> Result<(), store::VerifyFailure> {
    let failure = |what: String, why: String| store::VerifyFailure {
        what,
        index: None,
        why,
    };
    let stamps = store
        .stamps()
        .map_err(|e| failure("database".to_owned(), e.to_string()))?;
    for stamp in stamps {
        openlog::verify_stamp(&stamp).map_err(|e| {
            let what = format!("time stamp of {} by {}", stamp.at, stamp.authority);
            failure(what, e.to_string())
        })?;
    }
    Ok(())
}

fn rotate(arguments: &RotateArgs, out: &mut dyn Write) -> Result<()> {
    let mut store = open_to_write(arguments.state.state.as_deref())?;
    if arguments.finish {
        store.finish_rotation(clock::now())?;
        writeln!(out, "signs alone from now on: {}", store.vkey())?;
        return Ok(());
    }
    store.begin_rotation(clock::now())?;
    writeln!(out, "both sign from now on:")?;
    for key in store.vkeys().iter().take(2) {
        writeln!(out, "  {key}")?;
    }
    writeln!(
        out,
        "give the first to every witness (posse witness --log VKEY) and to all who verify this \
         log; then run: posse ledger rotate-key --finish"
    )?;
    Ok(())
}

fn stamp(config: Option<&Path>, named: Option<&Path>, out: &mut dyn Write) -> Result<Exit> {
    let setup = others(config)?;
    let dir = state::folder(named)?;
    let outcomes = openlog::stamp_now(&dir, &setup)?;
    if outcomes.is_empty() {
        bail!(
            "no time stamping authority is configured; name one in posse.toml: [ledger] \
             stamp_authorities = [{{ name = …, url = …, ca = … }}]"
        );
    }
    let mut exit = Exit::Success;
    for (name, outcome) in outcomes {
        match outcome {
            Ok(token) if token.vouched => {
                writeln!(
                    out,
                    "stamped by {name} at {} (number {})",
                    token.at, token.serial
                )?;
            }
            Ok(token) => writeln!(
                out,
                "stamped by {name} at {} (number {}); nobody vouches for its certificate: \
                 configure ca",
                token.at, token.serial
            )?,
            Err(e) => {
                writeln!(out, "NOT stamped by {name}: {:#}", anyhow!(e))?;
                exit = Exit::Failure;
            }
        }
    }
    Ok(exit)
}

fn witness_status(store: &Store, as_json: bool, out: &mut dyn Write) -> Result<Exit> {
    let size = store.size()?;
    let witnesses = store.witnesses()?;
    if witnesses.is_empty() && !as_json {
        writeln!(out, "no witness is configured ([ledger] witnesses)")?;
    }
    let mut exit = Exit::Success;
    for witness in witnesses {
        if witness.alarm {
            exit = Exit::Failure;
        }
        if as_json {
            let line = json!({
                "name": witness.setup.name,
                "vkey": witness.setup.vkey,
                "url": witness.setup.url,
                "size": witness.size,
                "behind": size.saturating_sub(witness.size),
                "cosigned_at": witness.cosigned_at.map(|at| at.to_string()),
                "trouble": witness.trouble,
                "alarm": witness.alarm,
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{}", in_words(&witness, size))?;
        }
    }
    Ok(exit)
}

fn in_words(witness: &WitnessState, size: u64) -> String {
    let name = &witness.setup.name;
    let since = match witness.cosigned_at {
        Some(at) => format!("cosigned {} of {size} entries at {at}", witness.size),
        None => "has cosigned nothing".to_owned(),
    };
    match &witness.trouble {
        Some(trouble) if witness.alarm => {
            format!(
                "{name}: {since}; ALARM, ANOTHER HISTORY: {}",
                model::harmless(trouble)
            )
        }
        Some(trouble) => format!("{name}: {since}; last asked: {}", model::harmless(trouble)),
        None => format!("{name}: {since}"),
    }
}

/// Drawn only where someone looks: not into pipes and files.
pub(crate) fn progress(what: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(4));
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}

pub(crate) fn show(bar: &ProgressBar, done: u64, of: u64) {
    bar.set_length(of);
    bar.set_position(done);
}
