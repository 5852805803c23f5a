//! `posse witness`: the role of its own, for whoever vouches for the ledgers of others.

use std::{io::Write, sync::Arc};

use anyhow::{Context as _, Result};
use openlog::{Witness, WitnessOptions};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    cli::{WitnessAction, WitnessArgs},
    exit::Exit,
};

pub(crate) fn run(arguments: &WitnessArgs, out: &mut dyn Write) -> Result<Exit> {
    let open = |dir: &std::path::Path| {
        let options = WitnessOptions {
            dir: dir.to_owned(),
            name: None,
            logs: Vec::new(),
        };
        Witness::open(options)
    };
    match &arguments.action {
        Some(WitnessAction::Key { folder }) => {
            // Beside a running witness too: the key's public half is no secret of its lock.
            let vkey = openlog::witness_vkey(&folder.state)?;
            let vkey = match vkey {
                Some(vkey) => vkey,
                None => open(&folder.state)?.vkey(),
            };
            writeln!(out, "{vkey}")?;
        }
        Some(WitnessAction::Logs { json, folder }) => {
            for (origin, log) in openlog::witness_logs(&folder.state)? {
                if *json {
                    let keys: Vec<String> = log.keys.iter().map(ToString::to_string).collect();
                    let line = json!({
                        "origin": origin,
                        "keys": keys,
                        "size": log.seen.map(|seen| seen.size),
                        "root": log.seen.map(|seen| seen.root.to_string()),
                    });
                    writeln!(out, "{line}")?;
                    continue;
                }
                match log.seen {
                    Some(seen) => writeln!(
                        out,
                        "{origin}: cosigned up to {} entries, root {}",
                        seen.size, seen.root
                    )?,
                    None => writeln!(out, "{origin}: nothing cosigned yet")?,
                }
                for key in &log.keys {
                    writeln!(out, "  {key}")?;
                }
            }
        }
        None => return serve(arguments, out),
    }
    Ok(Exit::Success)
}

fn serve(arguments: &WitnessArgs, out: &mut dyn Write) -> Result<Exit> {
    let listen = arguments
        .listen
        .context("say where to listen: --listen ADDR:PORT")?;
    let parse = |vkey: &String| {
        ledger::VerifyingKey::parse(vkey).with_context(|| format!("--log {vkey}: not a log's key"))
    };
    let witness = Witness::open(WitnessOptions {
        dir: arguments.folder.state.clone(),
        name: arguments.name.clone(),
        logs: arguments.log.iter().map(parse).collect::<Result<_>>()?,
    })?;
    let witness = Arc::new(witness);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let stop = runtime.block_on(async { crate::hub_command::stop_signals(false) })?;
    let listener = runtime
        .block_on(TcpListener::bind(listen))
        .with_context(|| format!("cannot listen on {listen}"))?;
    writeln!(out, "vkey: {}", witness.vkey())?;
    writeln!(
        out,
        "witness of {} logs listens on {}",
        witness.logs().len(),
        listener.local_addr()?
    )?;
    out.flush()?;
    runtime.block_on(async {
        tokio::select! {
            ended = openlog::serve_witness(listener, witness) => ended,
            _ = stop => Ok(()),
        }
    })?;
    Ok(Exit::Success)
}
