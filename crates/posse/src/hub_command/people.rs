//! `posse hub people`: who may log in at the hub with a password and a one-time code.

use std::io::Write;

use anyhow::Result;
use model::harmless;

use super::desk::{HubOrder, ask, order};
use crate::{
    cli::{ListArgs, PeopleCommand},
    exit::Exit,
};

pub(super) fn run(command: &PeopleCommand, out: &mut dyn Write) -> Result<Exit> {
    match command {
        PeopleCommand::Add(arguments) => {
            let reply = ask(&arguments.state, &arguments.order())?;
            let made = reply.status.unwrap_or_default();
            if arguments.json {
                writeln!(out, "{made}")?;
                return Ok(Exit::Success);
            }
            let word = |name: &str| made[name].as_str().unwrap_or_default().to_owned();
            writeln!(out, "name: {}", word("name"))?;
            writeln!(out, "password: {}", word("password"))?;
            writeln!(out, "authenticator: {}", word("authenticator"))?;
            writeln!(out, "shown once; give the link to an authenticator program")?;
            Ok(Exit::Success)
        }
        PeopleCommand::Remove(arguments) => {
            let name = arguments.name.clone();
            order(&arguments.state, &HubOrder::RemovePerson { name }, out)
        }
        PeopleCommand::List(arguments) => list(arguments, out),
    }
}

fn list(arguments: &ListArgs, out: &mut dyn Write) -> Result<Exit> {
    let reply = ask(&arguments.state, &HubOrder::People)?;
    let list = reply.status.unwrap_or_default();
    if !arguments.json {
        writeln!(out, "{:<28} {:<20} ROLE", "NAME", "ORGANISATION")?;
    }
    for person in list.as_array().into_iter().flatten() {
        if arguments.json {
            writeln!(out, "{person}")?;
            continue;
        }
        let word = |name: &str| harmless(person[name].as_str().unwrap_or_default()).to_string();
        writeln!(
            out,
            "{:<28} {:<20} {}",
            word("name"),
            word("organisation"),
            word("role")
        )?;
    }
    Ok(Exit::Success)
}
