//! `posse ledger …`: the record, checked and handed out.

use std::io::Write;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use store::Store;

use crate::{cli::LedgerCommand, exit::Exit, operator::open_to_read, state};

pub(crate) fn run(command: &LedgerCommand, out: &mut dyn Write) -> Result<Exit> {
    match command {
        LedgerCommand::Verify(arguments) => {
            let store = open_to_read(arguments.state.state.as_deref())?;
            return verify(&store, arguments.json, out);
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
        LedgerCommand::Key { state } => {
            writeln!(out, "{}", open_to_read(state.state.as_deref())?.vkey())?;
        }
        LedgerCommand::Rebuild { state } => {
            let dir = state::folder(state.state.as_deref())?;
            let mut store = state::open_store(&dir, None)?;
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

fn verify(store: &Store, as_json: bool, out: &mut dyn Write) -> Result<Exit> {
    let bar = progress("verifying");
    let outcome = store.verify(&mut |done, of| show(&bar, done, of));
    bar.finish_and_clear();
    match outcome {
        Ok(report) if as_json => {
            let line = json!({
                "ok": true,
                "entries": report.entries,
                "erased": report.erased,
                "checkpoints": report.checkpoints,
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
            Ok(Exit::Success)
        }
        Err(failure) if as_json => {
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
