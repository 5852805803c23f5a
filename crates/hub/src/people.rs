//! People at the hub's doors: made by an operator, let in by password and one-time code.

use std::net::IpAddr;

use crate::{
    caller::Caller,
    core::{Core, unix_ms},
    error::{LoginError, OrderError},
    order::{KnownPerson, NewPerson, PersonMade},
    totp,
    worker::Order,
};

impl Core {
    /// Makes a person; gives back the password and the link for the authenticator, once.
    pub async fn add_person(
        &self,
        by: &Caller,
        person: NewPerson,
    ) -> Result<PersonMade, OrderError> {
        let by = by.clone();
        self.order(|reply| Order::AddPerson { by, person, reply })
            .await
    }

    pub async fn remove_person(&self, by: &Caller, name: &str) -> Result<(), OrderError> {
        let (by, name) = (by.clone(), name.to_owned());
        self.order(|reply| Order::RemovePerson { by, name, reply })
            .await
    }

    pub fn people(&self) -> Vec<KnownPerson> {
        let view = self.shared().view();
        let known = view.registry.people.values();
        known
            .map(|p| KnownPerson {
                name: p.name.clone(),
                organisation: p.organisation.clone(),
                role: p.role,
            })
            .collect()
    }

    /// A person as they stand now; `None` when they were removed. For doors that gave out a token.
    pub fn caller_by_person(&self, name: &str) -> Option<Caller> {
        let view = self.shared().view();
        let person = view.registry.people.get(name)?;
        Some(view.registry.caller_of_person(person))
    }

    /// Password and code must both be right; which of them was wrong is not told.
    pub async fn login_person(
        &self,
        name: &str,
        password: &str,
        code: &str,
        from: IpAddr,
    ) -> Result<Caller, LoginError> {
        let person = self.shared().view().registry.people.get(name).cloned();
        let hash = person.as_ref().map(|p| p.password.clone());
        let right = self.check_password(hash, password, from).await?;
        let step = person.as_ref().and_then(|p| {
            let secret = p.totp.as_ref()?;
            totp::step_of(code, secret, unix_ms() / 1_000, p.totp_step)
        });
        let outcome = match (right, step) {
            (true, Some(step)) => self.use_code(name, step, from).await,
            _ => Err(LoginError::Wrong),
        };
        if outcome.is_err() {
            self.shared().failed(from);
            self.note_login(name, from, &outcome);
        }
        outcome
    }

    /// Two logins with one code at the same moment: the core lets the first in.
    async fn use_code(&self, name: &str, step: u64, from: IpAddr) -> Result<Caller, LoginError> {
        let owned = name.to_owned();
        let used = self.order(|reply| Order::UseCode {
            name: owned,
            step,
            from,
            reply,
        });
        match used.await {
            Ok(true) => self.caller_by_person(name).ok_or(LoginError::Wrong),
            Ok(false) | Err(OrderError::Unknown) => Err(LoginError::Wrong),
            Err(_) => Err(LoginError::Busy),
        }
    }
}
