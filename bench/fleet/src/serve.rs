//! A hub as `posse hub` runs it, with the invitations and the key that the load needs.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use fleet::Role;
use hub::{Hub, Invite, KeyKind, NewKey, OrgId, ServerOptions, Traffic};
use store::{Recorder, Store, StoreOptions};
use tokio::task::JoinSet;

use crate::HubArgs;

/// Guards of one organisation.
const GUARDS_PER_ORGANISATION: usize = 100;
const INVITED_AT_ONCE: usize = 500;
const INVITED_SECONDS: u64 = 86_400;

pub(crate) fn run(args: &HubArgs) -> Result<()> {
    fs::create_dir_all(&args.state)?;
    let store = Store::open(&args.state, StoreOptions::default())?;
    let recorder = Arc::new(Recorder::start(store, Box::new(|_| {}))?);
    let mut hub = Hub::open(&args.state, OrgId::new("hub")?, Arc::clone(&recorder))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        prepare(&hub, args).await?;
        let listener = tokio::net::TcpListener::bind(args.listen).await?;
        fs::write(args.state.join("pid"), std::process::id().to_string())?;
        let options = ServerOptions {
            addresses: vec![args.listen.ip()],
            ..ServerOptions::default()
        };
        hub::serve(listener, &mut hub, options, Arc::new(Traffic::default())).await?;
        Ok(())
    })
}

/// Only once: a hub that comes back has them.
async fn prepare(hub: &Hub, args: &HubArgs) -> Result<()> {
    let tokens = args.state.join("tokens");
    if tokens.exists() {
        return Ok(());
    }
    let core = hub.core();
    let operator = core.operator("load");
    let mut lines = String::new();
    let numbers: Vec<_> = (0..args.guards).collect();
    for part in numbers.chunks(INVITED_AT_ONCE) {
        // Side by side, so that many are made durable in one go.
        let mut asked = JoinSet::new();
        for number in part {
            let (core, operator) = (core.clone(), operator.clone());
            let invite = invite(*number)?;
            asked.spawn(async move { core.invite(&operator, invite).await });
        }
        while let Some(token) = asked.join_next().await {
            lines += &token?.context("invite a guard")?;
            lines.push('\n');
        }
    }
    let key = NewKey {
        name: "load".to_owned(),
        kind: KeyKind::Machine,
        organisation: Some(OrgId::new("hub")?),
        community: None,
        secret: None,
        accepted: true,
        from: None,
    };
    let password = core
        .add_key(&operator, key)
        .await
        .context("add a machine")?;
    write(&args.state.join("machine"), &format!("load {password}\n"))?;
    write(&tokens, &lines)
}

fn invite(number: usize) -> Result<Invite> {
    let organisation = format!("member-{}", number / GUARDS_PER_ORGANISATION);
    Ok(Invite {
        organisation: OrgId::new(&organisation)?,
        role: Role::Guard,
        communities: Vec::new(),
        seconds: INVITED_SECONDS,
    })
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
