//! Orders to a hub: through its control socket when it runs, else on its state folder.

use std::io::Write;

use anyhow::{Result, bail};
use hub::{
    Caller, CommunityId, Core, Invite, KeyKind, NewKey, NewPerson, OrderError, OrgId, RulesChange,
    Wish,
};
use model::{format_duration, harmless};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{holds_hub, not_a_hub, open};
use crate::{
    cli::{KeysCommand, ListArgs, StateArgs},
    control::{self, Reply, Request},
    exit::Exit,
    state,
};

/// Bans in one page of a listing.
const BANS_PER_PAGE: usize = 2_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub(crate) enum HubOrder {
    Invite {
        organisation: OrgId,
        role: fleet::Role,
        communities: Vec<CommunityId>,
        seconds: u64,
    },
    Revoke {
        organisation: OrgId,
        name: Option<String>,
    },
    Admit {
        organisation: OrgId,
        community: CommunityId,
    },
    Expel {
        organisation: OrgId,
        community: CommunityId,
    },
    Vouch {
        organisation: OrgId,
        community: CommunityId,
        reports: u32,
    },
    Rule {
        community: CommunityId,
        change: RulesChange,
    },
    AddKey {
        name: String,
        kind: KeyKind,
        organisation: Option<OrgId>,
        community: Option<CommunityId>,
        secret: Option<String>,
    },
    AcceptKey {
        name: String,
    },
    RemoveKey {
        name: String,
        kind: KeyKind,
    },
    AddPerson {
        name: String,
        organisation: OrgId,
        role: fleet::Role,
        password: Option<String>,
    },
    RemovePerson {
        name: String,
    },
    Keys,
    People,
    Members,
    Bans {
        after: u64,
    },
    /// One act of a hand-over, of the hub's own organisation.
    HandOver {
        key: String,
        act: Box<model::HandoverAct>,
    },
}

/// The same whether the hub runs or is opened for a moment.
pub(super) async fn carry_out(
    core: &Core,
    by: &Caller,
    order: HubOrder,
) -> Result<Reply, OrderError> {
    let text = |text: String| Reply {
        text: Some(text),
        ..Reply::default()
    };
    let value = |value: Value| Reply {
        status: Some(value),
        ..Reply::default()
    };
    Ok(match order {
        HubOrder::Invite {
            organisation,
            role,
            communities,
            seconds,
        } => {
            let invite = Invite {
                organisation,
                role,
                communities,
                seconds,
            };
            text(core.invite(by, invite).await?)
        }
        HubOrder::Revoke { organisation, name } => {
            let count = core.revoke(by, &organisation, name.as_deref()).await?;
            text(format!(
                "revoked {count} of {organisation}; their streams are cut"
            ))
        }
        HubOrder::Admit {
            organisation,
            community,
        } => text(
            core.wish(
                by,
                Wish::Admit {
                    organisation,
                    community,
                },
            )
            .await?,
        ),
        HubOrder::Expel {
            organisation,
            community,
        } => text(
            core.wish(
                by,
                Wish::Expel {
                    organisation,
                    community,
                },
            )
            .await?,
        ),
        HubOrder::Vouch {
            organisation,
            community,
            reports,
        } => text(
            core.wish(
                by,
                Wish::Vouch {
                    organisation,
                    community,
                    reports,
                },
            )
            .await?,
        ),
        HubOrder::Rule { community, change } => {
            text(core.wish(by, Wish::Rule { community, change }).await?)
        }
        HubOrder::AddKey {
            name,
            kind,
            organisation,
            community,
            secret,
        } => {
            let key = NewKey {
                name: name.clone(),
                kind,
                organisation,
                community,
                secret,
                accepted: true,
                from: None,
            };
            let secret = core.add_key(by, key).await?;
            value(json!({ "name": name, "kind": kind, "secret": secret }))
        }
        HubOrder::AcceptKey { name } => {
            core.accept_key(by, &name).await?;
            text(format!("{name} may log in now"))
        }
        HubOrder::RemoveKey { name, kind } => {
            core.remove_key(by, kind, &name).await?;
            text(format!("removed the {} {name}", kind.word()))
        }
        HubOrder::AddPerson {
            name,
            organisation,
            role,
            password,
        } => {
            let person = NewPerson {
                name: name.clone(),
                organisation,
                role,
                password,
            };
            let made = core.add_person(by, person).await?;
            value(json!({ "name": name, "password": made.password, "authenticator": made.link }))
        }
        HubOrder::RemovePerson { name } => {
            core.remove_person(by, &name).await?;
            text(format!("{name} may no longer log in"))
        }
        HubOrder::People => value(json!(core.people())),
        HubOrder::Keys => value(json!(core.keys())),
        HubOrder::Members => value(json!(core.members())),
        HubOrder::HandOver { key, act } => value(json!(core.hand_over(by, key, *act).await?)),
        HubOrder::Bans { after } => value(bans(core, by, after)),
    })
}

fn bans(core: &Core, by: &Caller, after: u64) -> Value {
    let now = core.now();
    let page = core.bans(by, after, BANS_PER_PAGE);
    let one = |ban: &std::sync::Arc<hub::Ban>| {
        json!({
            "id": ban.id,
            "prefix": ban.prefix,
            "community": ban.community,
            "organisation": ban.organisation,
            "kind": &*ban.kind,
            "origin": &*ban.origin,
            "reason": &*ban.scenario,
            "remaining_seconds": ban.remaining_ms(now).max(0) / 1_000,
        })
    };
    page.iter().map(one).collect()
}

