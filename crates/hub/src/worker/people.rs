//! People: whom the operator lets in with a password and a one-time code.

use std::net::IpAddr;

use model::FleetAct;

use super::{Outcome, Turn, Worker};
use crate::{
    caller::Caller,
    error::OrderError,
    gate, limits,
    order::{NewPerson, PersonMade},
    registry::{Hash, Person, Record},
    secret, totp,
};

impl Worker {
    pub(super) fn add_person(
        &mut self,
        by: &Caller,
        new: NewPerson,
        turn: &mut Turn,
    ) -> Outcome<PersonMade> {
        gate::may(by, gate::Act::Govern)?;
        super::keys::name_fits(&new.name)?;
        let refused = |why: &str| OrderError::Refused(why.to_owned());
        match new.role {
            fleet::Role::Analyst | fleet::Role::Partner => {}
            fleet::Role::Police => {
                let why = "police takes files with its certificate and has no other door: \
                           posse hub invite --role police";
                return Err(refused(why).into());
            }
            fleet::Role::Guard | fleet::Role::Witness => {
                return Err(refused("a person is an analyst or a partner").into());
            }
        }
        {
            let view = self.shared.view();
            if view.registry.people.contains_key(&new.name) {
                let text = format!(
                    "{} is known already; `posse hub people remove` takes them away",
                    new.name
                );
                return Err(OrderError::NameTaken(text).into());
            }
            let max = limits::PEOPLE_MAX;
            if view.registry.people.len() >= max {
                return Err(OrderError::TooMany {
                    max,
                    what: "people",
                }
                .into());
            }
        }
        let password = match new.password {
            Some(given) => long_enough(given)?,
            None => secret::make()?,
        };
        let hash = secret::hash_password(&password);
        let hash = hash.ok_or_else(|| refused("no usable password"))?;
        let mut seed = [0; 20];
        getrandom::fill(&mut seed)?;
        self.new_organisation(&new.organisation)?;
        self.put(Record::Person(Person {
            name: new.name.clone(),
            organisation: new.organisation.clone(),
            role: new.role,
            password: hash,
            totp: Some(Hash(seed)),
            totp_step: 0,
        }))?;
        turn.act(FleetAct::Changed {
            at: turn.at,
            by: by.name.to_string(),
            what: format!(
                "{} of {} may log in as {}",
                new.name, new.organisation, new.role
            ),
        });
        let issuer = self.hub_organisation.to_string();
        Ok(PersonMade {
            link: totp::link(&Hash(seed), &issuer, &new.name),
            password,
        })
    }

    pub(super) fn remove_person(&self, by: &Caller, name: &str, turn: &mut Turn) -> Outcome<()> {
        gate::may(by, gate::Act::Govern)?;
        let old = self.shared.view().registry.people.get(name).cloned();
        let old = old.ok_or(OrderError::Unknown)?;
        self.remove(&Record::Person(Person::clone(&old)))?;
        turn.act(FleetAct::Changed {
            at: turn.at,
            by: by.name.to_string(),
            what: format!("{name} of {} may no longer log in", old.organisation),
        });
        Ok(())
    }

    /// The code of this step is used up, and the login on record, before anybody is let in.
    /// `false`: it was used before.
    pub(super) fn use_code(
        &self,
        name: &str,
        step: u64,
        from: IpAddr,
        turn: &mut Turn,
    ) -> Outcome<bool> {
        let known = self.shared.view().registry.people.get(name).cloned();
        let known = known.ok_or(OrderError::Unknown)?;
        if step <= known.totp_step {
            return Ok(false);
        }
        self.put(Record::Person(Person {
            totp_step: step,
            ..Person::clone(&known)
        }))?;
        turn.act(FleetAct::Login {
            at: turn.at,
            organisation: known.organisation.to_string(),
            name: name.to_owned(),
            from: from.to_string(),
        });
        Ok(true)
    }
}

fn long_enough(password: String) -> Result<String, OrderError> {
    let refused = |why: String| Err(OrderError::Refused(why));
    if password.chars().count() < limits::PASSWORD_CHARS_MIN {
        return refused(format!(
            "a person's password has at least {} characters",
            limits::PASSWORD_CHARS_MIN
        ));
    }
    if password.len() > limits::PASSWORD_BYTES_MAX {
        return refused("too long a password".to_owned());
    }
    Ok(password)
}
