//! API keys and machines of third parties.

use model::FleetAct;

use super::{Outcome, Turn, Worker};
use crate::{
    caller::{Caller, KeyKind},
    core::unix_ms,
    error::OrderError,
    gate, limits,
    order::NewKey,
    registry::{Hash, KeptSecret, Key, Record},
    secret,
};

impl Worker {
    /// A machine may register itself; it is no use before an operator accepts it.
    pub(super) fn add_key(&mut self, by: &Caller, key: NewKey, turn: &mut Turn) -> Outcome<String> {
        if key.accepted || key.kind != KeyKind::Machine {
            gate::may(by, gate::Act::Govern)?;
        }
        name_fits(&key.name)?;
        let place = (key.kind, key.name.clone());
        {
            let view = self.shared.view();
            if view.registry.keys.contains_key(&place) {
                return Err(OrderError::NameTaken(format!(
                    "there is a {} named {} already; `posse keys remove` takes it away",
                    key.kind.word(),
                    key.name
                ))
                .into());
            }
            let max = limits::KEYS_MAX;
            if view.registry.keys.len() >= max {
                return Err(OrderError::TooMany { max, what: "keys" }.into());
            }
        }
        let text = match key.secret {
            Some(text) if text.len() > limits::PASSWORD_BYTES_MAX || text.is_empty() => {
                return Err(OrderError::Refused("an empty or too long password".to_owned()).into());
            }
            Some(text) => text,
            None => secret::make()?,
        };
        let kept = match key.kind {
            KeyKind::Bouncer => KeptSecret::Key(Hash(secret::hash_key(&text))),
            KeyKind::Machine => match secret::hash_password(&text) {
                Some(phc) => KeptSecret::Password(phc),
                None => return Err(OrderError::Refused("no usable password".to_owned()).into()),
            },
        };
        let organisation = key
            .organisation
            .unwrap_or_else(|| self.hub_organisation.clone());
        let community = match key.community {
            Some(community) => community,
            None => super::members::main_community()?,
        };
        self.new_organisation(&organisation)?;
        self.admit(&organisation, &community)?;
        self.put(Record::Key(Key {
            kind: key.kind,
            name: key.name.clone(),
            organisation: organisation.clone(),
            communities: vec![community],
            secret: kept,
            accepted: key.accepted,
            created_unix_ms: unix_ms(),
        }))?;
        turn.act(FleetAct::KeyAdded {
            at: turn.at,
            by: match key.from {
                Some(from) => from.to_string(),
                None => by.name.to_string(),
            },
            organisation: organisation.to_string(),
            name: key.name,
            key_kind: key.kind.word().to_owned(),
        });
        Ok(text)
    }

    pub(super) fn accept_key(&self, by: &Caller, name: &str, turn: &mut Turn) -> Outcome<()> {
        gate::may(by, gate::Act::Govern)?;
        let place = (KeyKind::Machine, name.to_owned());
        let old = self.shared.view().registry.keys.get(&place).cloned();
        let old = old.ok_or(OrderError::Unknown)?;
        self.put(Record::Key(Key {
            accepted: true,
            ..Key::clone(&old)
        }))?;
        let what = format!("machine {name} accepted");
        turn.act(FleetAct::Changed {
            at: turn.at,
            by: by.name.to_string(),
            what,
        });
        Ok(())
    }

    pub(super) fn remove_key(
        &self,
        by: &Caller,
        kind: KeyKind,
        name: &str,
        turn: &mut Turn,
    ) -> Outcome<()> {
        let place = (kind, name.to_owned());
        let old = self.shared.view().registry.keys.get(&place).cloned();
        let old = old.ok_or(OrderError::Unknown)?;
        // A machine may take itself away.
        if *by.name != *name || by.role != kind.role() {
            gate::may(by, gate::Act::Govern)?;
        }
        self.remove(&Record::Key(Key::clone(&old)))?;
        turn.act(FleetAct::KeyRemoved {
            at: turn.at,
            by: by.name.to_string(),
            organisation: old.organisation.to_string(),
            name: name.to_owned(),
            key_kind: kind.word().to_owned(),
        });
        Ok(())
    }
}

pub(super) fn name_fits(name: &str) -> Result<(), OrderError> {
    let fits = (1..=limits::KEY_NAME_BYTES_MAX).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_graphic());
    if fits {
        return Ok(());
    }
    Err(OrderError::Refused(format!(
        "a name is 1 to {} printable ASCII characters without space",
        limits::KEY_NAME_BYTES_MAX
    )))
}