/// Carries an order out and says what came of it.
pub(crate) fn order(named: &StateArgs, order: &HubOrder, out: &mut dyn Write) -> Result<Exit> {
    let reply = ask(named, order)?;
    if let Some(text) = &reply.text {
        writeln!(out, "{text}")?;
    }
    Ok(Exit::Success)
}

/// The hub's answer; an error of the hub is ours.
pub(crate) fn ask(named: &StateArgs, order: &HubOrder) -> Result<Reply> {
    let dir = state::folder(named.state.as_deref())?;
    if !holds_hub(&dir) && !matches!(order, HubOrder::AddKey { .. } | HubOrder::Invite { .. }) {
        not_a_hub(&dir)?;
    }
    let by = state::operator();
    let request = Request::Hub {
        order: order.clone(),
        by: by.clone(),
    };
    let reply = match control::ask(&dir, &request)? {
        Some(reply) => reply,
        None => {
            let (hub, _recorder) = open(&dir, None)?;
            let core = hub.core();
            let operator = core.operator(&by);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let reply = runtime.block_on(carry_out(&core, &operator, order.clone()));
            hub.stop();
            reply?
        }
    };
    match reply.error {
        Some(error) => bail!("{error}"),
        None => Ok(reply),
    }
}

pub(crate) fn keys(command: &KeysCommand, out: &mut dyn Write) -> Result<Exit> {
    match command {
        KeysCommand::Add(arguments) => {
            let reply = ask(&arguments.state, &arguments.order())?;
            let made = reply.status.unwrap_or_default();
            if arguments.json {
                writeln!(out, "{made}")?;
                return Ok(Exit::Success);
            }
            let secret = made["secret"].as_str().unwrap_or_default();
            match arguments.kind.into() {
                KeyKind::Bouncer => writeln!(out, "api_key: {secret}")?,
                KeyKind::Machine => {
                    writeln!(out, "login: {}\npassword: {secret}", arguments.name)?;
                }
            }
            Ok(Exit::Success)
        }
        KeysCommand::List(arguments) => list_keys(arguments, out),
        KeysCommand::Accept(arguments) => {
            let name = arguments.name.clone();
            order(&arguments.state, &HubOrder::AcceptKey { name }, out)
        }
        KeysCommand::Remove(arguments) => order(&arguments.state, &arguments.order(), out),
    }
}

fn list_keys(arguments: &ListArgs, out: &mut dyn Write) -> Result<Exit> {
    let reply = ask(&arguments.state, &HubOrder::Keys)?;
    let list = reply.status.unwrap_or_default();
    if !arguments.json {
        writeln!(
            out,
            "{:<8} {:<28} {:<20} ACCEPTED",
            "KIND", "NAME", "ORGANISATION"
        )?;
    }
    for key in list.as_array().into_iter().flatten() {
        if arguments.json {
            writeln!(out, "{key}")?;
            continue;
        }
        let word = |name: &str| harmless(key[name].as_str().unwrap_or_default()).to_string();
        let accepted = if key["accepted"] == true { "yes" } else { "no" };
        writeln!(
            out,
            "{:<8} {:<28} {:<20} {accepted}",
            word("kind"),
            word("name"),
            word("organisation")
        )?;
    }
    Ok(Exit::Success)
}

pub(crate) fn members(arguments: &ListArgs, out: &mut dyn Write) -> Result<Exit> {
    let reply = ask(&arguments.state, &HubOrder::Members)?;
    let list = reply.status.unwrap_or_default();
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    if !arguments.json {
        writeln!(
            out,
            "{:<20} {:<20} {:<8} {:>6} {:>10} {:>8} {:>8} {:>8}  VERSION",
            "ORGANISATION", "NAME", "ROLE", "STREAM", "GENERATION", "LAG", "BANS", "HEARD"
        )?;
    }
    for member in list {
        if arguments.json {
            writeln!(out, "{member}")?;
            continue;
        }
        let word = |name: &str| harmless(member[name].as_str().unwrap_or("-")).to_string();
        let here = &member["here"]["communities"][0];
        let number = |value: &Value| {
            value
                .as_u64()
                .map_or_else(|| "-".to_owned(), |n| n.to_string())
        };
        let heard = member["last_contact_seconds"].as_u64();
        let heard = heard.map(|s| format_duration(std::time::Duration::from_secs(s)));
        let stream = match (member["revoked"] == true, member["streams"].as_u64()) {
            (true, _) => "gone",
            (false, Some(n)) if n > 0 => "yes",
            (false, _) => "no",
        };
        writeln!(
            out,
            "{:<20} {:<20} {:<8} {stream:>6} {:>10} {:>8} {:>8} {:>8}  {}",
            word("organisation"),
            word("name"),
            word("role"),
            number(&here["generation"]),
            number(&here["lag_ms"]),
            number(&here["enforced"]),
            heard.as_deref().unwrap_or("never"),
            word("version")
        )?;
    }
    if !arguments.json {
        writeln!(out, "{} members", list.len())?;
    }
    Ok(Exit::Success)
}
